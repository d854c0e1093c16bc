import { posix } from 'node:path';

/** Bytes that are looked at. */
export const sniffedBytes = 512;

const byExtension: Record<string, string> = {
  '.css': 'text/css; charset=utf-8',
  '.gif': 'image/gif',
  '.jpeg': 'image/jpeg',
  '.jpg': 'image/jpeg',
  '.json': 'application/json',
  '.pdf': 'application/pdf',
  '.png': 'image/png',
  '.wasm': 'application/wasm',
  '.webp': 'image/webp',
  '.xml': 'text/xml; charset=utf-8',
};

/** First bytes, in hex. */
const bySignature: readonly [string, string][] = [
  ['504b0304', 'application/zip'],
  ['1f8b08', 'application/x-gzip'],
  ['89504e470d0a1a0a', 'image/png'],
  ['ffd8ff', 'image/jpeg'],
  ['25504446', 'application/pdf'],
];

/**
 * Content-Type as Go's file server has it in an image without MIME tables: by a few extensions, else by the first 512
 * bytes (WHATWG MIME Sniffing, 7.1). What a browser would run (HTML, SVG, JavaScript) is plain text here, for anybody
 * may upload.
 */
export function contentType(name: string, head: Uint8Array): string {
  const known = byExtension[posix.extname(name).toLowerCase()];
  if (known !== undefined) return known;
  const hex = Buffer.from(head.subarray(0, 8)).toString('hex');
  const signed = bySignature.find(([signature]) => hex.startsWith(signature));
  if (signed) return signed[1];
  const text = head.subarray(0, sniffedBytes).every((byte) => !isBinary(byte));
  return text ? 'text/plain; charset=utf-8' : 'application/octet-stream';
}

/** Of binary data: control characters other than white space and escape. */
function isBinary(byte: number): boolean {
  return byte <= 0x08 || byte === 0x0b || (byte >= 0x0e && byte <= 0x1a) || (byte >= 0x1c && byte <= 0x1f);
}

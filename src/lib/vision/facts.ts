/** Format and size of a picture, read only from its header, for code that must start fast. */

/** Properties found in the first bytes of a picture. */
export interface PictureFacts {
  format: 'jpeg' | 'png' | 'gif' | 'webp' | 'bmp';
  width: number;
  height: number;
}

/**
 * Reads the format and the size from a picture's header. Does not decode the picture or use a library, because a stream may deliver
 * hundreds of pictures per second. The size is the stored size, before an EXIF rotation.
 * @returns undefined for other formats, or if the data ends before the size field
 */
export function pictureFacts(bytes: Uint8Array): PictureFacts | undefined {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const facts = readers.map((read) => read(view)).find((found) => found !== undefined);
  return facts && facts.width > 0 && facts.height > 0 ? facts : undefined;
}

type Reader = (bytes: Buffer) => PictureFacts | undefined;

const starts = (bytes: Buffer, text: string, at = 0) =>
  bytes.length >= at + text.length && bytes.toString('latin1', at, at + text.length) === text;

/** PNG (11.2.1): IHDR is the first chunk. */
const png: Reader = (bytes) =>
  starts(bytes, '\x89PNG\r\n\x1a\n') && bytes.length >= 24
    ? { format: 'png', width: bytes.readUInt32BE(16), height: bytes.readUInt32BE(20) }
    : undefined;

/** GIF (GIF89a, section 18): the logical screen descriptor. */
const gif: Reader = (bytes) =>
  (starts(bytes, 'GIF87a') || starts(bytes, 'GIF89a')) && bytes.length >= 10
    ? { format: 'gif', width: bytes.readUInt16LE(6), height: bytes.readUInt16LE(8) }
    : undefined;

/** BMP: BITMAPFILEHEADER and BITMAPINFOHEADER. A negative height means that rows are stored from top to bottom. */
const bmp: Reader = (bytes) =>
  starts(bytes, 'BM') && bytes.length >= 26 && bytes.readUInt32LE(14) >= 40
    ? { format: 'bmp', width: bytes.readInt32LE(18), height: Math.abs(bytes.readInt32LE(22)) }
    : undefined;

/** WebP (RFC 9649): lossy, lossless or extended. */
const webp: Reader = (bytes) => {
  if (!starts(bytes, 'RIFF') || !starts(bytes, 'WEBP', 8) || bytes.length < 30) return undefined;
  const form = bytes.toString('latin1', 12, 16);
  if (form === 'VP8 ')
    return {
      format: 'webp',
      width: bytes.readUInt16LE(26) & 0x3fff,
      height: bytes.readUInt16LE(28) & 0x3fff,
    };
  if (form === 'VP8L') {
    const bits = bytes.readUInt32LE(21);
    return { format: 'webp', width: (bits & 0x3fff) + 1, height: ((bits >>> 14) & 0x3fff) + 1 };
  }
  if (form !== 'VP8X') return undefined;
  return { format: 'webp', width: bytes.readUIntLE(24, 3) + 1, height: bytes.readUIntLE(27, 3) + 1 };
};

/**
 * JPEG (T.81 B.1.1.3): skips segments until the frame header, SOF0 … SOF15. DHT, JPG and DAC have markers in that range, but are not frame
 * headers.
 */
const jpeg: Reader = (bytes) => {
  if (!starts(bytes, '\xff\xd8\xff')) return undefined;
  for (let at = 2; at + 9 <= bytes.length; ) {
    if (bytes[at] !== 0xff) return undefined;
    const marker = bytes[at + 1]!;
    if (marker === 0xff) at++;
    else if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker))
      return { format: 'jpeg', width: bytes.readUInt16BE(at + 7), height: bytes.readUInt16BE(at + 5) };
    else at += 2 + bytes.readUInt16BE(at + 2);
  }
  return undefined;
};

const readers = [jpeg, png, gif, webp, bmp];

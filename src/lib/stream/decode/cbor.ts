import type { TagDecodeControl, TagDecoder } from 'cborg/interface';
import { plain } from './plain.js';
import { undecoded } from './text.js';

/** Unsigned and negative numbers of any size, as bytes. RFC 8949, section 3.4.3. */
const bignums: Record<number, TagDecoder> = {
  2: (decode) => bytesToNumber(decode()),
  3: (decode) => -1n - bytesToNumber(decode()),
};

/** CBOR (RFC 8949): one item a payload. A tag that has no meaning here leaves the value that it is about. */
export async function cborDecoder(): Promise<(bytes: Buffer) => unknown> {
  const { decode } = await import('cborg');
  // cborg refuses tags that it is not told of; there are some hundred registered ones.
  const tags = new Proxy(bignums, {
    get: (known, tag) => known[Number(String(tag))] ?? ((content: TagDecodeControl) => content()),
  });
  return (bytes) => {
    try {
      // Maps, for keys may be numbers (SenML, COSE).
      return plain(decode(bytes, { useMaps: true, tags }));
    } catch (error) {
      throw undecoded(
        'CBOR',
        error instanceof Error ? error.message.replace(/^CBOR \w+ error: /, '') : '',
        error,
      );
    }
  };
}

function bytesToNumber(bytes: unknown): bigint {
  return BigInt(`0x${Buffer.from(bytes as Uint8Array).toString('hex') || '0'}`);
}

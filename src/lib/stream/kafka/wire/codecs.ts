import { promisify } from 'node:util';
import zlib from 'node:zlib';
import { AiotError } from '../../../core/errors.js';
import { nativePart } from '../../../core/process.js';

/** Compression names by their number in a batch's attributes (KIP-98, bits 0 to 2). */
export const compressions = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const;

export type Compression = (typeof compressions)[number];

interface Codec {
  compress(bytes: Uint8Array): Promise<Buffer>;
  decompress(bytes: Uint8Array): Promise<Buffer>;
}

const loaders: Record<Exclude<Compression, 'none'>, () => Promise<Codec>> = {
  gzip: async () => ({
    compress: (bytes) => promisify(zlib.gzip)(bytes),
    decompress: (bytes) => promisify(zlib.gunzip)(bytes, { maxOutputLength: largestBytes }),
  }),
  snappy: async () => {
    const { default: snappy } = await import('kafkajs-snappy');
    const codec = snappy();
    return {
      compress: async (bytes) => asBuffer(await codec.compress({ buffer: asBuffer(bytes) })),
      // Reads xerial's framing, which Java writes, and the plain format.
      decompress: async (bytes) => {
        refuseBomb('snappy', asBuffer(bytes));
        return asBuffer(await codec.decompress(asBuffer(bytes)));
      },
    };
  },
  lz4: async () => {
    const { compressFrame, decompressFrame } = await nativePart('lz4-napi', () => import('lz4-napi'));
    return {
      compress: (bytes) => compressFrame(bytes),
      decompress: async (bytes) => {
        refuseBomb('lz4', asBuffer(bytes));
        return decompressFrame(bytes);
      },
    };
  },
  zstd: async () => {
    const { Zstd } = await import('@hpcc-js/wasm-zstd');
    const zstd = await Zstd.load();
    return {
      compress: async (bytes) => asBuffer(zstd.compress(bytes, 3)),
      decompress: async (bytes) => {
        refuseBomb('zstd', asBuffer(bytes));
        return Buffer.concat(
          zstdFrames(asBuffer(bytes)).map((frame) => {
            if (frame.claimed !== null) return zstd.decompress(frame.bytes);
            // Java's producer writes frames without a size. `decompress` would guess a size that is too small for
            // repetitive messages.
            zstd.reset();
            return zstd.decompressChunk(frame.bytes, frame.most);
          }),
        );
      },
    };
  },
};

const loaded = new Map<Compression, Promise<Codec>>();

/** A batch's codec; the codec's package is loaded on first use. @throws AIOT_STREAM_DECODE for an unassigned number */
export function codecOf(compression: Compression | number): Promise<Codec> {
  const name = typeof compression === 'number' ? compressions[compression] : compression;
  if (name === undefined || name === 'none') {
    throw new AiotError('AIOT_STREAM_DECODE', `a batch uses an unknown compression codec: ${compression}`);
  }
  const codec = loaded.get(name) ?? loaders[name]();
  loaded.set(name, codec);
  return codec;
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Maximum decompressed size of a batch, bytes. Without a limit, a few kilobytes could decompress to gigabytes. */
const largestBytes = 512 * 1024 * 1024;

/**
 * Rejects data that would decompress to more than `largestBytes`. The libraries for these formats accept no limit, and allocate memory
 * before they check. The bound, which no decoder exceeds, is computed from lengths in the data.
 * @throws AIOT_STREAM_DECODE
 */
function refuseBomb(format: keyof typeof bounds, bytes: Buffer): void {
  let most: number;
  try {
    most = bounds[format](bytes);
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new AiotError('AIOT_STREAM_DECODE', `a batch compressed with ${format} is truncated`, { cause });
  }
  if (most <= largestBytes) return;
  throw new AiotError(
    'AIOT_STREAM_DECODE',
    `a batch of ${bytes.length} bytes would decompress with ${format} to as much as ${most} bytes, more than ${largestBytes}`,
  );
}

/** First bytes of Xerial's framing: a header of 16 bytes, followed by blocks, each preceded by its length. */
const xerial = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0]);

const bounds = { snappy: snappyBytes, lz4: lz4Bytes, zstd: zstdBytes };

/**
 * The decompressed size that the blocks declare and that the decoder allocates (google/snappy, format_description.txt,
 * section 1).
 */
function snappyBytes(bytes: Buffer): number {
  if (!bytes.subarray(0, 8).equals(xerial)) return varint(bytes);
  let total = 0;
  for (let at = 16; at < bytes.length; ) {
    const length = bytes.readUInt32BE(at);
    total += varint(bytes.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return total;
}

function varint(bytes: Buffer): number {
  let value = 0;
  for (let at = 0; at < 5; at++) {
    const byte = bytes.readUInt8(at);
    value += (byte & 0x7f) * 2 ** (7 * at);
    if (byte < 0x80) return value;
  }
  throw new RangeError('a length is not terminated');
}

/**
 * LZ4 frames (lz4_Frame_format.md): a block decompresses to at most its frame's block size, and each compressed byte to at most 255 bytes.
 */
function lz4Bytes(bytes: Buffer): number {
  const largestBlock = 1 << (8 + 2 * ((bytes.readUInt8(5) >> 4) & 7));
  const flags = bytes.readUInt8(4);
  const claimed = (flags & 8) !== 0 ? Number(bytes.readBigUInt64LE(6)) : 0;
  let total = 0;
  let at = 7 + (flags & 8) + ((flags & 1) << 2);
  for (let size = bytes.readUInt32LE(at); size !== 0; size = bytes.readUInt32LE(at)) {
    const packed = size & 0x7fffffff;
    total += size >>> 31 === 1 ? packed : Math.min(largestBlock, packed * 255);
    at += 4 + packed + ((flags & 16) >> 2);
  }
  return Math.max(total, claimed);
}

function zstdBytes(bytes: Buffer): number {
  return zstdFrames(bytes).reduce((total, { claimed, most }) => total + Math.max(claimed ?? 0, most), 0);
}

interface ZstdFrame {
  bytes: Buffer;
  /** Decompressed size according to the frame's header; null = not given. */
  claimed: number | null;
  /** Largest decompressed size of the frame's blocks, bytes. */
  most: number;
}

/**
 * Parses the Zstandard frames (RFC 8878, section 3.1) that contain data. A compressed block is at most 128 KiB
 * decompressed; other blocks state their size.
 * @throws RangeError if the last frame is truncated
 */
function zstdFrames(bytes: Buffer): ZstdFrame[] {
  const frames: ZstdFrame[] = [];
  for (let at = 0; at < bytes.length; ) {
    const begin = at;
    const magic = bytes.readUInt32LE(at);
    if (magic >>> 4 === 0x184d2a5) {
      at += 8 + bytes.readUInt32LE(at + 4);
      continue;
    }
    const descriptor = bytes.readUInt8(at + 4);
    const single = (descriptor >> 5) & 1;
    const contentBytes = [single, 2, 4, 8][descriptor >> 6]!;
    const from = at + 5 + (1 - single) + [0, 1, 2, 4][descriptor & 3]!;
    const claimed = zstdContentSize(bytes, from, contentBytes);
    let most = 0;
    at = from + contentBytes;
    for (let last = false; !last; ) {
      const head = bytes.readUIntLE(at, 3);
      const [type, size] = [(head >> 1) & 3, head >> 3];
      last = (head & 1) === 1;
      most += type === 2 ? 128 * 1024 : size;
      at += 3 + (type === 1 ? 1 : size);
    }
    at += descriptor & 4;
    if (at > bytes.length) throw new RangeError('a frame is truncated');
    frames.push({ bytes: bytes.subarray(begin, at), claimed, most });
  }
  return frames;
}

/** Reads a frame's decompressed size from `length` bytes of its header; null if `length` is 0. Two-byte sizes are stored minus 256. */
function zstdContentSize(bytes: Buffer, at: number, length: number): number | null {
  if (length === 0) return null;
  if (length === 8) return Number(bytes.readBigUInt64LE(at));
  return bytes.readUIntLE(at, length) + (length === 2 ? 256 : 0);
}

import { promisify } from 'node:util';
import zlib from 'node:zlib';
import { AiotError, nativePart } from '../../../core/index.js';
import { largestBytes, refuseBomb } from './unpacked.js';

/** By their number in a batch's attributes (KIP-98, bits 0 to 2). */
export const compressions = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const;
export type Compression = (typeof compressions)[number];

export interface Codec {
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
      // It reads xerial's framing, which Java writes, as well as the plain format.
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
        // A frame that does not say how large it is makes the library's one-shot call return nothing: chunks then.
        zstd.reset();
        return asBuffer(zstd.decompress(bytes));
      },
    };
  },
};
const loaded = new Map<Compression, Promise<Codec>>();

/** The codec of a batch; its package is loaded with its first use. @throws AIOT_STREAM_DECODE for a number nobody has given yet */
export function codecOf(compression: Compression | number): Promise<Codec> {
  const name = typeof compression === 'number' ? compressions[compression] : compression;
  if (name === undefined || name === 'none') {
    throw new AiotError(
      'AIOT_STREAM_DECODE',
      `a batch is compressed by an unknown codec, number ${compression}`,
    );
  }
  const codec = loaded.get(name) ?? loaders[name]();
  loaded.set(name, codec);
  return codec;
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

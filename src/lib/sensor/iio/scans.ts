import type { ScanChannel } from './channels.js';
import { elementReader } from './element.js';
import { scanLayout } from './layout.js';
import { type Turn, turn } from './mount.js';

/** Makes records of the bytes of whole scans. */
export interface ScanDecoder {
  scanBytes: number;
  /** Values a record; channels with a repeat have several. */
  width: number;
  /** `times` are ns of the device's clock; undefined where the scans have no timestamp. */
  decode(bytes: Uint8Array, count: number): { values: Float64Array; times: BigInt64Array | undefined };
}

/** @param channels those that are switched on; `timestamp` may be among them */
export function createScanDecoder(channels: readonly ScanChannel[], turns: readonly Turn[]): ScanDecoder {
  const { offsets, scanBytes } = scanLayout(channels);
  const stamp = channels.findIndex(({ name }) => name === 'timestamp');
  const stampType = channels[stamp]?.type;
  const readers = channels.flatMap((channel, at) => {
    if (at === stamp) return [];
    const { type, offset, scale } = channel;
    const read = elementReader(type);
    const step = type.storageBits / 8;
    return Array.from({ length: type.repeat }, (_, part) => ({
      read,
      at: offsets[at]! + part * step,
      offset,
      scale,
    }));
  });
  const width = readers.length;
  return {
    scanBytes,
    width,
    decode(bytes, count) {
      const view = new DataView(bytes.buffer, bytes.byteOffset, count * scanBytes);
      const values = new Float64Array(count * width);
      const times = stampType ? new BigInt64Array(count) : undefined;
      for (let scan = 0; scan < count; scan++) {
        const from = scan * scanBytes;
        for (let i = 0; i < width; i++) {
          const { read, at, offset, scale } = readers[i]!;
          values[scan * width + i] = (read(view, from + at) + offset) * scale;
        }
        for (const each of turns) turn(values, scan * width, each);
        if (times) times[scan] = view.getBigInt64(from + offsets[stamp]!, !stampType!.bigEndian);
      }
      return { values, times };
    },
  };
}

import type { SampleBatch } from '../../../sensor/index.js';
import type { Mapped } from '../fields/map.js';

/** Samples in the sensor's fields → in the contract's, converted. Where nothing differs they pass as they are, bit for bit. */
export function createConverter(
  mapped: readonly Mapped[],
  has: number,
): (batch: SampleBatch) => Float64Array {
  const same =
    mapped.length === has &&
    mapped.every(({ from, scale, offset }, f) => from === f && scale === 1 && offset === 0);
  if (same) return ({ values }) => values;
  return ({ values, count }) => {
    const out = new Float64Array(count * mapped.length);
    mapped.forEach(({ from, scale, offset }, f) => {
      for (let i = 0; i < count; i++) {
        const value = values[i * has + from]!;
        out[i * mapped.length + f] = scale === 1 && offset === 0 ? value : value * scale + offset;
      }
    });
    return out;
  };
}

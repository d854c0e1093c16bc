import type { SampleBatch } from '../../sensor/index.js';

/** The last samples without a gap between them. */
export interface Ring {
  push(batch: SampleBatch): void;
  /** The last `count` samples, or as many as there are since the last gap: a column a field. */
  last(count: number): { columns: Float64Array[]; startedAt: number | null };
}

/** @param capacity samples */
export function createRing(fields: number, capacity: number): Ring {
  const values = new Float64Array(fields * capacity);
  const times = new Float64Array(capacity);
  let next = 0;
  let held = 0;
  return {
    push(batch) {
      if (batch.lost > 0) held = 0;
      for (let i = 0; i < batch.count; i++) {
        for (let f = 0; f < fields; f++) values[next * fields + f] = batch.values[i * fields + f]!;
        times[next] = batch.times[i]!;
        next = next + 1 === capacity ? 0 : next + 1;
      }
      held = Math.min(capacity, held + batch.count);
    },
    last(count) {
      const taken = Math.min(count, held);
      const start = (next - taken + capacity) % capacity;
      const columns = Array.from({ length: fields }, (_, f) =>
        Float64Array.from({ length: taken }, (_, i) => values[((start + i) % capacity) * fields + f]!),
      );
      return { columns, startedAt: taken === 0 ? null : Math.round(times[start]!) };
    },
  };
}

import { AiotError } from '../../core/index.js';
import type { Recording } from '../types.js';
import type { Samples } from './telemetry.js';

/** Samples of one device as they come in, grown to a recording. */
export function createTake(device: string | null, fields: string[]) {
  const columns: number[][] = fields.map(() => []);
  let first: number | null = null;
  let last = 0;
  let clocked = true;
  let highest: number | null = null;
  let missing = 0;
  let numbered = false;
  return {
    device,
    get samples() {
      return columns[0]?.length ?? 0;
    },
    /** False for a message that has come before: at-least-once delivery brings some twice. */
    add({ seq, t, byDevice, columns: given }: Samples, most: number): boolean {
      if (seq !== null) {
        numbered = true;
        if (highest !== null && seq <= highest) return false;
        if (highest !== null) missing += seq - highest - 1;
        highest = seq;
      }
      first ??= t;
      last = t;
      clocked &&= byDevice;
      const room = Math.max(0, most - this.samples);
      given.forEach((column, f) => {
        columns[f]!.push(...column.slice(0, room));
      });
      return true;
    },
    /** @throws AIOT_DATA_RATE when the device's own times say another rate by more than a fifth */
    finish(id: string, label: string | null, rateHz: number): Recording {
      const spanMs = last - (first ?? 0);
      const measured = ((this.samples - 1) * 1000) / spanMs;
      const wrong = measured / rateHz > 1.2 || measured / rateHz < 0.8;
      // Batches have one time each: the span then leaves out the last batch, which only many messages make up for.
      if (clocked && this.samples >= 100 && spanMs > 2000 && wrong) {
        throw new AiotError(
          'AIOT_DATA_RATE',
          `${device ?? 'the device'}: expected ${rateHz} samples a second (signal.rate), got about ${measured.toFixed(1)}`,
        );
      }
      return {
        id,
        label,
        device,
        rateHz,
        startedAt: first,
        ...(numbered ? { missing } : {}),
        fields,
        columns: columns.map((column) => Float64Array.from(column)),
      };
    },
  };
}
export type Take = ReturnType<typeof createTake>;

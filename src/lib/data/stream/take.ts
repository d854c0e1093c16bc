import type { Recording } from '../types.js';
import type { Samples } from './telemetry.js';

/**
 * Messages that follow each other, and their time, before the device's clock can tell a rate: a stamp that is off by half a
 * batch is then off by no more than a sixth of the whole.
 */
const enough = { steps: 3, samples: 100, ms: 2000 };

/** Samples of one device as they come in, grown to a recording. */
export function createTake(device: string | null, fields: string[]) {
  const columns: number[][] = fields.map(() => []);
  let first: number | null = null;
  let clocked = true;
  /** The message before, and what lies between messages that follow each other: a message's time is its first sample's. */
  let before: { t: number; samples: number } | null = null;
  const told = { steps: 0, samples: 0, ms: 0 };
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
      let lost = 0;
      if (seq !== null) {
        numbered = true;
        if (highest !== null && seq <= highest) return false;
        if (highest !== null) lost = seq - highest - 1;
        highest = seq;
      }
      missing += lost;
      if (before !== null && lost === 0) {
        told.steps++;
        told.samples += before.samples;
        told.ms += t - before.t;
      }
      before = { t, samples: given[0]?.length ?? 0 };
      first ??= t;
      clocked &&= byDevice;
      const room = Math.max(0, most - this.samples);
      given.forEach((column, f) => {
        columns[f]!.push(...column.slice(0, room));
      });
      return true;
    },
    /** Samples a second by the device's own times, when that is off by more than a fifth; null = as expected, or not to be told. */
    otherRate(rateHz: number): number | null {
      const { steps, samples, ms } = told;
      if (!clocked || steps < enough.steps || samples < enough.samples || ms < enough.ms) return null;
      const measured = (samples * 1000) / ms;
      return Math.abs(measured / rateHz - 1) > 0.2 ? measured : null;
    },
    finish(id: string, label: string | null, rateHz: number): Recording {
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

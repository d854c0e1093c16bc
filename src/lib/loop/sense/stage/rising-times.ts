import type { SampleBatch } from '../../../sensor/index.js';

/**
 * Times as the reader sees them: those of the samples, moved along with this machine's clock where they were taken here, and always
 * rising: after a clock went back they go on at half speed until it has caught up.
 */
export interface RisingTimes {
  /** Writes the times of a batch anew, in place. @param periodMs between two samples */
  apply(batch: SampleBatch, periodMs: number): void;
  /** The clock by which samples are stamped here moved by so much, ms. */
  move(byMs: number): void;
}

/** Begins with the first batch that it is given. */
export function createRisingTimes(): RisingTimes {
  let shift = 0;
  let last = Number.NEGATIVE_INFINITY;
  return {
    apply({ times, count }, periodMs) {
      for (let i = 0; i < count; i++) {
        const t = times[i]! + shift;
        last = t > last ? t : last + periodMs / 2;
        times[i] = last;
      }
    },
    move(byMs) {
      shift += byMs;
    },
  };
}

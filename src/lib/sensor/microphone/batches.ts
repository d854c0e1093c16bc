import type { Clock } from '../../core/index.js';
import { steady } from '../timing/host-clock.js';
import { Timeline } from '../timing/timeline.js';
import type { SampleBatch, SourceFaults } from '../types.js';
import { createWindows, samplesOf, soundLevels } from './samples.js';
import { type MicrophoneSettings, pieceMs } from './settings.js';

/**
 * Makes batches of bytes that come in pieces of any size. How many samples are missing after an overrun, or between two runs, is
 * told from the time.
 */
export function createBatches(settings: MicrophoneSettings, faults: SourceFaults, clock: Clock) {
  const { rate, channels, bits, level, sensitivity } = settings;
  const frameBytes = (channels * Number(bits)) / 8;
  const frames = level === undefined ? 1 : Math.max(1, Math.round((rate * level) / 1000));
  const timeline = new Timeline(rate / frames, clock);
  const steadyClock = steady(clock);
  let rest = Buffer.alloc(0);
  let windows = createWindows(frames * channels);
  let broken = false;
  return {
    /** A new run of arecord: what was begun is not whole. */
    begin() {
      rest = Buffer.alloc(0);
      windows = createWindows(frames * channels);
      broken = true;
    },
    overrun() {
      faults.overruns++;
      broken = true;
    },
    make(bytes: Buffer): SampleBatch | undefined {
      const all = rest.length > 0 ? Buffer.concat([rest, bytes]) : bytes;
      const whole = all.length - (all.length % frameBytes);
      rest = Buffer.from(all.subarray(whole));
      const samples = samplesOf(all.subarray(0, whole), bits);
      const values =
        level === undefined
          ? samples
          : Float64Array.from(windows(samples).flatMap((one) => soundLevels(one, channels, sensitivity)));
      const count = values.length / channels;
      if (count === 0) return undefined;
      const now = steadyClock.now();
      // It was taken at any moment of the card's last piece.
      const { times, lost, stepMs } = timeline.place({
        count,
        left: 0,
        askedMs: [now - pieceMs, now],
        broken,
      });
      broken = false;
      return { values, times, count, lost, ...(stepMs > 0 && { clockStepMs: stepMs }) };
    },
  };
}

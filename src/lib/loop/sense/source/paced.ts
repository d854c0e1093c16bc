import { setImmediate as turn } from 'node:timers/promises';
import type { Clock } from '../../../core/index.js';
import type { SampleBatch } from '../../../sensor/index.js';

/** Samples in one batch at most: enough to be quick, and few enough that none waits long for those before it. */
const mostSamples = 256;
/** Timers are no finer. */
const tickMs = 20;

export interface PacedOptions {
  fields: number;
  rateHz: number;
  /** 1 = as fast as they were taken; `max` = as fast as they are read. */
  speed: number | 'max';
  clock: Clock;
  signal: AbortSignal;
  /** Writes up to `count` samples, and says how many; 0 = there are no more. */
  fill(values: Float64Array, count: number): number;
}

/** Samples that are there already, given out in time from now on. Their times lie 1000/rate ms apart, whatever the speed. */
export async function* paced(options: PacedOptions): AsyncGenerator<SampleBatch> {
  const { fields, rateHz, speed, clock, signal, fill } = options;
  const monotonicMs = () => clock.monotonic?.() ?? clock.now();
  const began = clock.now();
  const started = monotonicMs();
  let sent = 0;
  for (;;) {
    let room = mostSamples;
    if (speed === 'max') await turn();
    else {
      const elapsed = (monotonicMs() - started) * speed;
      const due = Math.floor((elapsed * rateHz) / 1000) + 1 - sent;
      if (due <= 0) {
        const aheadMs = ((sent * 1000) / rateHz - elapsed) / speed;
        await clock.sleep(Math.max(tickMs, aheadMs), signal).catch(() => {});
        if (signal.aborted) return;
        continue;
      }
      room = Math.min(room, due);
    }
    if (signal.aborted) return;
    const values = new Float64Array(room * fields);
    const count = fill(values, room);
    if (count === 0) return;
    const times = new Float64Array(count);
    for (let i = 0; i < count; i++) times[i] = began + ((sent + i) * 1000) / rateHz;
    sent += count;
    yield { values: count === room ? values : values.slice(0, count * fields), times, count, lost: 0 };
  }
}

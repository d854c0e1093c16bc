import type { Clock } from '../../core/index.js';

/** Often enough to tell of life, and seldom enough for lines of a log. */
const everyMs = 3000;

/** Does `work`, and tells every few seconds for how many it has been going on. */
export async function withBeats<T>(
  clock: Clock,
  beat: (seconds: number) => void,
  work: () => Promise<T>,
): Promise<T> {
  const done = new AbortController();
  const beats = async () => {
    for (let seconds = everyMs / 1000; ; seconds += everyMs / 1000) {
      await clock.sleep(everyMs, done.signal);
      beat(seconds);
    }
  };
  beats().catch(() => {});
  try {
    return await work();
  } finally {
    done.abort();
  }
}

/** Often enough to tell of life, and seldom enough for lines of a log. */
const everyMs = 3000;

/** Does `work`, and tells every few seconds for how many it has been going on. */
export async function withBeats<T>(beat: (seconds: number) => void, work: () => Promise<T>): Promise<T> {
  let beats = 0;
  const timer = setInterval(() => beat((++beats * everyMs) / 1000), everyMs);
  try {
    return await work();
  } finally {
    clearInterval(timer);
  }
}

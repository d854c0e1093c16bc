/**
 * Does the work for each item, so many at once, in their order. Stops beginning new ones at the signal; what is under way
 * ends. The work handles its own failures.
 */
export async function inParallel<T>(
  items: readonly T[],
  jobs: number,
  work: (item: T) => Promise<void>,
  signal?: AbortSignal,
): Promise<void> {
  const left = items[Symbol.iterator]();
  const worker = async () => {
    while (!signal?.aborted) {
      const { done, value } = left.next();
      if (done) return;
      await work(value);
    }
  };
  await Promise.all(Array.from({ length: Math.max(1, jobs) }, worker));
}

/**
 * Does `work` for the items, `jobs` at a time, in their order. At the signal, or once one throws, no more are begun, and
 * what is under way is waited for: nothing runs on behind the caller's back. The work handles the failures it expects.
 * @returns the results in the order of the items, without those that were not begun @throws the first that work threw
 */
export async function inParallel<T, R>(
  items: readonly T[],
  jobs: number,
  work: (item: T, index: number) => Promise<R>,
  signal?: AbortSignal,
): Promise<R[]> {
  const results: R[] = [];
  const failures: unknown[] = [];
  let next = 0;
  const worker = async () => {
    while (next < items.length && failures.length === 0 && !signal?.aborted) {
      const index = next++;
      try {
        results[index] = await work(items[index]!, index);
      } catch (error) {
        failures.push(error);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.max(1, Math.min(jobs, items.length)) }, worker));
  if (failures.length > 0) throw failures[0];
  return results;
}

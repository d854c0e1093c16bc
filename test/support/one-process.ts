import { long } from './every-tensor.js';

/**
 * Runs all jobs for a third-party tool, identified by key, in one process at the first request, because starting
 * Python takes most of a short run's time. A long run starts one process per key, and stores only that key's
 * results.
 */
export function inOneProcess<Key, Job, Answer>(
  keys: readonly Key[],
  jobsOf: (key: Key) => Job[],
  run: (jobs: Job[]) => Answer[],
): (key: Key) => { job: Job; answer: Answer }[] {
  let all: Map<Key, { job: Job; answer: Answer }[]> | undefined;
  const runAll = (wanted: readonly Key[]) => {
    const lists = wanted.map(jobsOf);
    const answers = run(lists.flat());
    let at = 0;
    const byKey = new Map<Key, { job: Job; answer: Answer }[]>();
    wanted.forEach((key, index) => {
      byKey.set(
        key,
        lists[index]!.map((job) => ({ job, answer: answers[at++]! })),
      );
    });
    return byKey;
  };
  return (key) => {
    if (long) return runAll([key]).get(key)!;
    all ??= runAll(keys);
    return all.get(key)!;
  };
}

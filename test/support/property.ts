/**
 * Sets the number of runs of property tests: a sample in `npm test`, and the full number in `npm run test:long`
 * (AIOT_LONG=1). Tests import fast-check from here, so that this applies to all of them.
 */
import fc from 'fast-check';

export { default as fc } from 'fast-check';

/** Whether tests run in full (AIOT_LONG=1). */
const long = process.env.AIOT_LONG === '1';

/** fast-check's default number of runs. */
const defaultRuns = 100;
const sampleRuns = 25;

/**
 * The number of runs of a property that needs `full` runs. In the short form, it is `sample`, by default a
 * fortieth of `full` but at least 25. A property that counts occurrences needs the full number in both forms.
 */
export function runs(full: number, sample = Math.max(sampleRuns, Math.round(full / 40))): number {
  return long ? full : Math.min(full, sample);
}

fc.configureGlobal({ numRuns: runs(defaultRuns) });

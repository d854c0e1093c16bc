/**
 * How often property tests run: a sample in `npm test`, and as often as the claim asks for in `npm run test:long`
 * (AIOT_LONG=1). Tests take fast-check from here, so that this holds for all of them.
 */
import fc from 'fast-check';

export { default as fc } from 'fast-check';

/** With AIOT_LONG=1 tests are as long as the claim asks for. */
const long = process.env.AIOT_LONG === '1';

/** As many runs as fast-check makes by default. */
const defaultRuns = 100;
const sampleRuns = 25;

/**
 * The number of runs of a property that asks for `full` of them: `sample` in the short form, by default a fortieth and
 * at least 25. A property that counts how often something came up needs all of them in both.
 */
export function runs(full: number, sample = Math.max(sampleRuns, Math.round(full / 40))): number {
  return long ? full : Math.min(full, sample);
}

fc.configureGlobal({ numRuns: runs(defaultRuns) });

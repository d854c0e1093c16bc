import { expect, it } from 'vitest';
import { quickestRatios } from '../../bench/start/measure.js';

// This test is in the second ring because it measures time.
it('aiot starts little slower than Node, and shows help little slower than a minimal oclif program', () => {
  // The actual limits are 1.6 and 1.3 (npm run bench -- --only start). Other tests run at the same time, so the limits
  // here are higher, and a disturbed measurement is repeated up to twice.
  const limits = { version: 2.2, help: 1.8 };
  let seen = quickestRatios(6);
  for (let tries = 1; tries < 3; tries++) {
    if (seen.version < limits.version && seen.help < limits.help) break;
    seen = quickestRatios(6);
  }
  expect(seen.version).toBeLessThan(limits.version);
  expect(seen.help).toBeLessThan(limits.help);
}, 120_000);

import { expect, it } from 'vitest';
import { measure } from '../../bench/startup.js';

it('starting costs little more than Node, and help little more than the smallest oclif program', () => {
  // The limits to keep are 1.6 and 1.3 (npm run bench). Other tests run beside this one: hence the slack, and a second
  // and third try when a try was disturbed.
  const limits = { version: 2.2, help: 1.8 };
  let seen = measure(6);
  for (let tries = 1; tries < 3; tries++) {
    if (seen.versionRatio < limits.version && seen.helpRatio < limits.help) break;
    seen = measure(6);
  }
  expect(seen.versionRatio).toBeLessThan(limits.version);
  expect(seen.helpRatio).toBeLessThan(limits.help);
}, 120_000);

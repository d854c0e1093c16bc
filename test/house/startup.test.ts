import { describe, expect, it } from 'vitest';
import { measure } from '../../bench/startup.js';

describe('starting', () => {
  it('costs little more than Node, and help little more than the smallest oclif program', () => {
    // The limits to keep are 1.6 and 1.3 (npm run bench); other tests run beside this one, hence the slack.
    const { versionRatio, helpRatio } = measure(6);
    expect(versionRatio).toBeLessThan(2.2);
    expect(helpRatio).toBeLessThan(1.8);
  });
});

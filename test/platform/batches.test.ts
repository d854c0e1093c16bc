import { describe } from 'vitest';
import { systemClock } from '../../src/lib/core/time.js';
import { testPlatform } from '../support/platform.js';
import { batchesSuite } from './batches-suite.js';

describe('batches of devices', () => {
  batchesSuite(async () => {
    let passed = 0;
    let frozen: number | undefined;
    const own = await testPlatform({ clock: { ...systemClock, now: () => (frozen ?? Date.now()) + passed } });
    return { own, replicas: [], pass: (ms) => (passed += ms), freeze: () => (frozen = Date.now()) };
  });
});

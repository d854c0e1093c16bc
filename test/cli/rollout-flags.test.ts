import { afterEach, describe, expect, it, vi } from 'vitest';
import { policyOf } from '../../src/lib/cli/flags/rollouts.js';

afterEach(() => vi.useRealTimers());

describe('--at', () => {
  it.each([
    ['15:30', '2026-12-01T15:30:00'],
    ['9:05', '2026-12-02T09:05:00'],
    // This minute has already begun, so the time refers to the next day.
    ['12:00', '2026-12-02T12:00:00'],
    ['2026-12-24T22:00:00Z', '2026-12-24T22:00:00Z'],
    ['2026-12-24', '2026-12-24T00:00:00Z'],
  ])('%s at noon of December 1 is %s', (text, expected) => {
    vi.useFakeTimers({ now: new Date('2026-12-01T12:00:00') });
    expect(policyOf({ at: text }).startAt).toBe(new Date(expected).getTime());
  });
});

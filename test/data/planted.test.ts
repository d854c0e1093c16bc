import { describe, expect, it } from 'vitest';
import { cleanTrials, recordingTrials, tableTrials } from '../support/planted/score.js';

/** One seed for each defect and family, or five with AIOT_LONG=1. The table in docs/background/data-check-score.md uses other seeds. */
const seeds = process.env.AIOT_LONG === '1' ? [1, 2, 3, 4, 5] : [1];
const timeoutMs = 600_000;

/** Required share of planted defects. */
const leastFound = 0.95;

describe('data check', () => {
  it('finds planted defects in recordings and tables', { timeout: timeoutMs }, () => {
    const trials = [...recordingTrials(seeds), ...tableTrials(seeds)];
    expect(new Set(trials.map(({ defect }) => defect)).size).toBeGreaterThanOrEqual(25);
    const missed = trials
      .filter(({ found }) => !found)
      .map(({ defect, family, seed }) => `${defect} (${family} ${seed})`);
    expect(missed.length, missed.join('\n')).toBeLessThanOrEqual((1 - leastFound) * trials.length);
  });

  it('raises at most one false alarm in a hundred clean sets', { timeout: timeoutMs }, () => {
    const trials = cleanTrials(seeds);
    const alarmed = trials.filter(({ alarms }) => alarms.length > 0);
    expect(alarmed.length, JSON.stringify(alarmed, null, 1)).toBeLessThanOrEqual(trials.length / 100);
  });
});

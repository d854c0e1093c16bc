import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { recipes } from '../../bench/har/recipes.js';
import { fiveFolds, type Materials, measure, measureByWindow, openStudy } from '../../bench/har/study.js';
import { classTable, table } from '../../bench/har/table.js';
import { root } from '../support/cli.js';
import { describeReal, recordingsFolder } from '../support/real.js';

const template = join(root, 'templates', 'har-imu');

describeReal('recordings', 'the 53 recordings, split by recording', () => {
  let study: Materials;
  const dense = recipes.filter(({ name }) => name === 'dense');
  beforeAll(async () => {
    study = await openStudy(template, join(recordingsFolder, 'recordings'));
  });

  it('are classified by an int8 model of at most 60 KB, by motion and not by the recorder', async () => {
    const { three, held, vote } = study;
    const asked = { vote, recipes: dense, members: 1, control: held };
    const { part, control } = await measure('five folds', three, fiveFolds(three), asked);
    expect(part.scores.window.windows).toBe(2024);
    expect(part.scores.window.recordings).toBe(53);
    expect(part.scores.window.macroF1).toBeGreaterThanOrEqual(0.965);
    expect(part.scores.voted.macroF1).toBeGreaterThanOrEqual(0.98);
    expect(part.scores.window.interval![0]).toBeGreaterThan(0.92);
    expect(part.bytes).toBeLessThanOrEqual(60 * 1024);
    // Recordings on stairs are still classified as stairs when their samples are repeated as in the other recorder's
    // files.
    expect(control!.scores.window.macroF1).toBeGreaterThan(part.scores.window.macroF1 - 0.01);
    expect(table([part])).toContain('five folds');
    expect(classTable(part)).toContain('stairs');
  });

  it('do not separate up from down, which a split by window hides', async () => {
    const { four, vote } = study;
    const asked = { vote, recipes: dense, members: 1 };
    const { part } = await measure('four classes', four, fiveFolds(four), asked);
    const [up, down] = [2, 3].map((c) => part.scores.window.confusion[c]!);
    const right = (up![2]! + down![3]!) / (up![2]! + up![3]! + down![2]! + down![3]!);
    expect(right).toBeLessThan(0.65);
    const flattered = await measureByWindow('by window', four, dense[0]!, vote);
    expect(flattered.scores.window.macroF1).toBeGreaterThan(part.scores.window.macroF1 + 0.05);
  });

  it('are reported as leaking if split by window', () => {
    expect(study.windowFindings).toContainEqual(expect.objectContaining({ kind: 'leak', severity: 'error' }));
  });

  it.runIf(process.env.AIOT_LONG === '1')(
    'reach macro-F1 0.965 per window and 0.98 smoothed with nested selection',
    async () => {
      const { three, vote } = study;
      const { part } = await measure('nested', three, fiveFolds(three), { vote });
      expect(part.scores.window.macroF1).toBeGreaterThanOrEqual(0.965);
      expect(part.scores.voted.macroF1).toBeGreaterThanOrEqual(0.98);
      expect(part.bytes).toBeLessThanOrEqual(60 * 1024);
    },
    600_000,
  );
});

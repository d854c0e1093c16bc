import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadProject } from '../../src/lib/core/project.js';
import { openDataset } from '../../src/lib/data/dataset/open.js';
import { evaluateProject } from '../../src/lib/model/evaluate/evaluate-project.js';
import { classifierFigures } from '../../src/lib/model/evaluate/verdict.js';
import { quantizeProject } from '../../src/lib/model/quantize/quantize-project.js';
import { trainProject } from '../../src/lib/model/train/train-project.js';
import { root } from '../support/cli.js';
import { temporaryFolder } from './support.js';

/**
 * Returns the results of the template's project for each seed. The seed determines the split of the recordings and
 * the initial weights.
 */
async function figures(folder: string, seeds: number[]) {
  const text = await readFile(join(root, 'templates', 'har-imu', 'aiot.yaml'), 'utf8');
  const dir = await temporaryFolder();
  const results = [];
  let dataset: Awaited<ReturnType<typeof openDataset>> | undefined;
  for (const seed of seeds) {
    await writeFile(join(dir, 'aiot.yaml'), text.replace(/seed: \d+/, `seed: ${seed}`));
    const project = await loadProject(dir);
    dataset ??= await openDataset(project, folder);
    const { seconds } = await trainProject({ project, dataset });
    await quantizeProject({ project, dataset });
    const { float, int8, voted } = classifierFigures(await evaluateProject({ project, dataset }));
    results.push({ seed, seconds, float: float.macroF1, int8: int8.macroF1, voted: voted.macroF1 });
  }
  return results;
}

const mean = (values: number[]) => values.reduce((a, b) => a + b, 0) / values.length;

describe('the motion template on its own recordings', () => {
  it('reaches macro-F1 0.97, 0.99 smoothed, with its own seed, and int8 loses at most half a point', async () => {
    const [own] = await figures(join(root, 'templates', 'har-imu', 'data'), [7]);
    expect(own!.int8).toBeGreaterThanOrEqual(0.97);
    expect(own!.voted).toBeGreaterThanOrEqual(0.99);
    expect(own!.float - own!.int8).toBeLessThanOrEqual(0.005);
    expect(own!.seconds).toBeLessThan(30);
  });

  it('reaches a mean macro-F1 of 0.98 with other seeds, and int8 loses at most one point', async () => {
    const results = await figures(join(root, 'templates', 'har-imu', 'data'), [1, 2, 3]);
    expect(mean(results.map(({ int8 }) => int8))).toBeGreaterThanOrEqual(0.98);
    expect(Math.max(...results.map(({ float, int8 }) => float - int8))).toBeLessThanOrEqual(0.01);
  }, 60_000);
});

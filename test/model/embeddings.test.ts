import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Project } from '../../src/lib/core/project.js';
import type { Drift } from '../../src/lib/data/drift/result.js';
import { runCli } from '../support/cli.js';
import { temporaryFolder, toyCsv, toyProject } from './support.js';

/** Six recordings of each class; `csvOf` gives their samples. */
async function folderOf(csvOf: (label: string, take: number) => string): Promise<string> {
  const folder = join(await temporaryFolder(), 'recordings');
  await mkdir(folder);
  for (let take = 11; take < 17; take++) {
    for (const label of ['calm', 'slow', 'fast'])
      await writeFile(join(folder, `${label}${take}.csv`), csvOf(label, take));
  }
  return folder;
}

describe('aiot data drift --embeddings', () => {
  let project: Project;
  const drift = async (folder: string, ...flags: string[]) =>
    await runCli(['data', 'drift', folder, '--project', project.dir, '--embeddings', ...flags]);
  beforeAll(async () => {
    project = await toyProject();
    const { code } = await runCli(['model', 'train', '--project', project.dir]);
    expect(code).toBe(0);
  });

  it('compares the inputs of the last layer and the predictions, window by window', async () => {
    const { json, code } = await drift(await folderOf(toyCsv), '--json');
    expect(code).toBe(0);
    const { features, prediction, base, now, drifted } = json as Drift;
    expect(features.length).toBeGreaterThan(1);
    expect(features.every(({ name }) => /^e[1-8]$/.test(name))).toBe(true);
    expect(prediction).toMatchObject({ name: 'prediction', kind: 'text' });
    expect([base.rows, now.rows]).toEqual([165, 198]);
    expect(drifted).toBe(false);
  });

  it('detects that all classes have become one movement', async () => {
    const folder = await folderOf((label, take) => toyCsv('fast', take + 10 * label.length));
    const { json, code } = await drift(folder, '--fail-on-drift', '--json');
    expect(code).toBe(6);
    expect(json).toMatchObject({ drifted: true, gates: [{ name: 'drift', passed: false }] });
  });

  it('rejects a saved reference, and models without a last layer', async () => {
    const reference = await runCli([
      ...['data', 'drift', 'reference.json', project.dir],
      ...['--project', project.dir, '--embeddings', '--json'],
    ]);
    expect(reference.json).toMatchObject({ error: { code: 'AIOT_USAGE' } });
    const forest = await toyProject((text) =>
      text
        .replace('features: raw', 'features: spectral')
        .replace('kind: mlp\n  layers: [8]', 'kind: forest')
        .replace('epochs: 12', 'forest: { trees: 5 }'),
    );
    expect((await runCli(['model', 'train', '--project', forest.dir])).code).toBe(0);
    const flags = ['--project', forest.dir, '--embeddings', '--json'];
    const { json } = await runCli(['data', 'drift', forest.dir, ...flags]);
    expect(json).toMatchObject({ error: { code: 'AIOT_MODEL_UNFIT' } });
  });
});

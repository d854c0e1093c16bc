import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { FoldsFile } from '../../src/lib/model/train/result.js';
import { temporaryFolder } from '../model/support.js';
import { root, runCli } from '../support/cli.js';
import { describeReal, recordingsFolder } from '../support/real.js';

describeReal('recordings', 'the demo’s stored metrics for all 53 recordings', () => {
  it('match the template’s current recipe', async () => {
    const dir = join(await temporaryFolder(), 'har-imu');
    expect((await runCli(['init', dir, '--template', 'har-imu'])).code).toBe(0);
    const data = join(recordingsFolder, 'recordings');
    const args = ['model', 'train', '--project', dir, '--data', data, '--folds', '5', '--json'];
    const { json, code } = await runCli(args);
    expect(code).toBe(0);
    const { together, datasetDigest, configDigest, vote } = (json as { folds: FoldsFile }).folds;
    const stored = JSON.parse(
      await readFile(join(root, 'templates', 'har-imu', 'data', 'originals.json'), 'utf8'),
    );
    expect({ ...stored, about: undefined }).toEqual({ together, datasetDigest, configDigest, vote });
  });
});

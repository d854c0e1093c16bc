import { spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import type { Project } from '../../src/lib/core/project.js';
import { bundleProject } from '../../src/lib/model/bundle/bundle-project.js';
import { evaluateProject } from '../../src/lib/model/evaluate/evaluate-project.js';
import { quantizeProject } from '../../src/lib/model/quantize/quantize-project.js';
import { trainProject } from '../../src/lib/model/train/train-project.js';
import { describeReal } from '../support/real.js';
import { temporaryFolder, toyProject } from './support.js';

let project: Project;
let bytes: Uint8Array;
beforeAll(async () => {
  project = await toyProject();
  await trainProject({ project });
  await quantizeProject({ project });
  await evaluateProject({ project });
  ({ bytes } = await bundleProject({ project }));
});

describeReal('tar', 'a bundle opened with tar', () => {
  it('can be listed and extracted, and its checksums pass sha256sum', async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'model.aiot'), bytes);
    const tar = (args: string[]) => spawnSync('tar', args, { cwd: folder, encoding: 'utf8' });
    const list = tar(['-tvf', 'model.aiot']);
    expect(list.stderr).toBe('');
    expect(
      list.stdout
        .trim()
        .split('\n')
        .map((line) => line.split(/\s+/).at(-1)),
    ).toEqual(['bundle.json', 'model.tflite', 'golden.json', 'lineage.json', 'SHA256SUMS']);
    expect(tar(['-xf', 'model.aiot']).status).toBe(0);
    const sums = spawnSync('sha256sum', ['-c', 'SHA256SUMS'], { cwd: folder, encoding: 'utf8' });
    expect(sums.status).toBe(0);
  });
});

import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadProject } from '../../../src/lib/core/project.js';
import { buildFiles, readTraining } from '../../../src/lib/model/files.js';
import { quantizeProject } from '../../../src/lib/model/quantize/quantize-project.js';
import { trainProject } from '../../../src/lib/model/train/train-project.js';
import { runCli } from '../../support/cli.js';
import { toyProject } from '../support.js';

interface Kept {
  history: unknown[];
  best: { epoch: number; loss: number };
  last: { values: string };
}
const nan = Buffer.from(new Float32Array([Number.NaN]).buffer).toString('base64');

describe('an interrupted training run', () => {
  it('keeps the best epoch so far, and resumes to the same model', async () => {
    const project = await toyProject();
    const whole = await trainProject({ project });
    const wholeBytes = await readFile(whole.file);
    const stop = new AbortController();
    const run = trainProject({
      project,
      signal: stop.signal,
      onEpoch: ({ epoch }) => epoch === 5 && stop.abort(new Error('Ctrl-C')),
    });
    await expect(run).rejects.toMatchObject({
      code: 'AIOT_INTERRUPTED',
      exit: 130,
      message: expect.stringMatching(
        /^stopped after epoch 5 of 12; the best epoch so far, \d \(validation loss 0\.\d+\)/,
      ),
      next: expect.stringContaining('--resume'),
    });
    const kept = await readTraining(project);
    expect(kept).toMatchObject({ interrupted: true, history: { length: 5 } });
    expect((await quantizeProject({ project })).bytes).toBeGreaterThan(0);
    const gone = await trainProject({ project, resume: true });
    expect(gone).toMatchObject({ epochs: 12, digest: whole.digest, metrics: whole.metrics });
    expect((await readFile(gone.file)).equals(wholeBytes)).toBe(true);
    expect((await readTraining(project)).interrupted).toBe(false);
  });

  it('accepts more epochs on resume', async () => {
    const project = await toyProject();
    await trainProject({ project });
    const { json } = await runCli([
      'model',
      'train',
      '-p',
      project.dir,
      '--resume',
      '--epochs',
      '20',
      '--json',
      '-q',
    ]);
    const fresh = await runCli(['model', 'train', '-p', project.dir, '--epochs', '20', '--json', '-q']);
    expect(json).toMatchObject({ epochs: 20, digest: (fresh.json as { digest: string }).digest });
  });

  it.each([
    ['other settings', (text: string) => text.replace('batch: 16', 'batch: 8')],
    ['a different model', (text: string) => text.replace('[8]', '[9]')],
    ['other signal settings', (text: string) => text.replace('stride: 25', 'stride: 20')],
  ])('does not resume with %s', async (_name, edit) => {
    const project = await toyProject((text) => text.replace('epochs: 12', 'epochs: 2'));
    await trainProject({ project });
    const before = await readFile(buildFiles(project).float);
    await writeFile(project.file, edit(await readFile(project.file, 'utf8')));
    const run = trainProject({ project: await loadProject(project.dir), resume: true });
    await expect(run).rejects.toMatchObject({ code: 'AIOT_MODEL_STALE' });
    expect((await readFile(buildFiles(project).float)).equals(before)).toBe(true);
  });

  it('does not resume without a readable checkpoint', async () => {
    const project = await toyProject();
    const { json, code } = await runCli(['model', 'train', '-p', project.dir, '--resume', '--json']);
    expect(json).toMatchObject({ error: { code: 'AIOT_MODEL_NOT_BUILT' } });
    expect(code).toBe(4);
    await trainProject({ project: { ...project, config: { ...project.config } } });
    const file = join(project.dir, 'build/checkpoint.json');
    const text = await readFile(file, 'utf8');
    for (const damaged of [text.slice(0, -100), text.replace('"values":"', '"values":"?')]) {
      await writeFile(file, damaged);
      await expect(trainProject({ project, resume: true })).rejects.toMatchObject({
        code: 'AIOT_FILE_MALFORMED',
      });
    }
  });

  it.each([
    ['a gap', (read: Kept) => read.history.splice(1, 1), 'expected epoch 2 in its history, got 3'],
    ['a best epoch that was never run', (read: Kept) => (read.best.epoch = 99), 'its best epoch is 99'],
    ['another best loss', (read: Kept) => (read.best.loss /= 2), 'its best loss is'],
    ['a weight that is NaN', (read: Kept) => (read.last.values = nan), 'non-finite numbers'],
  ])('does not resume from a checkpoint with %s', async (_name, damage, message) => {
    const project = await toyProject((text) => text.replace('epochs: 12', 'epochs: 3'));
    await trainProject({ project });
    const file = join(project.dir, 'build/checkpoint.json');
    const read = JSON.parse(await readFile(file, 'utf8')) as Kept;
    damage(read);
    await writeFile(file, JSON.stringify(read));
    await expect(trainProject({ project, resume: true })).rejects.toMatchObject({
      code: 'AIOT_FILE_MALFORMED',
      message: expect.stringContaining(message),
      next: expect.stringContaining('aiot model train'),
    });
  });

  it('fails before its first epoch if nothing can be written', async () => {
    const project = await toyProject();
    await writeFile(join(project.dir, 'build'), 'a file where the folder goes');
    const epochs: number[] = [];
    const run = trainProject({ project, onEpoch: ({ epoch }) => epochs.push(epoch) });
    await expect(run).rejects.toMatchObject({ code: 'AIOT_FILE_NOT_WRITABLE' });
    expect(epochs).toEqual([]);
  });

  it('writes no model if interrupted before its first epoch', async () => {
    const project = await toyProject();
    const run = trainProject({ project, signal: AbortSignal.abort(new Error('Ctrl-C')) });
    await expect(run).rejects.toThrow('Ctrl-C');
    await expect(readFile(buildFiles(project).float)).rejects.toThrow('ENOENT');
  });
});

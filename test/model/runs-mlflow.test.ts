import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { ExportedRuns } from '../../src/lib/model/runs/mlflow.js';
import { readTrainingRuns, writeTrainingRun } from '../../src/lib/model/runs/record.js';
import { trainModel } from '../../src/lib/model/train/train-model.js';
import { runCli } from '../support/cli.js';
import { temporaryFolder, toyProject } from './support.js';

const text = (...path: string[]) => readFile(join(...path), 'utf8');

/** Parses `key: JSON` lines, the subset of YAML that the export writes. */
const yaml = (content: string) =>
  Object.fromEntries(
    content
      .trimEnd()
      .split('\n')
      .map((line) => [line.slice(0, line.indexOf(': ')), JSON.parse(line.slice(line.indexOf(': ') + 2))]),
  );

describe('aiot model runs export', () => {
  it('writes params, metrics, tags and artifacts in the layout of MLflow’s file store', async () => {
    const project = await toyProject();
    const trained = await trainModel({ project: project.dir, epochs: 3, folds: 3 });
    const out = join(await temporaryFolder(), 'mlruns');
    const { json } = await runCli(['model', 'runs', 'export', '-p', project.dir, '--out', out, '--json']);
    const { experiments, skipped } = json as ExportedRuns;
    expect(experiments).toEqual([{ name: 'toy', id: expect.stringMatching(/^\d+$/), runs: 1 }]);
    expect(skipped).toEqual([]);
    const at = join(out, experiments[0]!.id);
    expect(yaml(await text(at, 'meta.yaml'))).toMatchObject({
      name: 'toy',
      experiment_id: experiments[0]!.id,
      lifecycle_stage: 'active',
    });
    const [id] = (await readdir(at)).filter((name) => name !== 'meta.yaml');
    const folder = join(at, id!);
    const [run] = await readTrainingRuns(project.dir);
    expect(yaml(await text(folder, 'meta.yaml'))).toMatchObject({
      ...{ run_id: id, run_uuid: id, run_name: run!.run, status: 3, source_type: 4 },
      ...{ start_time: run!.started, end_time: run!.ended },
    });
    expect(await text(folder, 'params', 'model.layers')).toBe('8');
    const { foldsMacroF1 } = run!.metrics;
    expect(await text(folder, 'metrics', 'foldsMacroF1')).toBe(`${run!.ended} ${foldsMacroF1!.value} 0\n`);
    expect(await text(folder, 'metrics', 'foldsMacroF1_by_fold')).toBe(
      foldsMacroF1!.folds!.map((value, i) => `${run!.ended} ${value} ${i + 1}\n`).join(''),
    );
    expect((await text(folder, 'metrics', 'epoch_valLoss')).trimEnd().split('\n')).toHaveLength(3);
    expect(await text(folder, 'tags', 'aiot.data.digest')).toBe(run!.data.digest);
    expect(await text(folder, 'tags', 'mlflow.runName')).toBe((trained as { run: string }).run);
    expect((await readdir(join(folder, 'artifacts'))).sort()).toEqual([
      'folds.json',
      'model.float.tflite',
      'training.json',
    ]);
    const again = join(await temporaryFolder(), 'mlruns');
    await runCli(['model', 'runs', 'export', '-p', project.dir, '--out', again, '-q']);
    expect(await readdir(join(again, experiments[0]!.id))).toEqual(await readdir(at));
  });

  it('replaces invalid characters of names, so that files stay in their folder', async () => {
    const project = await toyProject();
    await trainModel({ project: project.dir, epochs: 1 });
    const [run] = await readTrainingRuns(project.dir);
    const params = {
      'model.labels.../../../x': 'two\nlines',
      'model.labels.a/b': 'c',
      'model.labels.a_b': 'd',
    };
    await writeTrainingRun(project.dir, { ...run!, params });
    const out = join(await temporaryFolder(), 'mlruns');
    const { json } = await runCli(['model', 'runs', 'export', '-p', project.dir, '--out', out, '--json']);
    const at = join(out, (json as ExportedRuns).experiments[0]!.id);
    const [id] = (await readdir(at)).filter((name) => name !== 'meta.yaml');
    const names = (await readdir(join(at, id!, 'params'))).sort();
    expect(names).toEqual(['model.labels..._.._.._x', 'model.labels.a_b', 'model.labels.a_b_2']);
    expect(await text(at, id!, 'params', names[0]!)).toBe('two lines');
  });

  it('rejects a project without runs, and a folder that is not empty', async () => {
    const project = await toyProject();
    const folder = await temporaryFolder();
    const out = join(folder, 'mlruns');
    const words = ['model', 'runs', 'export', '-p', project.dir, '--out', out, '--json'];
    expect(await runCli(words)).toMatchObject({ code: 4, json: { error: { code: 'AIOT_NOT_FOUND' } } });
    expect(existsSync(out)).toBe(false);
    await trainModel({ project: project.dir, epochs: 1 });
    await mkdir(out);
    await writeFile(join(out, 'notes.txt'), 'mine');
    expect(await runCli(words)).toMatchObject({
      code: 2,
      json: { error: { code: 'AIOT_FOLDER_NOT_EMPTY' } },
    });
    expect(await readdir(folder)).toEqual(['mlruns']);
    expect(await readdir(out)).toEqual(['notes.txt']);
  });

  it('leaves nothing behind if a run’s file is missing', async () => {
    const project = await toyProject();
    await trainModel({ project: project.dir, epochs: 1 });
    const [run] = await readTrainingRuns(project.dir);
    const files = [...run!.files, { name: 'gone.bin', bytes: 1, digest: 'sha256:0' }];
    await writeTrainingRun(project.dir, { ...run!, files });
    const folder = await temporaryFolder();
    const words = ['-p', project.dir, '--out', join(folder, 'mlruns'), '--json'];
    const { json } = await runCli(['model', 'runs', 'export', ...words]);
    expect(json).toMatchObject({
      error: { code: 'AIOT_FILE_NOT_FOUND', message: expect.stringContaining('gone.bin') },
    });
    expect(await readdir(folder)).toEqual([]);
  });
});

import { execFileSync } from 'node:child_process';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { exportMlflow } from '../../src/lib/model/runs/mlflow.js';
import { readTrainingRuns, runFolder } from '../../src/lib/model/runs/record.js';
import { trainModel } from '../../src/lib/model/train/train-model.js';
import { root } from '../support/cli.js';
import { describeReal } from '../support/real.js';
import { temporaryFolder, toyProject } from './support.js';

const python = join(root, '.venv/mlflow/bin/python');
const script = join(root, 'test/support/python/mlflow_runs.py');

interface FoundRun {
  name: string;
  status: string;
  start: number;
  end: number;
  params: Record<string, string>;
  tags: Record<string, string>;
  history: Record<string, { step: number; value: number; at: number }[]>;
  artifacts: string[];
  bytes: number | null;
}

describeReal('mlflow', 'MLflow reads exported runs', () => {
  it('with every param, metric by step, tag and artifact, and sorts them by a metric', async () => {
    const project = await toyProject();
    const stop = new AbortController();
    await trainModel({ project: project.dir, epochs: 4, folds: 3 });
    await trainModel({ project: project.dir, epochs: 12, layers: '3' });
    await trainModel({
      ...{ project: project.dir, epochs: 9, signal: stop.signal },
      onEpoch: ({ epoch }) => void (epoch === 2 && stop.abort(new Error('Ctrl-C'))),
    }).catch(() => {});
    await trainModel({ project: project.dir, search: 2, epochs: 2 });
    const runs = await readTrainingRuns(project.dir);
    const out = join(await temporaryFolder(), 'mlruns');
    await exportMlflow({ dir: project.dir, out });
    const text = execFileSync(python, [script, out], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
    const [experiment, ...others] = JSON.parse(text) as { name: string; best: string; runs: FoundRun[] }[];
    expect(others).toEqual([]);
    expect(experiment!.name).toBe('toy');
    expect(experiment!.runs.map(({ name }) => name)).toEqual(runs.map(({ run }) => run));
    for (const [i, found] of experiment!.runs.entries()) {
      const run = runs[i]!;
      expect(found).toMatchObject({ start: run.started, end: run.ended });
      expect(found.status).toBe(
        { done: 'FINISHED', interrupted: 'KILLED', failed: 'FAILED' }[run.state as 'done'],
      );
      expect(found.params).toEqual(
        Object.fromEntries(Object.entries(run.params).map(([name, value]) => [name, String(value)])),
      );
      expect(found.tags).toMatchObject({ 'aiot.data.digest': run.data.digest, 'mlflow.runName': run.run });
      for (const [name, { value, interval, folds }] of Object.entries(run.metrics)) {
        expect(found.history[name]).toEqual([{ step: 0, value, at: run.ended }]);
        expect(found.history[`${name}_low`]?.[0]?.value).toBe(interval?.[0]);
        expect(found.history[`${name}_high`]?.[0]?.value).toBe(interval?.[1]);
        expect(found.history[`${name}_by_fold`]?.map((each) => each.value) ?? null).toEqual(folds);
      }
      expect(found.artifacts).toEqual(run.files.map(({ name }) => name).sort());
      const model = join(runFolder(project.dir, run.run), 'model.float.tflite');
      expect(found.bytes).toBe(run.files.length > 0 ? (await stat(model)).size : null);
    }
    expect(experiment!.runs[1]!.history.epoch_loss!.map(({ step }) => step)).toEqual(
      Array.from({ length: 12 }, (_, epoch) => epoch + 1),
    );
    const measured = runs.filter(({ metrics }) => metrics.valAccuracy !== undefined);
    const most = Math.max(...measured.map(({ metrics }) => metrics.valAccuracy!.value));
    const best = runs.find(({ run }) => run === experiment!.best)!;
    expect(best.metrics.valAccuracy!.value).toBe(most);
  });
});

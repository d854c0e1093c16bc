import { existsSync } from 'node:fs';
import { appendFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import * as z from 'zod';
import { clientFor } from '../../src/lib/api/context.js';
import { whySchema } from '../../src/lib/model/publish/why.js';
import { trainingRunSchema } from '../../src/lib/model/runs/record.js';
import { type RunResult, runResultSchema } from '../../src/lib/pipeline/run/result.js';
import { pipelineStatus } from '../../src/lib/pipeline/status.js';
import { up } from '../../src/lib/platform/up/up.js';
import { runCli } from '../support/cli.js';
import { ok } from '../support/up.js';
import { projectOf, tidyProjects } from './project.js';
import { pumpRows } from './project-of-rows.js';

tidyProjects();

const yaml = (accept: string) => `name: pump
model:
  table: { file: rows.csv }
  layers: [8]
  train: { epochs: 30, learningRate: 0.02 }
  accept: ${accept}
`;

const states = ({ steps }: RunResult) =>
  steps.map(({ name, state, cached }) => `${name} ${state}${cached ? ' as before' : ''}`);

it('the default pipeline takes a project from rows to a signed version on its own platform, and repeats no step', {
  timeout: 240_000,
}, async () => {
  const dir = await projectOf({ 'aiot.yaml': yaml('{ macroF1: 0.8 }'), 'rows.csv': pumpRows(200) });
  const first = await ok(runResultSchema, ['pipeline', 'run', '--project', dir]);
  expect(states(first)).toEqual([
    'extract done',
    'drift skipped as before',
    'train done',
    'quantize done',
    'evaluate done',
    'push done',
    'rollout skipped',
  ]);
  expect(first.model).toMatchObject({ name: 'pump', version: 1 });
  expect(first.steps.map(({ reason }) => reason).filter(Boolean)).toEqual([
    'no training data to compare with: a pipeline run that pushes a model stores its data, and the next run compares against it',
    expect.stringContaining('no device'),
  ]);
  const again = await ok(runResultSchema, ['pipeline', 'run', '--project', dir]);
  expect(again.steps.every(({ cached }) => cached)).toBe(true);
  expect(again.model).toEqual(first.model);
  // Each training is a run of the project; a cached step trains nothing.
  const runs = await ok(z.array(trainingRunSchema), ['model', 'runs', 'list', '--project', dir]);
  expect(runs).toMatchObject([{ kind: 'training', state: 'done', model: 'pump' }]);
  expect(runs[0]?.files.map(({ name }) => name)).toEqual(['model.float.tflite', 'training.json']);
  for (const command of ['show', 'best'])
    expect((await runCli(['model', 'runs', command, '--project', dir, '--json'])).stdout).toContain(
      runs[0]!.run,
    );
  // The build files are the same as if the commands had been typed in the project.
  expect(await runCli(['model', 'evaluate', '--project', dir])).toMatchObject({ code: 0 });

  // A limit does not affect training; if it is not met, nothing is pushed.
  await writeFile(join(dir, 'aiot.yaml'), yaml('{ bytes: 1B }'));
  const { code, json } = await runCli(['pipeline', 'run', '--project', dir, '--json']);
  expect(code).toBe(6);
  expect(states(json as RunResult).slice(2)).toEqual([
    'train done as before',
    'quantize done as before',
    'evaluate stopped',
    'push not-run',
    'rollout not-run',
  ]);
  expect((json as RunResult).steps[4]?.reason).toMatch(/^bytes: expected at most 1 B, got \d+\.\d KiB$/);

  // Changed data is compared with the training data of the pushed model.
  await writeFile(join(dir, 'aiot.yaml'), yaml('{ macroF1: 0.8, drift: 0.5 }'));
  await appendFile(join(dir, 'rows.csv'), pumpRows(200, 40).split('\n').slice(1).join('\n'));
  const drifted = await runCli(['pipeline', 'run', '--project', dir, '--json']);
  expect(drifted.code).toBe(6);
  expect(states(drifted.json as RunResult).slice(0, 3)).toEqual([
    'extract done',
    'drift stopped',
    'train not-run',
  ]);
  expect((drifted.json as RunResult).steps[1]?.reason).toMatch(
    /PSI: expected at most 0.5, got .* of current/,
  );
  const { steps } = await pipelineStatus({ dir, step: 'drift' });
  expect(steps[0]?.exit).toBe(6);

  // The version names the run that it came from.
  const own = join(dir, '.aiot/pipeline');
  const before = process.env.AIOT_CONFIG_DIR;
  process.env.AIOT_CONFIG_DIR = join(own, 'config');
  const platform = await up({
    data: join(own, 'platform'),
    host: '127.0.0.1',
    httpPort: 0,
    mqttPort: 0,
    newToken: false,
  });
  try {
    const why = await ok(whySchema, ['model', 'lineage', 'pump@1']);
    expect(why.run).toEqual({ id: first.run, cause: 'started manually' });
    const client = await clientFor();
    expect((await client.trainingRuns.list('pump')).map(({ run }) => run)).toEqual([runs[0]!.run]);
    await client.close();
    expect((await runCli(['model', 'lineage', 'pump@1'])).stdout).toContain(
      `run ${first.run}, started manually`,
    );
  } finally {
    await platform.stop();
    process.env.AIOT_CONFIG_DIR = before;
  }
  expect(existsSync(join(own, '.gitignore'))).toBe(true);
  expect(await readFile(join(dir, 'build', 'training.json'), 'utf8')).toContain('"file": "rows.csv"');
});

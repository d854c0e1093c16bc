import { existsSync, readFileSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { waysToDevices } from '../../src/lib/cli/render/pipeline.js';
import { graphSchema } from '../../src/lib/pipeline/graph.js';
import type { RunRecord } from '../../src/lib/pipeline/run/record.js';
import { type RunResult, runResultSchema } from '../../src/lib/pipeline/run/result.js';
import { runCli } from '../support/cli.js';
import { ok, refusal } from '../support/up.js';
import { mill, projectOf, tidyProjects } from './project.js';

tidyProjects();

it('aiot pipeline runs a pipeline, shows its status and history, and draws its graph', async () => {
  const { dir } = await mill();
  const run = await ok(runResultSchema, ['pipeline', 'run', '--project', dir]);
  expect(run).toMatchObject({ state: 'done', model: null, context: null });
  expect(run.steps.map(({ name, state, cached }) => [name, state, cached])).toEqual([
    ['first', 'done', false],
    ['left', 'done', false],
    ['right', 'done', false],
    ['last', 'done', false],
  ]);
  const again = await runCli(['pipeline', 'run', '--project', dir]);
  expect(again.stdout).toContain('\nNothing has changed, so no step was run again.\n');
  expect(again.stderr).toContain('✓ last  cached');

  const status = await runCli(['pipeline', 'status', run.run, '--project', dir, '--step', 'left']);
  expect(status.stdout).toMatch(/left\s+done/);
  expect(status.stdout).toContain('{"sum":111}');
  const { json } = await runCli(['pipeline', 'history', '--project', dir, '--json']);
  expect((json as RunRecord[]).map(({ state }) => state)).toEqual(['done', 'done']);

  const file = join(dir, 'graph.svg');
  const graph = await ok(graphSchema, ['pipeline', 'graph', '--project', dir, '--out', file]);
  expect(graph.text).toBe(
    [
      'first       cached',
      '└─ left     cached',
      '└─ right    cached  after first',
      '   └─ last  cached  after left, right',
    ].join('\n'),
  );
  expect(readFileSync(file, 'utf8')).toMatch(/^<svg [\s\S]*<\/svg>\n$/);
});

it('aiot pipeline run exits with 6 at a failed gate, and gives the reason as text and as JSON', async () => {
  const gate = 'run: [sh, -c, "echo too sour >&2; exit 6"], gate: taste';
  const dir = await projectOf({ 'aiot.yaml': `name: g\npipeline: { steps: [{ name: judge, ${gate} }] }\n` });
  const told = await runCli(['pipeline', 'run', '--project', dir]);
  expect(told.code).toBe(6);
  expect(told.stderr).toContain('AIOT_GATE_FAILED: judge: too sour');
  const json = await runCli(['pipeline', 'run', '--project', dir, '--json']);
  expect(json.code).toBe(6);
  expect((json.json as RunResult).steps).toMatchObject([
    { name: 'judge', state: 'stopped', reason: 'too sour' },
  ]);
});

it('aiot pipeline resume resumes a failed run at the step that failed', async () => {
  const dir = await projectOf({
    'aiot.yaml': `name: again
pipeline:
  steps:
    - { name: make, run: [sh, -c, 'date +%N > it'], out: { it: it } }
    - { name: use, run: [sh, ./use.sh], in: { it: make.it } }
`,
    'use.sh': 'exit 1\n',
  });
  const failed = await runCli(['pipeline', 'run', '--project', dir]);
  expect(failed.code).toBe(1);
  expect(failed.stderr).toContain('AIOT_PIPELINE_STEP: use: exit code 1');
  await writeFile(join(dir, 'use.sh'), 'cat it\n');
  const resumed = await runCli(['pipeline', 'resume', '--project', dir, '--json']);
  expect((resumed.json as RunResult).steps).toMatchObject([
    { name: 'make', state: 'done', cached: false },
    { name: 'use', state: 'done' },
  ]);
  expect(await refusal(['pipeline', 'resume', '--project', dir])).toMatchObject({ code: 'AIOT_USAGE' });
  expect(await refusal(['pipeline', 'cancel', '--project', dir])).toMatchObject({ code: 'AIOT_USAGE' });
});

it('aiot pipeline run suggests how to get devices if a model was pushed and there were none', () => {
  const rollout = { name: 'rollout', state: 'skipped' };
  const run = { steps: [rollout], context: null, model: { name: 'm', version: 1, digest: '' } } as RunResult;
  expect(waysToDevices(run)).toEqual(['aiot up --detach']);
  expect(waysToDevices({ ...run, context: 'local' })).toEqual(['aiot fleet simulate --count 3']);
  const file = { name: 'x-model.tflite', version: null, digest: '' };
  expect(
    [
      { ...run, steps: [] },
      { ...run, model: null },
      { ...run, model: file },
    ].map(waysToDevices),
  ).toEqual([[], [], []]);
});

it('aiot pipeline reports unknown runs, steps and projects', async () => {
  const { dir } = await mill();
  expect(await refusal(['pipeline', 'status', '--project', dir])).toMatchObject({
    code: 'AIOT_NOT_FOUND',
    subject: 'run',
    exit: 4,
  });
  expect(await refusal(['pipeline', 'run', '--project', dir, '--until', 'lst'])).toMatchObject({
    code: 'AIOT_USAGE',
    message: '--until: expected a step (first, left, right, last), got lst. Did you mean last?',
  });
  expect(existsSync(join(dir, '.aiot/pipeline/runs'))).toBe(false);
  await rm(join(dir, 'aiot.yaml'));
  expect(await refusal(['pipeline', 'graph', '--project', dir])).toMatchObject({
    code: 'AIOT_PROJECT_NOT_FOUND',
  });
});

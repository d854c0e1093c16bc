import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { withClient } from '../../src/lib/api/context.js';
import { publishedRunSchema } from '../../src/lib/api/contract/training-runs.js';
import { evaluateProject } from '../../src/lib/model/evaluate/evaluate-project.js';
import { pushResultSchema } from '../../src/lib/model/publish/push.js';
import { publishedRunsSchema } from '../../src/lib/model/publish/runs.js';
import { quantizeProject } from '../../src/lib/model/quantize/quantize-project.js';
import { readTrainingRuns, runFolder, writeTrainingRun } from '../../src/lib/model/runs/record.js';
import { trainModel } from '../../src/lib/model/train/train-model.js';
import { runCli } from '../support/cli.js';
import { ok, type UpForTests, upForTests } from '../support/up.js';
import { toyProject } from './support.js';

let own: UpForTests;
beforeAll(async () => {
  own = await upForTests();
}, 60_000);
afterAll(() => own.stop());

const stored = (model: string) => withClient(undefined, (client) => client.trainingRuns.list(model));

describe('publishing training runs', () => {
  it('sends the records of runs that have ended, without files, and each only once', async () => {
    const project = await toyProject();
    const nothing = await runCli(['model', 'runs', 'push', '-p', project.dir]);
    expect(nothing).toMatchObject({ code: 0, stdout: expect.stringContaining('No training run has ended') });
    await trainModel({ project: project.dir, epochs: 2, seed: 1 });
    await trainModel({ project: project.dir, epochs: 2, seed: 2 });
    const [first, second] = await readTrainingRuns(project.dir);
    const running = { ...second!, run: `tr_${'z'.repeat(26)}`, state: 'running' as const };
    await writeTrainingRun(project.dir, { ...running, process: { pid: process.pid, start: null } });
    const push = () => ok(publishedRunsSchema, ['model', 'runs', 'push', '-p', project.dir]);
    expect(await push()).toEqual({ models: [{ model: 'toy', added: 2, runs: 2 }] });
    expect(await push()).toEqual({ models: [{ model: 'toy', added: 0, runs: 2 }] });
    const runs = await stored('toy');
    expect(runs).toEqual([second, first].map((run) => publishedRunSchema.parse(run)));
    expect(JSON.stringify(runs)).not.toMatch(/"files"|"process"|"pid"/);
  });

  it('is part of `model push`, which succeeds even if a record is damaged', async () => {
    const project = await toyProject();
    const { name } = project.config;
    await trainModel({ project: project.dir });
    await quantizeProject({ project });
    await evaluateProject({ project });
    const before = (await stored(name)).length;
    const pushed = await runCli(['model', 'push', '-p', project.dir]);
    expect(pushed).toMatchObject({ code: 0, stdout: expect.stringMatching(/Runs +1 training run added/) });
    expect(await stored(name)).toHaveLength(before + 1);
    expect(await ok(pushResultSchema, ['model', 'push', '-p', project.dir])).toMatchObject({
      runs: { added: 0, problem: null },
    });
    const [run] = await readTrainingRuns(project.dir);
    await writeFile(join(runFolder(project.dir, run!.run), 'run.json'), '{');
    const damaged = await runCli(['model', 'push', '-p', project.dir]);
    expect(damaged.code).toBe(0);
    expect(damaged.stderr).toMatch(/training runs were not published: .*run\.json/s);
  });
});

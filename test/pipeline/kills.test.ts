import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { newId } from '../../src/lib/core/names.js';
import { runPipeline } from '../../src/lib/pipeline/run/run-pipeline.js';
import { cancelPipeline, pipelineHistory, pipelineStatus } from '../../src/lib/pipeline/status.js';
import { root } from '../support/cli.js';
import { halvesInStore, stepsOf } from '../support/pipeline-store.js';
import { mill, tidyProjects } from './project.js';

tidyProjects();

const long = process.env.AIOT_LONG === '1';
/** Duration of each step of the mill, ms. */
process.env.MILL_MS = '150';

/** Starts a runner in a separate process, and collects its output. @param stepMs duration of each step */
function runnerOf(
  dir: string,
  stepMs = Number(process.env.MILL_MS),
): {
  child: ChildProcess;
  says(line: string): Promise<void>;
  gone: Promise<unknown>;
} {
  const program = join(root, 'test', 'support', 'pipeline-runner.ts');
  const child = spawn(process.execPath, ['--import', 'tsx', program, dir], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, MILL_MS: String(stepMs) },
  });
  const said = new Set<string>();
  const waiting: [string, () => void][] = [];
  createInterface({ input: child.stdout! }).on('line', (line) => {
    said.add(line);
    for (const [wanted, resolve] of waiting) if (said.has(wanted)) resolve();
  });
  return {
    child,
    gone: once(child, 'exit'),
    says: (line) =>
      said.has(line) ? Promise.resolve() : new Promise((resolve) => waiting.push([line, resolve])),
  };
}

it.skipIf(process.platform !== 'linux')(
  'a pipeline reaches the same result however often its runner is killed, and leaves no step running',
  { timeout: long ? 600_000 : 180_000 },
  async () => {
    for (let round = 0; round < (long ? 60 : 3); round++) {
      const { dir, ran } = await mill();
      const runner = runnerOf(dir);
      await runner.says('first running');
      const wait = Math.random() * 600;
      await delay(wait);
      runner.child.kill('SIGKILL');
      await runner.gone;
      const seen = await pipelineStatus({ dir });
      expect(['interrupted', 'done']).toContain(seen.state);
      const end = seen.state === 'done' ? seen : await runPipeline({ dir, resume: '' });
      expect(end, `killed after ${wait} ms`).toMatchObject({ state: 'done', run: seen.run });
      expect(readFileSync(join(dir, 'out/sum.txt'), 'utf8')).toBe('10111');
      // A finished step is not repeated.
      const done = seen.steps.filter(({ state }) => state === 'done').map(({ name }) => name);
      for (const name of done) expect(ran().filter((each) => each === name)).toHaveLength(1);
      expect(stepsOf(dir)).toEqual([]);
      expect(halvesInStore(dir)).toEqual([]);
    }
  },
);

it('a pipeline run removes partial files left by a killed runner', async () => {
  const { dir } = await mill();
  await runPipeline({ dir });
  const left = ['.aiot/pipeline', '.aiot/pipeline/runs'].map((at) => join(dir, at, '.0123456789ab.tmp'));
  left.push(join(dir, 'out', `.${newId('part')}.tmp`));
  const others = join(dir, 'out', '.notes.tmp');
  for (const file of [...left, others]) writeFileSync(file, '{');
  writeFileSync(join(dir, 'seed.txt'), '2');
  await runPipeline({ dir });
  expect(left.filter((file) => existsSync(file))).toEqual([]);
  expect(existsSync(others)).toBe(true);
});

it.skipIf(process.platform !== 'linux')(
  'aiot pipeline cancel ends a run and its steps, and the run resumes where it stopped',
  { timeout: 180_000 },
  async () => {
    const { dir, ran } = await mill();
    // The two steps in the middle must not end before they are cancelled.
    const runner = runnerOf(dir, 2000);
    await runner.says('left running');
    const cancelled = await cancelPipeline({ dir });
    await runner.gone;
    expect(cancelled.state).toBe('cancelled');
    expect(cancelled.steps.map(({ name, state }) => `${name} ${state}`)).toEqual([
      'first done',
      'left cancelled',
      'right cancelled',
      'last not-run',
    ]);
    expect(stepsOf(dir)).toEqual([]);
    await expect(cancelPipeline({ dir })).rejects.toMatchObject({ code: 'AIOT_USAGE' });
    const end = await runPipeline({ dir, resume: cancelled.run.slice(0, 14) });
    expect(end).toMatchObject({ state: 'done', run: cancelled.run });
    expect(ran().filter((name) => name === 'first')).toHaveLength(1);
    expect(await pipelineHistory({ dir })).toHaveLength(1);
  },
);

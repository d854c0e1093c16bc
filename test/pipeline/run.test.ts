import { readFileSync } from 'node:fs';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { RunRecord } from '../../src/lib/pipeline/run/record.js';
import { runPipeline } from '../../src/lib/pipeline/run/run-pipeline.js';
import { pipelineHistory, pipelineStatus } from '../../src/lib/pipeline/status.js';
import { quickClock } from '../support/update.js';
import { mill, projectOf, tidyProjects } from './project.js';

tidyProjects();

const states = ({ steps }: RunRecord) =>
  steps.map(({ name, state, cached }) => `${name} ${state}${cached ? ' as before' : ''}`);

it('a pipeline runs its steps in the order of the graph, and repeats no unchanged step', async () => {
  const { dir, ran } = await mill();
  const first = await runPipeline({ dir });
  expect(states(first)).toEqual(['first done', 'left done', 'right done', 'last done']);
  expect(ran().slice(0, 1)).toEqual(['first']);
  expect(ran().slice(1, 3).sort()).toEqual(['left', 'right']);
  expect(readFileSync(join(dir, 'out/sum.txt'), 'utf8')).toBe('10111');
  expect(first.steps[3]).toMatchObject({ exit: 0, attempts: 1, result: { sum: 10_111 } });

  const again = await runPipeline({ dir });
  expect(again.steps.every(({ cached }) => cached)).toBe(true);
  expect(ran()).toHaveLength(4);

  // The content is the same as before; only the content matters, not when it was written.
  await writeFile(join(dir, 'seed.txt'), '1');
  expect((await runPipeline({ dir })).steps.every(({ cached }) => cached)).toBe(true);
  await writeFile(join(dir, 'seed.txt'), '2');
  expect(states(await runPipeline({ dir }))).toEqual(['first done', 'left done', 'right done', 'last done']);
  // Results from before the change are still in the cache.
  await writeFile(join(dir, 'seed.txt'), '1');
  expect((await runPipeline({ dir })).steps.every(({ cached }) => cached)).toBe(true);
  expect(readFileSync(join(dir, 'out/sum.txt'), 'utf8')).toBe('10111');
  expect((await pipelineHistory({ dir })).map(({ state }) => state)).toEqual(Array(5).fill('done'));
});

it('a pipeline reruns the steps that use a changed program', async () => {
  const { dir, ran } = await mill();
  await runPipeline({ dir });
  await writeFile(
    join(dir, 'add.mjs'),
    `${await readFile(join(dir, 'add.mjs'), 'utf8')}// said differently\n`,
  );
  await runPipeline({ dir });
  expect(ran()).toHaveLength(8);
});

it('a pipeline detects changed or lost cache content and an edited output', async () => {
  const { dir, ran } = await mill();
  const { steps } = await runPipeline({ dir });
  const digest = steps[1]!.outputs.sum!.digest.slice('sha256:'.length);
  const blob = join(dir, '.aiot/pipeline/store/blobs', digest.slice(0, 2), digest);
  await rm(blob);
  await writeFile(blob, '112');
  await writeFile(join(dir, 'out/sum.txt'), 'mine');
  const said: string[] = [];
  const again = await runPipeline({ dir, onLine: (step, line) => void said.push(`${step}: ${line}`) });
  expect(states(again)).toEqual([
    'first done as before',
    'left done',
    'right done as before',
    'last done as before',
  ]);
  expect(said).toEqual([
    'left: its cached output was changed or lost, so the step runs again',
    'left: {"sum":111}',
  ]);
  expect(again.published).toMatchObject([{ path: 'out/sum.txt', changed: true }]);
  expect(readFileSync(join(dir, 'out/sum.txt'), 'utf8')).toBe('10111');
  expect(readFileSync(blob, 'utf8')).toBe('111');
  expect(ran()).toHaveLength(5);
});

it('a pipeline treats the newest run as the last one even if the clock was set back', async () => {
  const dir = await projectOf({
    'aiot.yaml': 'name: late\npipeline:\n  steps: [{ name: a, run: ["true"] }]\n',
  });
  const at = (hours: number) => ({ ...quickClock, now: () => Date.now() + hours * 3_600_000 });
  const ran: string[] = [];
  for (const hours of [1, 0, -1]) ran.push((await runPipeline({ dir, clock: at(hours) })).run);
  expect((await pipelineStatus({ dir })).run).toBe(ran[2]);
  expect((await pipelineHistory({ dir })).map(({ run }) => run)).toEqual(ran.reverse());
});

it('a pipeline stores no result of more than 256 KiB', async () => {
  const dir = await projectOf({
    'say.mjs': 'console.log(JSON.stringify({ a: "a".repeat(process.argv[2] - 8) }));',
    'aiot.yaml': `name: long
pipeline:
  steps:
    - { name: fits, run: [node, ./say.mjs, '262144'] }
    - { name: not, run: [node, ./say.mjs, '262145'] }
`,
  });
  const record = await runPipeline({ dir, clock: quickClock });
  expect(states(record)).toEqual(['fits done', 'not done']);
  expect(record.steps.map(({ result }) => JSON.stringify(result).length)).toEqual([262_144, 'null'.length]);
});

it('a pipeline stops at a failed gate, skips the steps that depend on it, and runs the others', async () => {
  const dir = await projectOf({
    'aiot.yaml': `name: gate
pipeline:
  steps:
    - { name: judge, run: [sh, -c, 'echo too bad >&2; exit 6'], retries: 3, gate: taste }
    - { name: beside, run: [sh, -c, 'echo fine > out'], out: { text: out } }
    - { name: ship, run: [sh, -c, 'exit 0'], needs: [judge] }
    - { name: tell, run: [sh, -c, 'exit 0'], needs: [ship] }
`,
  });
  const record = await runPipeline({ dir, clock: quickClock });
  expect(record.state).toBe('stopped');
  expect(states(record)).toEqual(['judge stopped', 'beside done', 'ship not-run', 'tell not-run']);
  expect(record.steps.map(({ reason }) => reason)).toEqual([
    'too bad',
    null,
    'the gate of judge failed',
    'ship was not completed',
  ]);
  // A failed gate is not retried, because that would not change the result.
  expect(record.steps[0]!.attempts).toBe(1);
});

it('a pipeline retries a failed step with increasing delays, and reports its output', async () => {
  const dir = await projectOf({
    'try.sh': 'echo x >> "$1"; echo "try $(wc -l < "$1")" >&2; [ "$(wc -l < "$1")" = 3 ]\n',
    'aiot.yaml': '',
  });
  const tries = join(dir, 'tries');
  await writeFile(
    join(dir, 'aiot.yaml'),
    `name: tries
pipeline:
  steps:
    - { name: once, run: [sh, ./try.sh, '${tries}'], retries: 5, wait: 10s }
    - { name: never, run: [sh, -c, 'exit 3'], retries: 1 }
    - { name: missing, run: [no-such-program] }
    - { name: empty, run: ['true'], out: { it: it } }
    - { name: slow, run: [sleep, '60'], timeout: 200ms }
`,
  );
  const waits: number[] = [];
  const clock = { now: () => Date.now(), sleep: async (ms: number) => void waits.push(ms) };
  const record = await runPipeline({ dir, clock, jobs: 1 });
  expect(record.state).toBe('failed');
  expect(record.steps.map(({ name, state, attempts, reason }) => [name, state, attempts, reason])).toEqual([
    ['once', 'done', 3, null],
    ['never', 'failed', 2, 'exit code 3'],
    ['missing', 'failed', 1, 'no-such-program could not be started (ENOENT)'],
    ['empty', 'failed', 1, 'it produced no it'],
    ['slow', 'failed', 1, 'it took more than 0.2 s'],
  ]);
  expect(waits).toEqual([10_000, 20_000, 1000]);
  const { log } = await pipelineStatus({ dir, step: 'once' });
  expect(log).toBe('try 1\ntry 2\ntry 3\n');
});

it('a pipeline skips a step if its condition is false, and the steps that need its output', async () => {
  const dir = await projectOf({
    'aiot.yaml': `name: when
pipeline:
  steps:
    - { name: look, run: [sh, -c, 'echo "{\\"psi\\": 0.1, \\"drifted\\": false}"'] }
    - { name: mend, run: [sh, -c, 'echo > out'], out: { it: out }, when: look.drifted = true and look.psi > 0.05 }
    - { name: use, run: [cat, it], in: { it: mend.it } }
    - { name: after, run: ['true'], needs: [mend], when: look.psi < 0.2 }
`,
  });
  const record = await runPipeline({ dir });
  expect(record.state).toBe('done');
  expect(record.steps.map(({ name, state, reason }) => [name, state, reason])).toEqual([
    ['look', 'done', null],
    ['mend', 'skipped', 'the condition look.drifted = true is false: the value is false'],
    ['use', 'skipped', 'mend produced no it'],
    ['after', 'done', null],
  ]);
});

it('a pipeline limits the runs in the history and the bytes in the cache', async () => {
  const { dir } = await mill(`  jobs: 1
  keep: { runs: 2, cache: 1B }
`);
  for (const seed of ['1', '2', '3']) {
    await writeFile(join(dir, 'seed.txt'), seed);
    await runPipeline({ dir });
  }
  expect(await pipelineHistory({ dir })).toHaveLength(2);
  expect(await readdir(join(dir, '.aiot/pipeline/logs'))).toHaveLength(2);
  expect(await readdir(join(dir, '.aiot/pipeline/store/steps'))).toEqual([]);
});

it('a project rejects a second pipeline run at the same time', async () => {
  const { dir } = await mill();
  // Either run can be first, because both begin by reading the project.
  const both = await Promise.allSettled([runPipeline({ dir }), runPipeline({ dir })]);
  const [done] = both.filter((one) => one.status === 'fulfilled');
  const [refused] = both.filter((one) => one.status === 'rejected');
  expect(done?.value.state).toBe('done');
  expect(refused?.reason).toMatchObject({ code: 'AIOT_PIPELINE_BUSY' });
});

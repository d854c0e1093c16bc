import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import type { NewPipelineRequest, RequestState } from '../../src/lib/api/contract/pipeline-requests.js';
import { addContext } from '../../src/lib/core/contexts.js';
import { type Clock, systemClock } from '../../src/lib/core/time.js';
import { requestPipeline } from '../../src/lib/pipeline/run/request.js';
import { type RunnerEvent, runPipelineRunner } from '../../src/lib/pipeline/run/runner.js';
import { pipelineHistory } from '../../src/lib/pipeline/status.js';
import { makeCertificates } from '../support/certificates.js';
import { root, runCli } from '../support/cli.js';
import { fixedPorts, type TestPlatform, testPlatform } from '../support/platform.js';
import { mill, tidyProjects } from './project.js';

tidyProjects();

let own: TestPlatform;
/** Added to the platform's clock, ms. */
let shift = 0;
const before = process.env.MILL_MS;
beforeAll(async () => {
  own = await testPlatform({
    clock: { ...systemClock, now: () => Date.now() + shift },
    ...(await fixedPorts()),
  });
  const { urls, ca } = own.platform;
  await addContext('lab', { url: urls.http, ca, token: own.token }, {});
});
afterAll(async () => {
  await own.stop();
  if (before === undefined) delete process.env.MILL_MS;
  else process.env.MILL_MS = before;
});

const controllers: AbortController[] = [];
// A runner that a failed test has left would take the requests of the next one.
afterEach(() => {
  for (const controller of controllers.splice(0)) controller.abort();
});

/** Starts a runner in this process. */
function runnerIn(dir: string, name: string, clock?: Clock) {
  const controller = new AbortController();
  controllers.push(controller);
  const events: RunnerEvent[] = [];
  const done = runPipelineRunner({
    ...{ dir, name, context: 'lab', clock, signal: controller.signal },
    onEvent: (event) => events.push(event),
  });
  done.catch(() => {});
  return {
    events,
    done,
    ready: () => expect.poll(() => events.map(({ event }) => event)).toContain('ready'),
    async stop() {
      controller.abort();
      await done;
    },
  };
}

/** Starts `aiot pipeline runner` in its own process. */
function spawned(
  dir: string,
  ms: number,
): { child: ChildProcess; lines: string[]; gone: Promise<unknown[]> } {
  const args = [
    'bin/run.js',
    'pipeline',
    'runner',
    '--project',
    dir,
    '--context',
    'lab',
    '--name',
    'child',
    '--json',
  ];
  const child = spawn(process.execPath, args, {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, MILL_MS: String(ms) },
  });
  const lines: string[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => lines.push(line));
  return { child, lines, gone: once(child, 'exit') };
}

const request = (more: Partial<NewPipelineRequest> = {}) =>
  own.client.pipelineRequests.create({ project: 'mill', ...more });

/** Waits until a request has this state. */
async function state(id: string, wanted: RequestState) {
  await expect
    .poll(async () => (await own.client.pipelineRequests.get(id)).state, { timeout: 40_000 })
    .toBe(wanted);
  return await own.client.pipelineRequests.get(id);
}

it('a requested run is a run like any other: with its steps, who asked, and its lines', async () => {
  process.env.MILL_MS = '0';
  const { dir, ran } = await mill();
  const runner = runnerIn(dir, 'lab-1');
  await runner.ready();
  expect(await own.client.pipelineRunners.list({ project: 'mill' })).toMatchObject([
    { name: 'lab-1', request: null, steps: ['first', 'left', 'right', 'last'].map((name) => ({ name })) },
  ]);
  const { id } = await request({ until: 'left' });
  const ended = await state(id, 'done');
  expect(ran()).toEqual(['first', 'left']);
  expect(ended.log).toEqual(expect.arrayContaining(['first: running', 'first: done', 'left: done']));
  const [record] = await pipelineHistory({ dir });
  expect(record).toMatchObject({ run: ended.run, cause: { text: `requested by ${ended.who}` } });
  expect(await own.client.runs.get('mill', ended.run ?? '')).toMatchObject({ state: 'done' });
  // The second run skips the unchanged steps, unless it was requested with `force`.
  await state((await request({ until: 'left' })).id, 'done');
  expect(ran()).toEqual(['first', 'left']);
  await state((await request({ until: 'first', force: true })).id, 'done');
  expect(ran()).toEqual(['first', 'left', 'first']);
  await runner.stop();
  expect(await own.client.pipelineRunners.list({ project: 'mill' })).toEqual([]);
  expect(runner.events.map(({ event }) => event)).toEqual([
    'ready',
    ...Array.from({ length: 3 }, () => ['claimed', 'ended']).flat(),
  ]);
});

it('`pipeline start --wait` shows the lines of the run, and exits with 1 if it fails', async () => {
  process.env.MILL_MS = '0';
  const { dir } = await mill();
  const runner = runnerIn(dir, 'lab-1');
  await runner.ready();
  const start = ['pipeline', 'start', 'mill', '--context', 'lab', '--wait'];
  const done = await runCli([...start, '--runner', 'lab-1', '--until', 'first']);
  expect([done.code, done.stderr]).toEqual([0, 'first: running\nfirst: done\n']);
  expect(done.stdout).toMatch(/^request_\w+: mill is done on lab-1 \(run_\w+\)\n$/);
  await writeFile(join(dir, 'add.mjs'), 'process.exit(1);\n');
  const failed = await runCli([...start, '--json']);
  expect([failed.code, failed.json]).toMatchObject([
    1,
    { state: 'failed', error: { code: 'AIOT_PIPELINE_STEP' } },
  ]);
  const unknown = await runCli([...start, '--until', 'frist', '--json']);
  expect([unknown.code, unknown.json]).toMatchObject([2, { error: { code: 'AIOT_REQUEST_INVALID' } }]);
  await runner.stop();
  const none = await runCli([...start, '--json']);
  expect([none.code, none.json]).toMatchObject([1, { error: { code: 'AIOT_PIPELINE_RUNNER' } }]);
});

it('a failed run is reported with its reason', async () => {
  const { dir } = await mill();
  const runner = runnerIn(dir, 'lab-1');
  await runner.ready();
  await writeFile(join(dir, 'add.mjs'), 'console.error("no seed"); process.exit(1);\n');
  const failed = await state((await request()).id, 'failed');
  expect(failed).toMatchObject({
    error: { code: 'AIOT_PIPELINE_STEP', message: expect.stringContaining('first') },
  });
  expect(failed.log.join('\n')).toContain('first: no seed');
  await writeFile(join(dir, 'aiot.yaml'), 'name: mill\npipeline: 3\n');
  expect(await state((await request()).id, 'failed')).toMatchObject({
    run: null,
    error: { code: 'AIOT_PROJECT_INVALID' },
  });
  await runner.stop();
});

it('the log of a request has every line of stdout and stderr, without control characters', async () => {
  const { dir } = await mill();
  const runner = runnerIn(dir, 'lab-1');
  await runner.ready();
  await writeFile(
    join(dir, 'add.mjs'),
    `process.stdout.write('one\\ntwo\\nthree\\n{"sum":1}\\n');
process.stderr.write('four\\n  10 %\\r  20 %\\nfive\\u0000\\u001b[1m!\\nunended');
process.exit(1);
`,
  );
  const { log } = await state((await request({ until: 'first' })).id, 'failed');
  const of = (words: RegExp) => log.filter((line) => words.test(line) && !line.includes('failed'));
  expect(of(/: (one|two|three|\{)/)).toEqual(['first: one', 'first: two', 'first: three']);
  expect(of(/four|%|five|unended/)).toEqual([
    'first: four',
    'first: 20 %',
    'first: five\\x00!',
    'first: unended',
  ]);
  // More bytes than the platform accepts in one report. Characters of three bytes are the longest.
  await writeFile(
    join(dir, 'add.mjs'),
    `process.stderr.write(('\\u0000'.repeat(490) + '\\n').repeat(2000) + ('€'.repeat(490) + '\\n').repeat(2000));
process.exitCode = 1;
`,
  );
  const flood = await state((await request({ until: 'first' })).id, 'failed');
  expect([flood.lines > 4000, flood.log.some((line) => line.startsWith('first: €€'))]).toEqual([true, true]);
  await runner.stop();
});

it('a rejected renewal is reported, but does not end the run in progress or the lease', async () => {
  process.env.MILL_MS = '3000';
  const { dir, ran } = await mill();
  const clock = {
    ...systemClock,
    sleep: (ms: number, signal?: AbortSignal) => systemClock.sleep(Math.min(ms, 300), signal),
  };
  const runner = runnerIn(dir, 'lab-1', clock);
  await runner.ready();
  const { id } = await request({ until: 'first' });
  await expect.poll(ran, { timeout: 20_000 }).toEqual(['first']);
  // More steps than the platform accepts.
  const steps = Array.from(
    { length: 201 },
    (_, i) => `    - { name: s${i}, run: [node, x.mjs], out: { o: x } }`,
  );
  await writeFile(join(dir, 'aiot.yaml'), `name: mill\npipeline:\n  steps:\n${steps.join('\n')}\n`);
  await expect.poll(() => runner.events.map(({ event }) => event), { timeout: 20_000 }).toContain('trouble');
  await state(id, 'done');
  const [listed] = await own.client.pipelineRunners.list({ project: 'mill' });
  expect(listed?.steps.map(({ name }) => name)).toEqual(['first', 'left', 'right', 'last']);
  expect(listed?.seen).toBeGreaterThan(runner.events.find(({ event }) => event === 'trouble')?.at ?? 0);
  await runner.stop();
  expect(runner.events.map(({ event }) => event)).toEqual(['ready', 'claimed', 'trouble', 'ended']);
});

it('a wait continues while the platform cannot be reached', async () => {
  const made = { id: 'request_1', project: 'mill', who: 'ada', created: 1, wanted: null, until: null };
  const more = { force: false, runner: null, claimed: null, run: null, cancelledBy: null, error: null };
  let asked = 0;
  const certificates = await makeCertificates();
  const [key, cert] = [await certificates.read('server.key'), await certificates.read('server.crt')];
  const server = createServer({ key, cert }, (incoming, response) => {
    const create = incoming.method === 'POST';
    if (!create && asked++ < 3) return void response.destroy();
    const state = create
      ? { state: 'waiting', ended: null }
      : { state: 'done', ended: 2, lines: 1, log: ['x'] };
    response.writeHead(create ? 201 : 200, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ ...made, ...more, ...state }));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await addContext(
    'cut',
    { url: `https://127.0.0.1:${port}`, ca: certificates.path('ca.crt'), token: own.token },
    {},
  );
  const [lines, troubles]: string[][] = [[], []];
  const ended = await requestPipeline({
    ...{ project: 'mill', context: 'cut', wait: true, signal: AbortSignal.timeout(30_000) },
    clock: { ...systemClock, sleep: (_ms, signal) => systemClock.sleep(10, signal) },
    onLine: (line) => lines?.push(line),
    onTrouble: (text) => troubles?.push(text),
  });
  server.close();
  await certificates.remove();
  expect([ended.state, lines, troubles?.length]).toEqual(['done', ['x'], 1]);
  expect(asked).toBe(4);
});

it('a cancelled run stops its steps, and the runner takes the next request', async () => {
  process.env.MILL_MS = '60000';
  const { dir } = await mill();
  const runner = runnerIn(dir, 'lab-1');
  await runner.ready();
  const { id } = await request();
  await expect.poll(async () => (await own.client.pipelineRequests.get(id)).log).toContain('first: running');
  await own.client.pipelineRequests.cancel(id);
  const ended = await state(id, 'cancelled');
  expect((await pipelineHistory({ dir }))[0]).toMatchObject({ run: ended.run, state: 'cancelled' });
  process.env.MILL_MS = '0';
  await state((await request()).id, 'done');
  await runner.stop();
});

it('requests are divided among the runners of a project, each run once, also across a restart of the platform', async () => {
  process.env.MILL_MS = '1500';
  const [one, two] = [await mill(), await mill()];
  const runners = [runnerIn(one.dir, 'one'), runnerIn(two.dir, 'two')];
  await Promise.all(runners.map((runner) => runner.ready()));
  const ids: string[] = [];
  for (let i = 0; i < 4; i++) ids.push((await request({ until: 'first', force: true })).id);
  // Both runners have a run in progress when the platform stops.
  await expect.poll(() => [one.ran(), two.ran()], { timeout: 20_000 }).toEqual([['first'], ['first']]);
  expect(runners.flatMap(({ events }) => events).filter(({ event }) => event === 'ended')).toEqual([]);
  await own.restart();
  for (const id of ids) await state(id, 'done');
  await Promise.all(runners.map((runner) => runner.stop()));
  const claimed = runners.flatMap(({ events }) => events).filter(({ event }) => event === 'claimed');
  expect(claimed.map((event) => 'request' in event && event.request).sort()).toEqual(ids.sort());
  expect([...one.ran(), ...two.ran()]).toEqual(Array(4).fill('first'));
});

it('a second runner in the same folder is rejected', async () => {
  const { dir } = await mill();
  const runner = runnerIn(dir, 'lab-1');
  await runner.ready();
  await expect(runnerIn(dir, 'lab-2').done).rejects.toMatchObject({ code: 'AIOT_PIPELINE_BUSY' });
  await runner.stop();
});

it('a runner whose token is revoked ends with the reason', async () => {
  const { dir } = await mill();
  const { id, token } = await own.client.tokens.create({ name: 'runner', role: 'ci' });
  await addContext('lab', { url: own.platform.urls.http, ca: own.platform.ca, token }, { replace: true });
  const runner = runnerIn(dir, 'lab-1');
  await runner.ready();
  await own.client.tokens.revoke(id);
  await expect(runner.done).rejects.toMatchObject({ code: 'AIOT_TOKEN_INVALID' });
  await addContext(
    'lab',
    { url: own.platform.urls.http, ca: own.platform.ca, token: own.token },
    { replace: true },
  );
});

it('a runner that is stopped cancels its run; one that is killed loses it, and nothing runs again', async () => {
  const { dir, ran } = await mill();
  const first = spawned(dir, 60_000);
  await expect.poll(() => first.lines.length, { timeout: 40_000 }).toBe(1);
  const stopped = (await request()).id;
  await expect.poll(() => ran().length, { timeout: 40_000 }).toBe(1);
  first.child.kill('SIGTERM');
  await first.gone;
  expect(await state(stopped, 'cancelled')).toMatchObject({ error: { code: 'AIOT_INTERRUPTED' } });

  const second = spawned(dir, 60_000);
  await expect.poll(() => second.lines.length, { timeout: 40_000 }).toBe(1);
  const killed = (await request()).id;
  await expect.poll(() => ran().length, { timeout: 40_000 }).toBe(2);
  second.child.kill('SIGKILL');
  await second.gone;
  shift += 40_000;
  expect(await state(killed, 'lost')).toMatchObject({ error: { code: 'AIOT_JOB_LOST' } });
  process.env.MILL_MS = '0';
  const third = runnerIn(dir, 'lab-1');
  await third.ready();
  await state((await request({ until: 'first' })).id, 'done');
  await third.stop();
  expect(third.events.filter(({ event }) => event === 'claimed')).toHaveLength(1);
});

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createClient } from '../../src/lib/api/client.js';
import type { RequestEnd } from '../../src/lib/api/contract/pipeline-requests.js';
import { newId } from '../../src/lib/core/names.js';
import { eventsIn } from '../../src/lib/platform/events/events.js';
import { PipelineRequests } from '../../src/lib/platform/releases/pipeline-requests.js';
import { type Engine, openEngine } from '../../src/lib/platform/store/engine.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { ask } from '../support/raw-http.js';

const steps = ['extract', 'train'].map((name) => ({ name, about: `does ${name}`, needs: [], gate: null }));
const registration = (more: { name?: string; project?: string } = {}) => ({
  ...{ name: 'lab', project: 'mill', aiot: '0.1.0', steps },
  ...more,
});
const report = (runner: string, more: Partial<RequestEnd> = {}) => ({
  ...{ runner, run: null, from: 0, lines: [] as string[] },
  ...more,
});
const end = (runner: string, more: Partial<RequestEnd> = {}): RequestEnd => ({
  ...{ ...report(runner), state: 'done', error: null },
  ...more,
});
const newRunner = () => newId('runner');

describe('pipeline requests', () => {
  const folder = mkdtempSync(join(tmpdir(), 'aiot-requests-'));
  let engine: Engine;
  let requests: PipelineRequests;
  let time = 1_700_000_000_000;
  let project = '';
  let count = 0;
  const now = () => time;
  const types = async () =>
    (await eventsIn(engine.store, now).audit({ limit: 100, subject: project })).entries
      .map(({ action, detail, who }) => [action, (detail as { state?: string }).state ?? '', who].join(' '))
      .reverse();
  const opened = () =>
    new PipelineRequests({ store: engine.store, events: eventsIn(engine.store, now), now });
  const connect = async (more: Parameters<typeof registration>[0] = {}) => {
    const id = newRunner();
    await requests.putRunner(id, registration({ project, ...more }), 'bot');
    return id;
  };

  beforeAll(async () => {
    engine = await openEngine(join(folder, 'state.db'));
  });
  afterAll(async () => {
    await engine.close();
    rmSync(folder, { recursive: true, force: true });
  });
  beforeEach(() => {
    project = `mill-${++count}`;
    time += 1_000_000_000;
    requests = opened();
  });

  it('are claimed by one of several runners, oldest first, and end with an outcome that cannot change', async () => {
    const [a, b] = [await connect({ name: 'a' }), await connect({ name: 'b' })];
    const first = await requests.create({ project }, 'ada');
    time += 10;
    const second = await requests.create({ project, until: 'extract', force: true }, 'ada');
    const claims = await Promise.all([requests.claim(a, 'bot'), requests.claim(b, 'bot')]);
    expect(claims.map(({ request }) => request?.id).sort()).toEqual([first.id, second.id].sort());
    const mine = claims[0]?.request?.id ?? '';
    // The response may have been lost, so the runner gets the same request again.
    expect((await requests.claim(a, 'bot')).request?.id).toBe(mine);
    await expect(requests.end(mine, end(b), 'bot')).rejects.toMatchObject({ code: 'AIOT_NOT_ALLOWED' });
    const run = `run_${'1'.repeat(26)}`;
    expect(await requests.end(mine, end(a, { run }), 'bot')).toMatchObject({ state: 'done', run });
    // A repeated report has the same result; a contradicting one is rejected.
    expect(await requests.end(mine, end(a, { run }), 'bot')).toMatchObject({ state: 'done' });
    await expect(requests.end(mine, end(a, { state: 'failed' }), 'bot')).rejects.toMatchObject({
      code: 'AIOT_JOB_ENDED',
    });
    expect((await requests.claim(a, 'bot')).request).toBeNull();
    expect((await types()).filter((text) => text.startsWith('pipeline.request'))).toEqual([
      'pipeline.request waiting ada',
      'pipeline.request waiting ada',
      'pipeline.request running bot',
      'pipeline.request running bot',
      'pipeline.request done bot',
    ]);
  });

  it('wait for the runner that they name', async () => {
    const [a, b] = [await connect({ name: 'a' }), await connect({ name: 'b' })];
    const { id } = await requests.create({ project, runner: 'b' }, 'ada');
    expect((await requests.claim(a, 'bot')).request).toBeNull();
    expect((await requests.claim(b, 'bot')).request?.id).toBe(id);
  });

  it('need a connected runner and one of its steps', async () => {
    await expect(requests.create({ project }, 'ada')).rejects.toMatchObject({ code: 'AIOT_PIPELINE_RUNNER' });
    await connect();
    await expect(requests.create({ project, runner: 'other' }, 'ada')).rejects.toMatchObject({
      code: 'AIOT_PIPELINE_RUNNER',
    });
    await expect(requests.create({ project, until: 'trian' }, 'ada')).rejects.toMatchObject({
      code: 'AIOT_REQUEST_INVALID',
      message: expect.stringContaining('train'),
    });
    time += 30_001;
    await expect(requests.create({ project }, 'ada')).rejects.toMatchObject({ code: 'AIOT_PIPELINE_RUNNER' });
    expect((await requests.runners({ limit: 10, project })).runners).toEqual([]);
  });

  it('are limited to 20 waiting ones of a project, and the newest 100 ended ones are stored', async () => {
    const runner = await connect();
    for (let i = 0; i < 103; i++) {
      const { id } = await requests.create({ project }, 'ada');
      await requests.cancel(id, 'ada');
      time += 1;
    }
    await requests.putRunner(runner, registration({ project }), 'bot');
    for (let i = 0; i < 20; i++) await requests.create({ project }, 'ada');
    await expect(requests.create({ project }, 'ada')).rejects.toMatchObject({ code: 'AIOT_RATE_LIMITED' });
    const all = await requests.list({ limit: 1000, project });
    expect(all.requests.map(({ state }) => state)).toEqual([
      ...Array(20).fill('waiting'),
      ...Array(100).fill('cancelled'),
    ]);
  });

  it('are deleted when they are old, or more than 2,000 of all projects have ended', async () => {
    const of = (i: number) => ({
      ...{ id: `request_0${String(i).padStart(25, '0')}`, project: `p${i % 40}`, state: 'done', who: 'ada' },
      ...{
        created: time,
        wanted: null,
        until: null,
        force: 0,
        runner: null,
        runnerName: null,
        claimed: null,
      },
      ...{ claimedBy: null, leaseUntil: null, ended: time, run: null, cancelledBy: null, error: null },
      ...{ lines: 0, log: '[]' },
    });
    const waiting = { ...of(0), state: 'waiting', ended: null };
    const rows = [waiting, ...Array.from({ length: 2100 }, (_, i) => of(i + 1))];
    for (let i = 0; i < rows.length; i += 100)
      await engine.store
        .insertInto('pipelineRequests')
        .values(rows.slice(i, i + 100))
        .execute();
    await requests.sweep(time);
    const all = (await requests.list({ limit: 3000 })).requests;
    expect(all.filter(({ state }) => state !== 'waiting' && state !== 'running')).toHaveLength(2000);
    expect([(await requests.get(waiting.id)).state, (await requests.get(of(2100).id)).state]).toEqual([
      'waiting',
      'done',
    ]);
    time += 90 * 86_400_000 + 1;
    await requests.sweep(time);
    await expect(requests.get(of(2100).id)).rejects.toMatchObject({ code: 'AIOT_NOT_FOUND' });
    expect((await requests.get(waiting.id)).state).toBe('cancelled');
  });

  it('are lost when their runner stops reporting, and are never claimed again', async () => {
    const since = time - 100_000;
    const [a, b] = [await connect({ name: 'a' }), await connect({ name: 'b' })];
    const { id } = await requests.create({ project }, 'ada');
    await requests.claim(a, 'bot');
    time += 20_000;
    await requests.putRunner(a, registration({ project, name: 'a' }), 'bot');
    await requests.progress(id, report(a, { lines: ['extract: running'] }), 'bot');
    time += 29_999;
    await requests.putRunner(b, registration({ project, name: 'b' }), 'bot');
    await requests.sweep(since);
    expect((await requests.get(id)).state).toBe('running');
    time += 2;
    await requests.sweep(since);
    expect(await requests.get(id)).toMatchObject({ state: 'lost', error: { code: 'AIOT_JOB_LOST' } });
    expect((await requests.claim(b, 'bot')).request).toBeNull();
    // The runner was only disconnected, so its later reports correct the state.
    expect(await requests.progress(id, report(a), 'bot')).toMatchObject({ state: 'running', error: null });
    expect(await requests.end(id, end(a), 'bot')).toMatchObject({ state: 'done' });
    expect((await types()).slice(-5)).toEqual([
      'pipeline.request running bot',
      'pipeline.request lost platform',
      'pipeline.runner lost platform',
      'pipeline.request running bot',
      'pipeline.request done bot',
    ]);
  });

  it('outlive a restart of the platform: runners have the time of a lease to return', async () => {
    const runner = await connect();
    const running = await requests.create({ project }, 'ada');
    await requests.claim(runner, 'bot');
    const waiting = await requests.create({ project }, 'ada');
    time += 600_000;
    requests = opened();
    const since = time;
    await requests.sweep(since);
    time += 10_000;
    await requests.putRunner(runner, registration({ project }), 'bot');
    await requests.progress(running.id, report(runner), 'bot');
    time += 20_001;
    await requests.sweep(since);
    const states = async () =>
      (await requests.list({ limit: 10, project })).requests.map(({ id, state }) => [id, state]);
    expect(await states()).toEqual(
      expect.arrayContaining([
        [running.id, 'running'],
        [waiting.id, 'waiting'],
      ]),
    );
    time += 86_400_000;
    await requests.sweep(since);
    expect(await states()).toEqual(
      expect.arrayContaining([
        [running.id, 'lost'],
        [waiting.id, 'cancelled'],
      ]),
    );
  });

  it('are cancelled at once while they wait, and by their runner while they run', async () => {
    const runner = await connect();
    const waiting = await requests.create({ project }, 'ada');
    expect(await requests.cancel(waiting.id, 'bo')).toMatchObject({ state: 'cancelled', cancelledBy: 'bo' });
    await expect(requests.cancel(waiting.id, 'bo')).rejects.toMatchObject({ code: 'AIOT_JOB_ENDED' });
    expect((await requests.claim(runner, 'bot')).request).toBeNull();
    const running = await requests.create({ project }, 'ada');
    await requests.claim(runner, 'bot');
    expect(await requests.cancel(running.id, 'bo')).toMatchObject({ state: 'running', cancelledBy: 'bo' });
    expect((await requests.progress(running.id, report(runner), 'bot')).cancelledBy).toBe('bo');
    const ended = await requests.end(running.id, end(runner, { state: 'cancelled' }), 'bot');
    expect(ended).toMatchObject({ state: 'cancelled', cancelledBy: 'bo' });
  });

  it('are lost at once when their runner disconnects', async () => {
    const runner = await connect();
    const { id } = await requests.create({ project }, 'ada');
    await requests.claim(runner, 'bot');
    await requests.removeRunner(runner, 'bot');
    expect((await requests.get(id)).state).toBe('lost');
  });

  it('store each log line once, and only the newest 500', async () => {
    const runner = await connect();
    const { id } = await requests.create({ project }, 'ada');
    await requests.claim(runner, 'bot');
    const lines = (from: number, to: number) =>
      Array.from({ length: to - from }, (_, i) => `line ${from + i}`);
    await requests.progress(id, report(runner, { lines: lines(0, 3) }), 'bot');
    // The response was lost, so the runner sends the same lines again, with a new one.
    await requests.progress(id, report(runner, { lines: lines(0, 4) }), 'bot');
    expect(await requests.get(id)).toMatchObject({ lines: 4, log: lines(0, 4) });
    await requests.progress(id, report(runner, { from: 300, lines: lines(300, 799) }), 'bot');
    expect(await requests.get(id)).toMatchObject({ lines: 799, log: ['line 3', ...lines(300, 799)] });
    await requests.progress(id, report(runner, { from: 799, lines: ['x'.repeat(400), 'y'] }), 'bot');
    const { log } = await requests.get(id);
    expect([log.length, log[0], log.at(-1)]).toEqual([500, 'line 301', 'y']);
  });

  it('belong to the user whose runner claimed them', async () => {
    const runner = await connect();
    const { id } = await requests.create({ project }, 'ada');
    for (const attempt of [
      requests.putRunner(runner, registration({ project }), 'eve'),
      requests.claim(runner, 'eve'),
      requests.removeRunner(runner, 'eve'),
    ])
      await expect(attempt).rejects.toMatchObject({ code: 'AIOT_NOT_ALLOWED' });
    await requests.claim(runner, 'bot');
    await expect(requests.end(id, end(runner), 'eve')).rejects.toMatchObject({ code: 'AIOT_NOT_ALLOWED' });
    // The end of the runner's lease changes nothing.
    const since = time;
    time += 60_000;
    await requests.sweep(since);
    expect(await requests.runners({ limit: 10, project })).toMatchObject({ runners: [] });
    for (const attempt of [
      requests.putRunner(runner, registration({ project }), 'eve'),
      requests.progress(id, report(runner), 'eve'),
      requests.end(id, end(runner), 'eve'),
    ])
      await expect(attempt).rejects.toMatchObject({ code: 'AIOT_NOT_ALLOWED' });
    expect((await requests.get(id)).state).toBe('lost');
    await requests.end(id, end(runner), 'bot');
    await expect(requests.end(id, end(runner), 'eve')).rejects.toMatchObject({ code: 'AIOT_NOT_ALLOWED' });
  });

  it('are not claimed a day later, even before the periodic check', async () => {
    const { id } = await connect().then(() => requests.create({ project }, 'ada'));
    time += 86_400_000;
    expect((await requests.claim(await connect(), 'bot')).request).toBeNull();
    await requests.sweep(time + 1);
    time += 1;
    await requests.sweep(time);
    expect((await requests.get(id)).state).toBe('cancelled');
  });
});

describe('the API of pipeline requests', () => {
  let own: TestPlatform;
  beforeAll(async () => {
    own = await testPlatform();
  });
  afterAll(() => own.stop());

  const tokenOf = async (role: 'viewer' | 'ci' | 'operator', scopes?: string[]) =>
    (await own.client.tokens.create({ name: role, role, ...(scopes ? { scopes } : {}) })).token;
  const as = async (role: 'viewer' | 'ci' | 'operator', scopes?: string[]) =>
    createClient({ url: own.platform.urls.http, ca: own.ca, token: await tokenOf(role, scopes) });

  it('separates the rights to request runs and to carry them out', async () => {
    const [viewer, person, bot, narrow] = await Promise.all([
      as('viewer'),
      as('ci', ['pipelines:run']),
      as('ci', ['pipelines:write']),
      as('operator', ['jobs:write']),
    ]);
    const denied = { code: 'AIOT_NOT_ALLOWED' };
    const runner = newRunner();
    await expect(viewer.pipelineRunners.put(runner, registration())).rejects.toMatchObject(denied);
    await expect(person.pipelineRunners.put(runner, registration())).rejects.toMatchObject(denied);
    await bot.pipelineRunners.put(runner, registration());
    for (const client of [viewer, bot, narrow])
      await expect(client.pipelineRequests.create({ project: 'mill' })).rejects.toMatchObject(denied);
    const { id, who } = await person.pipelineRequests.create({ project: 'mill' });
    await expect(bot.pipelineRequests.cancel(id)).rejects.toMatchObject(denied);
    await expect(person.pipelineRunners.claim(runner)).rejects.toMatchObject(denied);
    expect((await bot.pipelineRunners.claim(runner)).request).toMatchObject({ id, who });
    await person.pipelineRequests.cancel(id);
    expect((await viewer.pipelineRequests.get(id)).cancelledBy).toBe(who);
    expect(await viewer.pipelineRunners.list()).toMatchObject([{ id: runner, request: id, steps }]);
    await bot.pipelineRequests.end(id, end(runner, { state: 'cancelled' }));
    await bot.pipelineRunners.remove(runner);
    expect(await viewer.pipelineRunners.list()).toEqual([]);
    await Promise.all([viewer, person, bot, narrow].map((client) => client.close()));
  });

  it('requests a run once for repeated requests with the same Idempotency-Key', async () => {
    const project = 'once';
    await own.client.pipelineRunners.put(newRunner(), registration({ project }));
    const send = () =>
      ask(own, '/api/v1/pipeline-requests', {
        method: 'POST',
        headers: { 'idempotency-key': 'the-same' },
        body: JSON.stringify({ project }),
      });
    const answers = [await send(), await send()];
    expect(answers.map(({ status }) => status)).toEqual([201, 201]);
    expect(await own.client.pipelineRequests.list({ project })).toHaveLength(1);
  });

  it('pages runners and requests, and rejects invalid values', async () => {
    const project = 'pages';
    for (const name of ['a', 'b', 'c'])
      await own.client.pipelineRunners.put(newRunner(), registration({ project, name }));
    const page = await own.client.pipelineRunners.list({ project, limit: 2 });
    expect(page.map(({ name }) => name)).toEqual(['a', 'b']);
    const invalid = { code: 'AIOT_REQUEST_INVALID' };
    await expect(own.client.pipelineRunners.put('runner_1', registration())).rejects.toMatchObject(invalid);
    await expect(own.client.pipelineRunners.list({ after: 'x' })).rejects.toMatchObject(invalid);
    await expect(own.client.pipelineRequests.create({ project: 'a/b' })).rejects.toMatchObject(invalid);
    await expect(own.client.pipelineRequests.get('request_none')).rejects.toMatchObject({
      code: 'AIOT_NOT_FOUND',
    });
    await expect(own.client.pipelineRunners.claim(newRunner())).rejects.toMatchObject({
      code: 'AIOT_NOT_FOUND',
    });
  });
});

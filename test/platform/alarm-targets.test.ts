import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  alarmTargetSchema,
  alarmTargetsSchema,
  alarmTargetTestSchema,
  type NewAlarmTarget,
} from '../../src/lib/api/contract/alarm-targets.js';
import { writeContexts } from '../../src/lib/core/contexts.js';
import { AlarmTargets } from '../../src/lib/platform/events/alarm-targets.js';
import { type Events, eventsIn } from '../../src/lib/platform/events/events.js';
import { openStore, type Store } from '../../src/lib/platform/store/database.js';
import { startBroker } from '../support/broker.js';
import { runCli } from '../support/cli.js';
import { connect } from '../support/mqtt.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { ok, refusal } from '../support/up.js';

interface Post {
  path: string;
  headers: IncomingHttpHeaders;
  // biome-ignore lint/suspicious/noExplicitAny: the JSON of several services
  body: any;
}

let server: Server;
let posts: Post[];
/** Statuses of the next responses, followed by 200. */
let answers: number[];
let base: string;
beforeAll(async () => {
  server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const { url: path = '', headers } = request;
      posts.push({ path, headers, body: JSON.parse(Buffer.concat(chunks).toString('utf8')) });
      response.writeHead(answers.shift() ?? 200, { 'content-type': 'application/json' }).end('{"ok":true}');
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  base = `127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.close();
});
beforeEach(() => {
  posts = [];
  answers = [];
});

describe('aiot alarm target', () => {
  let own: TestPlatform;
  beforeAll(async () => {
    own = await testPlatform();
    process.env.AIOT_CONFIG_DIR = join(own.folder, 'config');
    await writeContexts({
      current: 'lab',
      contexts: { lab: { url: own.platform.urls.http, ca: own.platform.ca, token: own.token } },
    });
    process.env.AIOT_NOTIFY_KEY = 'secret/key';
  });
  afterAll(async () => {
    delete process.env.AIOT_NOTIFY_KEY;
    await own.stop();
  });

  it('sends a test in the form of each service, and never shows a credential', async () => {
    const add = async (name: string, url: string) => {
      await ok(alarmTargetSchema, ['alarm', 'target', 'add', name, url, '--allow-private']);
      return ok(alarmTargetTestSchema, ['alarm', 'target', 'test', name]);
    };
    expect(await add('phone', `ntfy://:$AIOT_NOTIFY_KEY@${base}/alarms`)).toMatchObject({ delivered: true });
    expect(await add('chat', `telegram://12:hush@api.telegram.org/-100?base=http://${base}`)).toMatchObject({
      delivered: true,
    });
    const pager = `pagerduty://hush@events.pagerduty.com?base=http://${base}`;
    expect(await add('pager', pager)).toMatchObject({ delivered: true });
    expect(posts).toMatchObject([
      {
        path: '/',
        headers: { authorization: 'Bearer secret/key' },
        body: { topic: 'alarms', title: '[info] test: no device', priority: 3, tags: ['information_source'] },
      },
      { path: '/bot12:hush/sendMessage', body: { chat_id: '-100', text: expect.stringContaining('test') } },
      {
        path: '/v2/enqueue',
        body: {
          ...{
            routing_key: 'hush',
            event_action: 'trigger',
            dedup_key: expect.stringMatching(/^aiot\/.*pager$/),
          },
          payload: { severity: 'info', summary: '[info] test: no device', timestamp: expect.any(String) },
        },
      },
      { path: '/v2/enqueue', body: { event_action: 'resolve', dedup_key: posts[2]?.body.dedup_key } },
    ]);
    const shown = [
      (await runCli(['alarm', 'target', 'list'])).stdout,
      JSON.stringify(await ok(alarmTargetsSchema.shape.targets, ['alarm', 'target', 'list'])),
      JSON.stringify(await own.client.events.page({ types: ['alarm.*'], limit: 100 })),
    ].join('\n');
    expect(shown).toContain(`ntfy://${base}/alarms`);
    expect(shown).not.toMatch(/hush|secret/);
  });

  it('sends to a topic of an MQTT broker', async () => {
    const broker = await startBroker();
    const url = `mqtt://127.0.0.1:${broker.port}`;
    const client = await connect(url, {});
    await client.subscribeAsync('alarms/lab');
    const received = new Promise<string>((resolve) => {
      client.once('message', (_topic, payload) => resolve(payload.toString('utf8')));
    });
    await ok(alarmTargetSchema, ['alarm', 'target', 'add', 'bus', `${url}/alarms/lab`, '--allow-private']);
    expect(await ok(alarmTargetTestSchema, ['alarm', 'target', 'test', 'bus'])).toMatchObject({
      error: null,
    });
    expect(JSON.parse(await received)).toMatchObject({ event: 'raise', alarm: 'test', total: 1 });
    await client.endAsync();
    await broker.close();
  });

  it('rejects an invalid address before it is stored, and reports why a test failed', async () => {
    const add = (url: string, ...flags: string[]) =>
      refusal(['alarm', 'target', 'add', 'other', url, ...flags]);
    const code = 'AIOT_ALARM_TARGET';
    for (const [url, message] of [
      ['smtp://mail.example.com?from=me&to=you@example.com', /expected \?from=ADDRESS/],
      ['smtp://mail.example.com?from=a@b.c&to=a@b.c&cc=a@b.c', /unknown setting cc/],
      ['smtp://10.0.0.1?from=a@b.c&to=a@b.c', /needs --allow-private/],
      ['mqtt://127.0.0.1/alarms', /needs --allow-private/],
      ['telegram://t@example.com/5', /needs --allow-private/],
      ['pagerduty://events.pagerduty.com', /ROUTING_KEY/],
      ['ntfy://ntfy.sh/a/b', /expected a topic/],
      ['https://example.com/hook', /not an alarm target/],
      ['ntfys://:$AIOT_NOTIFY_NONE@ntfy.sh/t', /has no variable AIOT_NOTIFY_NONE/],
      ['gopher://x', /unknown scheme gopher$/],
      ['smpts://x', /unknown scheme smpts. Did you mean smtps\?$/],
    ] as const)
      expect(await add(url)).toMatchObject({ code, message: expect.stringMatching(message) });
    expect(await add(`ntfy://${base}/alarms`, '--severity', 'worst')).toMatchObject({ exit: 2 });
    expect(await refusal(['alarm', 'target', 'add', 'phone', `ntfy://${base}/t`])).toMatchObject({
      code: 'AIOT_ALREADY_EXISTS',
    });
    expect(await refusal(['alarm', 'target', 'test', 'other'])).toMatchObject({ code: 'AIOT_NOT_FOUND' });

    answers = [403];
    const failed = await runCli(['alarm', 'target', 'test', 'phone']);
    expect(failed).toMatchObject({ code: 6, stdout: expect.stringContaining('it answered 403') });
    // Without --allow-private, a name must not resolve to this machine.
    await ok(alarmTargetSchema, ['alarm', 'target', 'add', 'inside', 'ntfys://localhost/t']);
    const inside = await runCli(['alarm', 'target', 'test', 'inside']);
    expect(inside).toMatchObject({ code: 6, stdout: expect.stringContaining('private network') });
    for (const name of ['inside', 'phone', 'chat', 'pager', 'bus']) {
      expect(await refusal(['alarm', 'target', 'remove', name])).toMatchObject({ exit: 2 });
      await ok(alarmTargetSchema, ['alarm', 'target', 'remove', name, '--yes']);
    }
    expect(await ok(alarmTargetsSchema.shape.targets, ['alarm', 'target', 'list'])).toEqual([]);
  });
});

describe('the delivery of incidents', () => {
  const start = 1_700_000_000_000;
  const minute = 60_000;
  let clock: number;
  let folder: string;
  let store: Store;
  let events: Events;
  let targets: AlarmTargets;
  let ended: AbortController;
  let running: Promise<unknown>;

  const begin = () => {
    const log = pino({ level: 'silent' });
    targets = new AlarmTargets({ store, events, log, platform: 'p1', now: () => clock, env: {} });
    ended = new AbortController();
    running = Promise.all(targets.workers().map((worker) => worker.run(ended.signal)));
  };
  const stop = async () => {
    ended.abort();
    await running;
  };
  beforeEach(async () => {
    clock = start;
    folder = await mkdtemp(join(tmpdir(), 'aiot-targets-'));
    store = await openStore(join(folder, 'state.db'));
    events = eventsIn(store, () => clock);
    begin();
  });
  afterEach(async () => {
    await stop();
    events.feed.close();
    await store.destroy();
    await rm(folder, { recursive: true, force: true });
  });

  const add = (name: string, more: Partial<NewAlarmTarget> = {}) =>
    targets.add({ name, url: `ntfy://${base}/${name}`, allowPrivate: true, ...more }, 'me');
  const raise = (alarm: string, device: string, severity = 'warning') =>
    events.record(
      {
        ...{ who: 'platform', type: 'alarm.raise', subject: alarm },
        data: {
          ...{ incident: `${alarm}-${device}`, device, severity, since: clock, raised: clock },
          ...{ message: 'x > 80: x=90', next: 'Check the fan.' },
        },
      },
      store,
    );
  const clear = (alarm: string, device: string) =>
    events.record(
      {
        ...{ who: 'platform', type: 'alarm.clear', subject: alarm },
        data: { incident: `${alarm}-${device}`, device, severity: 'warning', cleared: clock },
      },
      store,
    );
  const queued = async () => (await store.selectFrom('alarmNotices').selectAll().execute()).length;
  const sent = () => posts.map(({ body }) => [body.topic, body.title]);
  /** Waits until the events are queued, and then lets time pass. */
  const pass = async (ms: number, rows: number) => {
    await expect.poll(queued, { timeout: 20_000 }).toBe(rows);
    clock += ms;
  };
  const poll = (value: () => unknown) => expect.poll(value, { timeout: 20_000 });

  it('is a message when an incident begins and one when it ends, to the targets of its alarm and severity', async () => {
    await add('all');
    await add('bad', { severity: 'critical' });
    await add('mute-only', { alarms: ['mute'] });
    await raise('hot', 'motor-1', 'critical');
    await raise('mute', 'motor-2');
    await pass(2000, 4);
    await poll(() => sent().sort()).toEqual([
      ['all', '[critical] hot: motor-1'],
      ['all', '[warning] mute: motor-2'],
      ['bad', '[critical] hot: motor-1'],
      ['mute-only', '[warning] mute: motor-2'],
    ]);
    // The targets get their messages independently of each other.
    const hot = posts.filter(({ body }) => body.title === '[critical] hot: motor-1');
    expect(hot[0]?.body).toMatchObject({
      priority: 5,
      message: 'motor-1: x > 80: x=90 (2023-11-14T22:13:20.000Z)\n\nCheck the fan.',
    });
    posts = [];
    await clear('hot', 'motor-1');
    await pass(2000, 6);
    await poll(() => sent().sort()).toEqual([
      ['all', '[ended] hot: motor-1'],
      ['bad', '[ended] hot: motor-1'],
    ]);
    await poll(() => targets.list()).toMatchObject({
      targets: [{ pending: 0, failures: 0, error: null }, {}, {}],
    });
  });

  it('bounds a flood of incidents to one message per alarm and minute', async () => {
    await add('all');
    for (let i = 0; i < 300; i++) await raise('hot', `d${i}`);
    await pass(2000, 300);
    await poll(sent).toEqual([['all', '[warning] hot: 300 devices']]);
    expect(posts[0]?.body.message.split('\n')).toHaveLength(23);
    for (let i = 300; i < 400; i++) await raise('hot', `d${i}`);
    await pass(30_000, 400);
    await new Promise((resolve) => setTimeout(resolve, 1200));
    expect(posts).toHaveLength(1);
    clock += minute;
    await poll(sent).toEqual([
      ['all', '[warning] hot: 300 devices'],
      ['all', '[warning] hot: 100 devices'],
    ]);
  });

  it('escalates only incidents that stay open and unacknowledged', async () => {
    await add('boss', { afterMs: 15 * minute });
    for (const device of ['d1', 'd2', 'd3']) await raise('hot', device);
    await pass(minute, 3);
    await clear('hot', 'd1');
    await events.record(
      {
        who: 'me',
        type: 'alarm.acknowledge',
        subject: 'hot',
        data: { devices: ['d2'], note: null, incidents: 1 },
      },
      store,
    );
    await pass(15 * minute, 1);
    await poll(sent).toEqual([['boss', '[warning] hot: d3']]);
    expect(posts).toHaveLength(1);
  });

  it('repeats the same message after a failure and after a restart, and resolves a pager with the last incident', async () => {
    await targets.add(
      { name: 'pager', url: `pagerduty://k@events.pagerduty.com?base=http://${base}`, allowPrivate: true },
      'me',
    );
    answers = [500, 503];
    await raise('hot', 'd1');
    await raise('hot', 'd2');
    await pass(2000, 2);
    await poll(() => posts.length).toBe(1);
    await poll(async () => (await targets.get('pager')).error).toBe('it answered 500');
    clock += minute;
    await poll(() => posts.length).toBe(2);
    await poll(async () => (await targets.get('pager')).failures).toBe(2);
    await stop();
    begin();
    clock += 5 * minute;
    await poll(() => posts.length).toBe(3);
    const ids = posts.map(({ body }) => body.payload.custom_details.id);
    expect(new Set(ids).size).toBe(1);
    expect(posts[2]?.body).toMatchObject({ event_action: 'trigger', dedup_key: 'aiot/p1/hot' });
    await poll(async () => (await targets.get('pager')).pending).toBe(0);
    await clear('hot', 'd1');
    await pass(2000, 3);
    await poll(queued).toBe(1);
    expect(posts).toHaveLength(3);
    await clear('hot', 'd2');
    await pass(2000, 2);
    await poll(() => posts.length).toBe(4);
    expect(posts[3]?.body).toMatchObject({ event_action: 'resolve', dedup_key: 'aiot/p1/hot' });
    await poll(queued).toBe(0);
  });
});

import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage } from 'node:http';
import { type AddressInfo, createServer as createListener, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { openOutputs } from '../../src/lib/loop/output/outputs.js';
import { outputSettings } from '../../src/lib/loop/output/settings.js';
import type { Answer } from '../../src/lib/loop/types.js';
import { freePort } from '../support/free-port.js';

let folder: string;
let events: string[];
const closing: (() => Promise<unknown>)[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-outputs-'));
  events = [];
});
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
  await rm(folder, { recursive: true, force: true });
});

const answer = (window: number, more: Partial<Answer> = {}): Answer => ({
  t: 1_700_000_000_000 + window * 500,
  window,
  label: 'walking',
  voted: 'walking',
  scores: [0.1, 0.9],
  value: null,
  latencyMs: 1.25,
  changed: false,
  model: { name: 'har-imu', version: 3 },
  ...more,
});

async function open(urls: string[], more: Partial<Parameters<typeof openOutputs>[0]> = {}) {
  const outputs = await openOutputs({
    urls,
    send: 'always',
    spoolFolder: join(folder, 'spool'),
    spoolLimit: 1024 * 1024,
    device: 'pi-1',
    onEvent: (text) => events.push(text),
    startMs: 500,
    ...more,
  });
  let closed = false;
  const close = async () => {
    if (!closed) await outputs.close();
    closed = true;
  };
  closing.push(close);
  return { ...outputs, close };
}

/** A webhook that collects bodies and responds with the given status. */
async function hook(port = 0, answerWith: (body: string) => number = () => 200) {
  const bodies: string[] = [];
  const server = createServer(async (request: IncomingMessage, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    const status = answerWith(body);
    if (status < 300) bodies.push(body);
    response.writeHead(status).end();
  }).listen(port, '127.0.0.1');
  await once(server, 'listening');
  const at = server.address();
  const stop = async () => {
    server.closeAllConnections();
    if (server.listening) await new Promise((resolve) => server.close(resolve));
  };
  closing.push(stop);
  return { bodies, stop, url: `http://127.0.0.1:${typeof at === 'object' && at ? at.port : 0}/answers` };
}

async function until(true_: () => boolean, ms = 8000): Promise<void> {
  for (let waited = 0; !true_(); waited += 20) {
    if (waited > ms) throw new Error(`not within ${ms} ms: ${true_}`);
    await delay(20);
  }
}

it('an output writes the whole prediction as JSON, with the name of the device', async () => {
  const file = join(folder, 'answers.ndjson');
  const outputs = await open([`file:${file}?format=ndjson`]);
  outputs.put(answer(0));
  await outputs.settled();
  await outputs.close();
  const [line] = (await readFile(file, 'utf8')).trim().split('\n');
  expect(JSON.parse(line!).payload).toEqual({
    t: 1_700_000_000_000,
    window: 0,
    label: 'walking',
    voted: 'walking',
    scores: [0.1, 0.9],
    value: null,
    latencyMs: 1.25,
    model: { name: 'har-imu', version: 3 },
    device: 'pi-1',
  });
});

it('an output sends labels only, changes only, or a single class, as its address specifies', async () => {
  const [all, changes, one] = [await hook(), await hook(), await hook()];
  const outputs = await open([
    `${all.url}#body=label`,
    `${changes.url}#body=label&when=change`,
    `${one.url}#when=walking&body=label`,
  ]);
  const votes: [string | null, boolean][] = [
    ['walking', true],
    ['walking', false],
    [null, false],
    ['resting', true],
    ['walking', true],
  ];
  for (const [index, [voted, changed]] of votes.entries()) outputs.put(answer(index, { voted, changed }));
  await outputs.settled();
  // A tie has no label.
  expect(all.bodies).toEqual(['walking', 'walking', 'resting', 'walking']);
  expect(changes.bodies).toEqual(['walking', 'resting', 'walking']);
  expect(one.bodies).toEqual(['walking', 'walking']);
});

it('an output spools predictions during an outage, sends them in order afterward, and reports both', async () => {
  const port = await freePort();
  const outputs = await open([`http://127.0.0.1:${port}/answers#body=json`]);
  expect(events).toHaveLength(0);
  for (let window = 0; window < 50; window++) outputs.put(answer(window));
  await outputs.settled();
  expect(outputs.states()).toMatchObject([{ connected: false, sent: 0, waiting: 50, dropped: 0 }]);
  const back = await hook(port);
  await until(() => back.bodies.length >= 50, 20_000);
  expect(back.bodies.map((body) => JSON.parse(body).window)).toEqual(Array.from({ length: 50 }, (_, i) => i));
  await until(() => outputs.states()[0]!.waiting === 0);
  expect(outputs.states()).toMatchObject([
    { connected: true, sent: 50, waiting: 0, dropped: 0, lastError: null },
  ]);
  expect(events.map((text) => text.split(' ').slice(1, 4).join(' '))).toEqual([
    'accepts no predictions,',
    'accepts predictions again,',
  ]);
});

it('an output drops the oldest predictions at the spool limit, and counts them', async () => {
  const port = await freePort();
  const outputs = await open([`http://127.0.0.1:${port}/answers`], { spoolLimit: 256 * 1024 });
  for (let window = 0; window < 3000; window++) {
    outputs.put(answer(window));
    if (window % 100 === 99) await outputs.settled();
  }
  const [state] = outputs.states();
  expect(state!.dropped).toBeGreaterThan(1000);
  expect(state!.dropped + state!.waiting).toBe(3000);
  const back = await hook(port);
  await until(() => outputs.states()[0]!.waiting === 0, 20_000);
  const windows = back.bodies.map((body) => JSON.parse(body).window as number);
  expect(windows.at(-1)).toBe(2999);
  expect(windows).toEqual(windows.toSorted((a, b) => a - b));
  // Predictions in flight when their file was dropped are counted both as sent and as dropped.
  const { sent, dropped } = outputs.states()[0]!;
  expect(sent).toBe(back.bodies.length);
  expect(sent + dropped).toBeGreaterThanOrEqual(3000);
  expect(sent + dropped).toBeLessThanOrEqual(3100);
});

it('an output drops a permanently rejected prediction, and sends those after it', async () => {
  const far = await hook(0, (body) => (JSON.parse(body).window === 1 ? 422 : 200));
  const outputs = await open([far.url]);
  for (let window = 0; window < 4; window++) outputs.put(answer(window));
  await until(() => far.bodies.length === 3);
  await until(() => outputs.states()[0]!.dropped === 1);
  expect(far.bodies.map((body) => JSON.parse(body).window)).toEqual([0, 2, 3]);
  expect(events.join()).toContain('rejects a prediction: AIOT_STREAM_REFUSED');
});

it('an output keeps predictions while the password is rejected, and sends them once it is accepted', async () => {
  let allowed = false;
  const far = await hook(0, () => (allowed ? 200 : 401));
  const outputs = await open([far.url]);
  outputs.put(answer(0));
  await until(() => outputs.states()[0]!.lastError !== null);
  expect(outputs.states()[0]).toMatchObject({ connected: false, dropped: 0, waiting: 1 });
  expect(outputs.states()[0]!.lastError).toContain('AIOT_BROKER_REFUSED');
  allowed = true;
  await until(() => far.bodies.length === 1, 20_000);
});

it('an output retries a prediction that timed out, without blocking the loop', async () => {
  const sizes: number[] = [];
  let silent = true;
  const server = createServer((request, response) => {
    request.resume().on('end', () => {
      sizes.push(1);
      if (!silent) response.end();
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  closing.push(async () => {
    server.closeAllConnections();
    server.close();
  });
  const at = server.address();
  const outputs = await open([`http://127.0.0.1:${typeof at === 'object' && at ? at.port : 0}/x`], {
    writeTimeoutMs: 300,
  });
  const started = performance.now();
  outputs.put(answer(0));
  expect(performance.now() - started).toBeLessThan(250);
  await outputs.settled();
  expect(outputs.states()[0]).toMatchObject({ connected: false, waiting: 1 });
  expect(outputs.states()[0]!.lastError).toContain('AIOT_TIMEOUT');
  silent = false;
  server.closeAllConnections();
  await until(() => outputs.states()[0]!.waiting === 0, 20_000);
  expect(outputs.states()[0]!.sent).toBe(1);
});

it('outputs close all connections at shutdown, even if the peers never respond', async () => {
  const lines = new Set<Socket>();
  const server = createListener((socket) => {
    lines.add(socket.resume().on('error', () => {}));
    socket.on('close', () => lines.delete(socket));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  closing.push(async () => server.close());
  const { port } = server.address() as AddressInfo;
  const far = [`tcp://127.0.0.1:${port}`, `http://127.0.0.1:${port}/x`];
  const outputs = await open(far, { writeTimeoutMs: 200 });
  outputs.put(answer(0));
  await until(() => outputs.states().every(({ lastError }) => lastError?.includes('AIOT_TIMEOUT')));
  // Each of them has a connection, except for the moment before its next attempt.
  await until(() => lines.size > 1);
  await outputs.close();
  await until(() => lines.size === 0);
});

it('an output continues in memory if its disk is not writable', async () => {
  await writeFile(join(folder, 'spool'), 'a file where the folder should be');
  const far = await hook();
  const outputs = await open([far.url]);
  outputs.put(answer(0));
  await until(() => far.bodies.length === 1);
  expect(events.join()).toContain('are only stored in memory');
});

it('an output drops predictions older than maxAge', async () => {
  const far = await hook();
  let now = answer(1).t;
  const clock = { now: () => now, sleep: () => Promise.resolve() };
  const outputs = await open([`${far.url}#maxAge=10s`], { clock });
  outputs.put(answer(0));
  await outputs.settled();
  now += 60_000;
  outputs.put(answer(2));
  outputs.put(answer(120));
  await until(() => far.bodies.length === 2);
  await outputs.settled();
  expect(far.bodies.map((body) => JSON.parse(body).window)).toEqual([0, 120]);
  expect(outputs.states()[0]).toMatchObject({ sent: 2, dropped: 1 });
});

it.each([
  ['gopher://127.0.0.1/x', 'AIOT_STREAM_SCHEME'],
  ['output', 'AIOT_STREAM_URL'],
  ['mqtt://127.0.0.1/x?body=xml', 'AIOT_STREAM_URL'],
  ['mqtt://127.0.0.1/x?maxAge=5', 'AIOT_STREAM_URL'],
  ['mqtt://127.0.0.1/x?when=', 'AIOT_STREAM_URL'],
  ['telegram://127.0.0.1/nobody', 'AIOT_STREAM_URL'],
  ['camera:/dev/video0', 'AIOT_STREAM_SCHEME'],
])('an output with the address %s is rejected at startup', async (url, code) => {
  await expect(open([url])).rejects.toMatchObject({ code });
});

it('an output address is split into the loop’s own settings and those of the adapter', () => {
  expect(outputSettings('mqtt://u:p@h/a/b?qos=0&body=label&retain=true&when=a%20b', 'change')).toEqual({
    url: 'mqtt://u:p@h/a/b?qos=0&retain=true',
    shown: 'mqtt://h/a/b',
    body: 'label',
    when: { label: 'a b' },
    maxAgeMs: undefined,
  });
  expect(outputSettings('exec:/opt/alarm --key hush?when=a', 'change')).toMatchObject({
    url: 'exec:/opt/alarm --key hush',
    shown: 'exec:/opt/alarm',
    maxAgeMs: 60_000,
  });
  expect(outputSettings('https://h/a?x=1#when=always', 'change').url).toBe('https://h/a?x=1');
  expect(outputSettings('telegram://1:x@h/@chat', 'change')).toMatchObject({
    body: 'label',
    maxAgeMs: 3_600_000,
  });
});

import { once } from 'node:events';
import { request as httpsRequest } from 'node:https';
import { join } from 'node:path';
import { Agent, request } from 'undici';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type ClientOptions, WebSocket } from 'ws';
import { type LiveNews, type LiveRequest, liveCloseCodes } from '../../src/lib/api/live.js';
import { systemClock } from '../../src/lib/core/time.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { connectDevice } from '../support/mqtt.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { publish } from '../support/raw-mqtt.js';
import { connectFour } from '../support/raw-mqtt5.js';

let own: TestPlatform;
let agent: Agent;
let clock = 0;
const sockets: WebSocket[] = [];
beforeEach(async () => {
  clock = 0;
  own = await testPlatform({
    ...{ plain: { port: 0 }, liveBeatMs: 3000 },
    clock: { ...systemClock, now: () => Date.now() + clock },
  });
  agent = new Agent({ connect: { ca: own.ca } });
});
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.terminate();
  await agent.close();
  await own.stop();
});

const origin = () => own.platform.urls.http;

/** Logs a browser in with a token, and returns its cookie. */
async function logIn(token = own.token): Promise<string> {
  const { headers, statusCode } = await request(`${origin()}/api/v1/session`, {
    ...{ method: 'POST', dispatcher: agent, headers: { 'content-type': 'application/json' } },
    body: JSON.stringify({ token }),
  });
  expect(statusCode).toBe(200);
  return String(headers['set-cookie']).split(';')[0] ?? '';
}

async function tokenWith(scopes: string[]): Promise<{ id: string; token: string }> {
  const made = await own.client.tokens.create({ name: 'narrow', role: 'viewer', scopes });
  return made as { id: string; token: string };
}

interface Page {
  socket: WebSocket;
  news: LiveNews[];
  /** Resolves with the close code. */
  closed: Promise<number>;
  ask(request: LiveRequest): void;
  /** The MQTT messages received so far, as `topic payload`. */
  messages(): string[];
  /** Resolves with the response to a subscription: `open`, or the error code if it was rejected. */
  answer(id: number): Promise<string>;
}

async function openPage(headers: Record<string, string>): Promise<Page> {
  const options: ClientOptions = { ca: own.ca, headers };
  const socket = new WebSocket(`${origin().replace('https', 'wss')}/live`, options);
  sockets.push(socket);
  const news: LiveNews[] = [];
  socket.on('message', (data) => news.push(JSON.parse(String(data))));
  const closed = once(socket, 'close').then(([code]) => code as number);
  await once(socket, 'open');
  return {
    ...{ socket, news, closed },
    ask: (wanted) => socket.send(JSON.stringify(wanted)),
    messages: () =>
      news.flatMap((each) => ('message' in each ? [`${each.message.topic} ${each.message.payload}`] : [])),
    answer: (id) =>
      vi.waitFor(() => {
        const answer = news.find(
          (each) => 'id' in each && each.id === id && ('open' in each || 'error' in each),
        );
        if (!answer) throw new Error('no answer yet');
        return 'error' in answer ? answer.error.code : 'open';
      }, 10_000),
  };
}

/** The status and body of a refused connection. */
async function refusal(
  headers: Record<string, string>,
): Promise<{ status: number; code: string; detail: string }> {
  const upgrade = { connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13' };
  const all = { ...upgrade, 'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==', ...headers };
  const asked = httpsRequest(`${origin()}/live`, {
    ca: own.ca,
    headers: all,
    agent: false,
    checkServerIdentity: () => undefined,
  });
  asked.end();
  const answer = await new Promise<{ status: number; body: string }>((resolve, reject) => {
    asked.on('upgrade', (_response, socket) => {
      socket.destroy();
      resolve({ status: 101, body: '{}' });
    });
    asked.on('response', async (response) => {
      let body = '';
      for await (const chunk of response) body += chunk;
      resolve({ status: response.statusCode ?? 0, body });
    });
    asked.on('error', reject);
  });
  return { status: answer.status, ...JSON.parse(answer.body || '{}') };
}

describe('the live connection', () => {
  it('is rejected without a session, with an invalid one, and for a device', async () => {
    expect(await refusal({ origin: origin() })).toMatchObject({ status: 401, code: 'AIOT_TOKEN_INVALID' });
    const [name] = (await logIn()).split('=');
    const cookie = `${name}=${'A'.repeat(43)}`;
    expect(await refusal({ origin: origin(), cookie })).toMatchObject({ status: 401 });
    const plain = await request(`${origin()}/live`, {
      dispatcher: agent,
      headers: { cookie: await logIn() },
    });
    expect([plain.statusCode, plain.headers.upgrade]).toEqual([426, 'websocket']);
    await plain.body.dump();
  });

  it('is rejected for pages of another origin, port or scheme, although the browser adds the cookie', async () => {
    const cookie = await logIn();
    const { hostname, port } = new URL(origin());
    for (const other of [
      'https://evil.example',
      `https://${hostname}:${Number(port) + 1}`,
      `https://${hostname}`,
      `http://${hostname}:${port}`,
      `https://sub.${hostname}:${port}`,
      `https://${hostname}:${port}.evil.example`,
      'null',
    ])
      expect(await refusal({ cookie, origin: other }), other).toMatchObject({
        ...{ status: 403, code: 'AIOT_NOT_ALLOWED' },
        detail: expect.stringContaining('headers: origin'),
      });
    // Browsers always send an origin with a WebSocket.
    expect(await refusal({ cookie })).toMatchObject({ status: 403 });
    expect(await refusal({ cookie, origin: origin() })).toMatchObject({ status: 101 });
    // Behind a proxy, the address that matters is the one that the browser uses.
    const host = 'iot.example';
    expect(await refusal({ cookie, host, origin: `https://${host}` })).toMatchObject({ status: 101 });
    // A program with a token has no origin. A page cannot send a token in a header.
    expect(await refusal({ authorization: `Bearer ${own.token}` })).toMatchObject({ status: 101 });
    expect(
      await refusal({ authorization: `Bearer ${own.token}`, origin: 'https://evil.example' }),
    ).toMatchObject({ status: 403 });
  });

  it('does not affect other upgrade requests', async () => {
    const get = await request(`${origin()}/healthz`, { dispatcher: agent, headers: {} });
    expect(get.statusCode).toBe(200);
    await get.body.dump();
    const asked = httpsRequest(`${origin()}/healthz`, {
      ...{ ca: own.ca, agent: false, headers: { connection: 'Upgrade', upgrade: 'h2c' } },
    });
    asked.end();
    const [response] = await once(asked, 'response');
    expect(response.statusCode).toBe(200);
    response.resume();
  });

  it('delivers messages of MQTT, of clients and of the platform, after the retained ones', async () => {
    const client = await connectFour(own);
    client.say(publish({ topic: 'a/kept', payload: 'earlier', qos: 1, messageId: 1, retain: true }));
    await client.hear('puback');
    const page = await openPage({ cookie: await logIn(), origin: origin() });
    page.ask({ id: 1, to: 'messages', filter: 'a/#' });
    expect(await page.answer(1)).toBe('open');
    client.say(publish({ topic: 'a/1', payload: '{"x":1}', qos: 1, messageId: 2 }));
    client.say(publish({ topic: 'b/1', payload: 'of another filter' }));
    client.say(publish({ topic: 'a/2', payload: Buffer.from([0xff, 0]) }));
    client.say(publish({ topic: 'a/3', payload: `${'é'.repeat(10_000)}` }));
    const sink = await own.platform.streams.openSink('a/4');
    await vi.waitFor(() => expect(page.messages()).toHaveLength(4), 10_000);
    await sink.write([{ topic: 'a/4', payload: Buffer.from('of the platform') }]);
    await vi.waitFor(() => expect(page.messages()).toHaveLength(5), 10_000);
    await sink.close();
    const heard = page.news.flatMap((each) => ('message' in each ? [each.message] : []));
    expect(
      heard.map(({ time, ...rest }) => ({ ...rest, time: Math.abs(time - Date.now()) < 60_000 })),
    ).toEqual([
      { topic: 'a/kept', time: true, payload: 'earlier', encoding: 'utf8', qos: 1, retain: true, bytes: 7 },
      { topic: 'a/1', time: true, payload: { x: 1 }, encoding: 'json', qos: 1, bytes: 7 },
      { topic: 'a/2', time: true, payload: '/wA=', encoding: 'base64', qos: 0, bytes: 2 },
      {
        ...{ topic: 'a/3', time: true, payload: 'é'.repeat(8192), encoding: 'utf8', qos: 0 },
        ...{ bytes: 20_000, cut: true },
      },
      { topic: 'a/4', time: true, payload: 'of the platform', encoding: 'utf8', qos: 1, bytes: 15 },
    ]);
    // A value that is nested too deeply to be re-encoded is treated as text, and its publisher stays
    // connected.
    const deep = '['.repeat(8000) + ']'.repeat(8000);
    client.say(publish({ topic: 'a/deep', payload: deep, qos: 1, messageId: 3 }));
    for (const messageId of [2, 3]) expect(await client.hear('puback')).toMatchObject({ messageId });
    await vi.waitFor(() => expect(page.messages().at(-1)).toBe(`a/deep ${deep}`), 10_000);
    // The subscription ends on request.
    page.ask({ id: 1, to: 'nothing' });
    page.ask({ id: 2, to: 'messages', filter: 'b/#' });
    expect(await page.answer(2)).toBe('open');
    client.say(publish({ topic: 'a/5' }), publish({ topic: 'b/2', payload: 'last' }));
    await vi.waitFor(() => expect(page.messages().at(-1)).toBe('b/2 last'), 10_000);
    expect(page.messages()).toHaveLength(7);
  });

  it('shows users only the messages that their scopes allow', async () => {
    const { token } = await tokenWith(['stream:hall/#', 'devices:read']);
    const page = await openPage({ cookie: await logIn(token), origin: origin() });
    const client = await connectFour(own);
    const filters = ['hall/+/state', '#', 'lab/1', '+/1', '$share/g/hall/1', 'hall/#/x', '$SYS/#'];
    for (const [index, filter] of filters.entries()) page.ask({ id: index + 1, to: 'messages', filter });
    page.ask({ id: 20, to: 'events' });
    page.ask({ id: 21, to: 'device', device: 'none', channels: ['telemetry'] });
    const answers = await Promise.all(filters.map((_, index) => page.answer(index + 1)));
    expect(answers).toEqual([
      ...['open', 'AIOT_NOT_ALLOWED', 'AIOT_NOT_ALLOWED', 'AIOT_NOT_ALLOWED'],
      ...['AIOT_REQUEST_INVALID', 'AIOT_REQUEST_INVALID', 'AIOT_NOT_ALLOWED'],
    ]);
    expect([await page.answer(20), await page.answer(21)]).toEqual(['AIOT_NOT_ALLOWED', 'AIOT_NOT_FOUND']);
    for (const topic of ['lab/1', 'hall/1/state', 'other/1']) client.say(publish({ topic, payload: topic }));
    client.say(publish({ topic: 'hall/2/state', payload: 'last' }));
    await vi.waitFor(() => expect(page.messages().at(-1)).toBe('hall/2/state last'), 10_000);
    expect(page.messages()).toEqual(['hall/1/state hall/1/state', 'hall/2/state last']);
    // As over MQTT, a token without a `stream:` scope can read no topic.
    const devices = await openPage({ authorization: `Bearer ${(await tokenWith(['devices:read'])).token}` });
    devices.ask({ id: 1, to: 'messages', filter: 'hall/#' });
    expect(await devices.answer(1)).toBe('AIOT_NOT_ALLOWED');
  });

  it('delivers events, and a device’s stored messages', async () => {
    const page = await openPage({ cookie: await logIn(), origin: origin() });
    page.ask({ id: 1, to: 'events' });
    await page.answer(1);
    const out = join(own.folder, 'dev');
    await provisionDevice({ client: own.client, name: 'dev', type: 'virtual', out });
    page.ask({ id: 2, to: 'device', device: 'dev', channels: ['log'] });
    await page.answer(2);
    const device = await connectDevice(own.platform.urls.mqtts, out);
    const said = (channel: string, message: object) =>
      device.publishAsync(`aiot/v1/dev/${channel}`, JSON.stringify(message), { qos: 1 });
    await said('telemetry/s', { seq: 1, t: 1, rate: 10, recording: 'r', x: 1 });
    await said('log', { t: 1, level: 'warn', message: 'hot' });
    await vi.waitFor(() => {
      const types = page.news.flatMap((each) => ('event' in each ? [each.event.type] : []));
      expect(types).toContain('device.provision');
      const heard = page.news.flatMap((each) => ('deviceMessage' in each ? [each] : []));
      expect(heard.map(({ channel, deviceMessage: { payload } }) => [channel, payload.message])).toEqual([
        ['log', 'hot'],
      ]);
    }, 10_000);
    await device.endAsync(true);
  });

  it('delivers the new log lines of many devices that match, and counts those that arrive too fast', async () => {
    const page = await openPage({ cookie: await logIn(), origin: origin() });
    page.ask({ id: 1, to: 'logs', level: 'warn', contains: 'HOT', selector: 'dev-2' });
    page.ask({ id: 2, to: 'logs', level: 'debug' });
    page.ask({ id: 3, to: 'logs', level: 'debug', selector: 'a<<b' });
    const answers = await Promise.all([1, 2, 3].map((id) => page.answer(id)));
    expect(answers).toEqual(['open', 'open', 'AIOT_SELECTOR_INVALID']);
    const narrow = await openPage({ authorization: `Bearer ${(await tokenWith(['stream:#'])).token}` });
    narrow.ask({ id: 1, to: 'logs', level: 'debug' });
    expect(await narrow.answer(1)).toBe('AIOT_NOT_ALLOWED');
    const devices = new Map<string, Awaited<ReturnType<typeof connectDevice>>>();
    for (const name of ['dev-1', 'dev-2']) {
      const out = join(own.folder, name);
      await provisionDevice({ client: own.client, name, type: 'virtual', out });
      devices.set(name, await connectDevice(own.platform.urls.mqtts, out));
    }
    const say = (name: string, level: string, message: string) =>
      devices
        .get(name)
        ?.publishAsync(`aiot/v1/${name}/log`, JSON.stringify({ t: 1, level, message, rssi: -70 }), {
          qos: 1,
        });
    await say('dev-1', 'error', 'hot');
    await say('dev-2', 'info', 'hot');
    await say('dev-2', 'error', 'cold');
    await say('dev-2', 'warn', 'too hot');
    const linesOf = (id: number) =>
      page.news.flatMap((each) => ('line' in each && each.id === id ? [each.line] : []));
    await vi.waitFor(() => expect(linesOf(2)).toHaveLength(4), 10_000);
    expect(linesOf(1)).toMatchObject([
      { device: 'dev-2', level: 'warn', message: 'too hot', fields: { rssi: -70 } },
    ]);
    const count = 1500;
    await Promise.all(Array.from({ length: count }, (_, n) => say('dev-1', 'info', `line ${n}`)));
    const missed = () =>
      page.news.reduce((sum, each) => sum + ('missed' in each && each.id === 2 ? each.missed : 0), 0);
    await vi.waitFor(() => expect(linesOf(2).length - 4 + missed()).toBe(count), 10_000);
    expect(missed()).toBeGreaterThan(0);
    for (const device of devices.values()) await device.endAsync(true);
  });

  it('leaves out and counts messages that arrive faster than they are shown; publishers do not wait', async () => {
    const page = await openPage({ cookie: await logIn(), origin: origin() });
    page.ask({ id: 1, to: 'messages', filter: 'fast/#' });
    await page.answer(1);
    const client = await connectFour(own);
    const reader = await connectFour(own, { clientId: 'reader' });
    reader.say({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'fast/#', qos: 0 }] });
    await reader.hear('suback');
    const count = 5000;
    for (let n = 1; n <= count; n++) client.say(publish({ topic: 'fast/1', payload: `${n}` }));
    for (let n = 1; n <= count; n++) expect(String((await reader.hear('publish'))?.payload)).toBe(`${n}`);
    const missed = () =>
      page.news.reduce((sum, each) => sum + ('missed' in each && each.id === 1 ? each.missed : 0), 0);
    await vi.waitFor(() => expect(page.messages().length + missed()).toBe(count), 10_000);
    expect(page.messages().length).toBeGreaterThanOrEqual(400);
    expect(missed()).toBeGreaterThan(1000);
  });

  it.each([
    ['its token is revoked', (id: string) => own.client.tokens.revoke(id)],
    [
      'its session has expired',
      async () => {
        clock += 8 * 86_400_000;
      },
    ],
    [
      'its user logs out in another tab',
      async (_: string, cookie: string) => {
        const got = await request(`${origin()}/api/v1/session`, { dispatcher: agent, headers: { cookie } });
        const { user } = (await got.body.json()) as { user: { csrf: string } };
        const headers = { cookie, 'x-aiot-csrf': user.csrf };
        const left = await request(`${origin()}/api/v1/session`, {
          method: 'DELETE',
          dispatcher: agent,
          headers,
        });
        expect(left.statusCode).toBe(200);
        await left.body.dump();
      },
    ],
  ])(
    'ends when %s, within seconds',
    async (_, end) => {
      const { id, token } = await tokenWith(['stream:#']);
      const cookie = await logIn(token);
      const page = await openPage({ cookie, origin: origin() });
      page.ask({ id: 1, to: 'messages', filter: '#' });
      await page.answer(1);
      await end(id, cookie);
      expect(await page.closed).toBe(liveCloseCodes.sessionEnded);
    },
    40_000,
  );

  it('ends after invalid requests, with too many connections, and when the platform stops', async () => {
    const headers = { cookie: await logIn(), origin: origin() };
    for (const invalid of ['no JSON', '{"id":1}', '{"id":1,"to":"messages","filter":""}', '[]']) {
      const page = await openPage(headers);
      page.socket.send(invalid);
      expect(await page.closed, invalid).toBe(1008);
    }
    const binary = await openPage(headers);
    binary.socket.send(Buffer.from('{"id":1,"to":"events"}'));
    expect(await binary.closed).toBe(1008);
    const long = await openPage(headers);
    long.socket.send('x'.repeat(20_000));
    expect(await long.closed).toBe(1009);
    const many = await openPage(headers);
    for (let id = 1; id <= 51; id++) many.ask({ id, to: 'messages', filter: `a/${id}` });
    expect([await many.answer(50), await many.answer(51)]).toEqual(['open', 'AIOT_REQUEST_INVALID']);
    const others = await Promise.all(Array.from({ length: 49 }, () => openPage(headers)));
    expect(await (await openPage(headers)).closed).toBe(liveCloseCodes.tooMany);
    await own.restart();
    const codes = await Promise.all([many, ...others].map(({ closed }) => closed));
    expect(new Set(codes)).toEqual(new Set([1001]));
  });
});

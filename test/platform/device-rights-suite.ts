import { request } from 'node:https';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { MqttClient } from 'mqtt';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createClient, type RegistryClient } from '../../src/lib/api/client.js';
import { madeTokenSchema } from '../../src/lib/api/contract/access.js';
import { contract } from '../../src/lib/api/contract/contract.js';
import { accessOf, type Endpoint, partsOf } from '../../src/lib/api/contract/endpoint.js';
import { generateKeyPair } from '../../src/lib/core/crypto.js';
import { certificateRequest } from '../../src/lib/provision/certificates.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { root, runCli } from '../support/cli.js';
import { type FakeDevice, fakeDevice } from '../support/fake-device.js';
import type { TestPlatform } from '../support/platform.js';
import { push } from '../support/push.js';
import { ask } from '../support/raw-http.js';
import { oneWave } from '../support/rollout.js';
import { ok, refusal } from '../support/up.js';

/** The rights of users limited to some devices, on any database. @param start starts a platform without devices */
export function deviceRightsSuite(start: () => Promise<TestPlatform>): void {
  /** `press-3` is in hall 3, to which the tested tokens are limited; `press-4` is in hall 4. */
  let own: TestPlatform;
  let theirs: FakeDevice;
  let other: FakeDevice;
  let token: string;
  let client: RegistryClient;
  const closers: (() => Promise<unknown>)[] = [];

  const limited = async (name: string, role: 'viewer' | 'ci' | 'operator' = 'operator') => {
    const made = await own.client.tokens.create({ name, role, selector: 'site=hall-3' });
    return made.token;
  };
  const withToken = (secret: string) => {
    const made = createClient({ url: own.platform.urls.http, ca: own.ca, token: secret });
    closers.push(() => made.close());
    return made;
  };
  const tag = (name: string, site: string) =>
    own.client.devices.change([name], { action: 'tag', set: { site }, remove: [] }, false);
  const until = async (isTrue: () => boolean | Promise<boolean>) => {
    for (let waited = 0; waited < 20_000; waited += 20) {
      if (await isTrue()) return;
      await delay(20);
    }
    throw new Error('it did not become true within 20 s');
  };

  beforeAll(async () => {
    own = await start();
    for (const name of ['press-3', 'press-4'])
      await provisionDevice({ client: own.client, name, type: 'virtual', out: join(own.folder, name) });
    await tag('press-3', 'hall-3');
    await tag('press-4', 'hall-4');
    theirs = await fakeDevice(own.platform.urls.mqtts, join(own.folder, 'press-3'), 'press-3');
    other = await fakeDevice(own.platform.urls.mqtts, join(own.folder, 'press-4'), 'press-4');
    await theirs.report('IDLE');
    await other.report('IDLE');
    for (const { name, client: device } of [theirs, other])
      await device.publishAsync(
        `aiot/v1/${name}/telemetry/imu`,
        JSON.stringify({ seq: 0, t: Date.now(), x: [1, 2], recording: 'r1' }),
        { qos: 1 },
      );
    token = await limited('hall 3');
    client = withToken(token);
  }, 30_000);
  afterAll(async () => {
    await Promise.all([theirs.client.endAsync(true), other.client.endAsync(true)]);
    await Promise.all(closers.map((close) => close()));
    await own.stop();
  });

  const endpoints: Endpoint[] = Object.values(contract).flatMap((noun) => Object.values(noun as object));
  /** Endpoints that users with tokens may call. */
  const doors = endpoints.filter((endpoint) => accessOf(endpoint, partsOf(endpoint).method) !== 'everybody');
  const urlOf = (endpoint: Endpoint, device: string) =>
    `/api/v1${partsOf(endpoint).path}`
      .replace(/:device/g, device)
      .replace(/\/devices\/:name/, `/devices/${device}`)
      .replace(/:\w+/g, '1');
  const send = (endpoint: Endpoint, device: string) => {
    const { method } = partsOf(endpoint);
    const hasBody = method !== 'GET' && method !== 'HEAD' && method !== 'DELETE';
    return ask(own, urlOf(endpoint, device), { method, token, ...(hasBody ? { body: '{}' } : {}) });
  };

  describe('in the dashboard’s live connection, a token limited to a selector', () => {
    it('gets the events and messages of its devices alone, and its attempts on others are recorded', async () => {
      const { WebSocket } = await import('ws');
      const socket = new WebSocket(`${own.platform.urls.http.replace('https', 'wss')}/live`, {
        ca: own.ca,
        headers: { authorization: `Bearer ${token}` },
      });
      closers.push(async () => socket.terminate());
      const news: {
        id?: number;
        event?: { subject: string };
        message?: { topic: string };
        error?: { code: string };
      }[] = [];
      socket.on('message', (data) => news.push(JSON.parse(String(data))));
      await new Promise((resolve) => socket.once('open', resolve));
      for (const request of [
        { id: 1, to: 'events' },
        { id: 2, to: 'device', device: 'press-4', channels: ['telemetry', 'log'] },
        { id: 3, to: 'messages', filter: 'aiot/v1/press-4/#' },
        { id: 4, to: 'messages', filter: '#' },
        { id: 5, to: 'messages', filter: 'lab/#' },
      ])
        socket.send(JSON.stringify(request));
      await until(() => news.filter(({ error }) => error).length === 3);
      const errors = news.filter(({ error }) => error);
      expect(errors.map(({ id, error }) => [id, error?.code]).sort()).toEqual([
        [2, 'AIOT_NOT_ALLOWED'],
        [3, 'AIOT_NOT_ALLOWED'],
        [5, 'AIOT_NOT_ALLOWED'],
      ]);
      await own.client.devices.patch('press-4', { tags: { line: '7' } });
      await other.report('IDLE');
      await own.client.devices.patch('press-3', { tags: { line: '7' } });
      await theirs.report('IDLE');
      const topics = () => news.flatMap(({ message }) => message?.topic ?? []);
      const subjects = () => news.flatMap(({ event }) => event?.subject ?? []);
      await until(
        () => subjects().includes('press-3') && topics().some((topic) => topic.includes('press-3')),
      );
      await delay(200);
      expect([...topics(), ...subjects()].filter((text) => !text.includes('press-3'))).toEqual([]);
      for (const name of ['press-3', 'press-4'])
        await own.client.devices.patch(name, { tags: { line: null } });
      await until(async () => {
        const all = await ask(own, '/api/v1/events?from=0&limit=1000&type=access.deny', {
          headers: { accept: 'application/json' },
        });
        return all.text.includes('subscribe at /live');
      });
    });
  });

  describe('an operator limited to a selector', () => {
    it('is rejected by every endpoint that does not state how it respects the limit', async () => {
      const closed = doors.filter(({ reach }) => reach === undefined);
      expect(closed.map(({ route }) => route).sort()).toMatchSnapshot();
      for (const endpoint of closed) {
        const { status, text } = await send(endpoint, 'press-3');
        expect(status, `${endpoint.route}: ${text}`).toBe(403);
        if (!endpoint.route.startsWith('HEAD')) expect(text).toContain('AIOT_NOT_ALLOWED');
      }
      for (const path of ['/metrics']) expect((await ask(own, path, { token })).status, path).toBe(403);
    });

    it('is rejected by every endpoint that names another device, or a device that does not exist', async () => {
      const named = doors.filter(({ reach }) => reach === 'named');
      expect(named.length).toBeGreaterThan(15);
      for (const endpoint of named)
        for (const device of ['press-4', 'press-9', 'press%2D4']) {
          const { status, text } = await send(endpoint, device);
          expect(status, `${endpoint.route} ${device}: ${text}`).toBe(403);
        }
      const { text } = await ask(own, '/api/v1/devices/press-4', { token });
      expect(JSON.parse(text)).toMatchObject({
        code: 'AIOT_NOT_ALLOWED',
        detail: 'press-4 is not among the devices of this token (site=hall-3)',
        next: expect.stringContaining('aiot device list'),
      });
    });

    it('sees only its devices in lists, counts and recordings', async () => {
      expect((await client.devices.list()).map(({ name }) => name)).toEqual(['press-3']);
      expect((await client.devices.list('type=virtual or site=hall-4')).map(({ name }) => name)).toEqual([
        'press-3',
      ]);
      expect(await client.status()).toMatchObject({ counts: { devices: 1, online: 1 } });
      const { counts, devices } = await client.attention.list({});
      expect(Object.values(counts).reduce((sum, count) => sum + count, 0)).toBe(1);
      expect(devices.every(({ name }) => name === 'press-3')).toBe(true);
      expect(await client.datasets.list()).toMatchObject([{ name: 'imu', recordings: 1, samples: 2 }]);
      for (const path of ['datasets/imo', 'datasets/imo/export'])
        expect((await ask(own, `/api/v1/${path}`, { token })).text, path).not.toContain('Did you mean');
      const { text: recordings } = await ask(own, '/api/v1/datasets/imu', { token });
      expect(recordings).toContain('press-3');
      expect(recordings).not.toContain('press-4');
      for (const format of ['csv', 'ndjson']) {
        const { text } = await ask(own, `/api/v1/datasets/imu/export?format=${format}`, { token });
        expect(text).toContain('press-3');
        expect(text).not.toContain('press-4');
      }
      for (const path of ['imu?selector=press-4', 'imu/export?format=csv&selector=press-4'])
        expect((await ask(own, `/api/v1/datasets/${path}`, { token })).status, path).toBe(403);
    });

    it('reads and rolls out as before after a device that its limit names was removed', async () => {
      await provisionDevice({
        client: own.client,
        name: 'press-5',
        type: 'virtual',
        out: join(own.folder, 'press-5'),
      });
      const made = await own.client.tokens.create({
        ...{ name: 'two presses', role: 'operator', selector: 'press-3,press-5' },
      });
      const named = withToken(made.token);
      expect((await named.devices.list()).map(({ name }) => name)).toEqual(['press-3', 'press-5']);
      await own.client.devices.act('press-5', 'revoke');
      await own.client.devices.remove('press-5');
      expect((await named.devices.list()).map(({ name }) => name)).toEqual(['press-3']);
      expect((await named.devices.list('type=virtual')).map(({ name }) => name)).toEqual(['press-3']);
      const version = await push(own, 9);
      const { sequence } = (await own.client.models.get('motion', version)) as { sequence: number };
      const plan = await named.rollouts.plan(oneWave({ name: 'motion', version, sequence, selector: 'all' }));
      expect(plan.waves.flat()).toEqual(['press-3']);
      await expect(named.devices.list('press-5')).rejects.toMatchObject({ code: 'AIOT_NOT_ALLOWED' });
    });

    it('reads only the messages of the device that it names', async () => {
      for (const { name, client: device } of [theirs, other])
        await device.publishAsync(
          `aiot/v1/${name}/log`,
          JSON.stringify({ t: Date.now(), level: 'warn', message: `from ${name}` }),
          { qos: 1 },
        );
      const messages = await client.devices.messages('press-3', { channel: 'log' });
      expect(messages.map(({ payload }) => payload.message)).toEqual(['from press-3']);
    });

    it('cannot change other devices in bulk, label or delete their recordings, or send their crashes', async () => {
      const change = { action: 'tag' as const, set: { seen: '1' }, remove: [] };
      await expect(client.devices.change(['press-3', 'press-4'], change, false)).rejects.toMatchObject({
        code: 'AIOT_NOT_ALLOWED',
      });
      expect((await own.client.devices.get('press-3')).tags).toEqual({ site: 'hall-3' });
      const label = { stream: 'imu', device: 'press-4', recording: 'r1', label: 'bad' };
      const crash = { device: 'press-4', crash: { kind: 'panic', reason: 'x' } };
      for (const [method, path, body] of [
        ['POST', '/labels', label],
        ['POST', '/datasets/imu/labels', { labels: [{ device: 'press-4', recording: 'r1', label: 'bad' }] }],
        ['POST', '/crashes', crash],
        ['DELETE', '/datasets/imu/recordings?device=press-4', undefined],
        ['DELETE', '/datasets/imu/recordings', undefined],
        ['DELETE', '/datasets/imu/recordings?label=x', undefined],
      ] as const) {
        const { status, text } = await ask(own, `/api/v1${path}`, {
          ...{ method, token },
          ...(body ? { body: JSON.stringify(body) } : {}),
        });
        expect([400, 403], `${method} ${path}: ${text}`).toContain(status);
      }
      expect(await own.client.datasets.list()).toMatchObject([{ recordings: 2, labels: {} }]);
      await client.labels.post({ ...label, device: 'press-3' });
      expect(await own.client.datasets.list()).toMatchObject([{ labels: { bad: 1 } }]);
    });

    it('cannot change a device that leaves its reach while the body of the request arrives', async () => {
      const body = '{"tags":{"site":"hall-3"}}';
      const url = new URL('/api/v1/devices/press-3', own.platform.urls.http);
      const headers = {
        authorization: `Bearer ${token}`,
        'content-type': 'application/json',
        'content-length': body.length,
      };
      const sent = request(url, { method: 'PATCH', ca: own.ca, headers });
      const status = new Promise<number | undefined>((resolve, reject) => {
        sent.on('response', (response) => resolve(response.resume().statusCode));
        sent.on('error', reject);
      });
      sent.write(body.slice(0, -1));
      await delay(200);
      await tag('press-3', 'hall-9');
      sent.end(body.slice(-1));
      expect(await status).toBe(403);
      expect((await own.client.devices.get('press-3')).tags).toEqual({ site: 'hall-9' });
      await tag('press-3', 'hall-3');
    });

    it('cannot move a device out of its reach, and changes other properties', async () => {
      const away = { action: 'tag' as const, set: { site: 'hall-4' }, remove: [] };
      const without = { action: 'tag' as const, set: {}, remove: ['site'] };
      for (const change of [away, without])
        await expect(client.devices.change(['press-3'], change, false)).rejects.toMatchObject({
          code: 'AIOT_NOT_ALLOWED',
        });
      await expect(client.devices.patch('press-3', { tags: { site: 'hall-4' } })).rejects.toMatchObject({
        code: 'AIOT_NOT_ALLOWED',
      });
      await client.devices.patch('press-3', { tags: { line: '2' } });
      expect((await own.client.devices.get('press-3')).tags).toEqual({ site: 'hall-3', line: '2' });
    });

    it('gets no suggestions from the names and tags of other devices, or from users', async () => {
      await own.client.devices.patch('press-4', { tags: { zone: '7' } });
      await own.client.devices.patch('press-3', { tags: { line: '2' } });
      await own.client.users.add({ name: 'bertha', role: 'operator' });
      const version = await push(own, 21);
      const { sequence } = (await own.client.models.get('motion', version)) as { sequence: number };
      const plan = (selector: string) =>
        client.rollouts.plan(oneWave({ name: 'motion', version, sequence, selector }));
      expect(await client.devices.list('zone=7')).toEqual([]);
      expect(await client.devices.list('zonee=7')).toEqual([]);
      await expect(plan('zonee=7')).rejects.toMatchObject({ code: 'AIOT_ROLLOUT_EMPTY' });
      for (const [mistyped, near] of [
        ['linee=2', 'line'],
        ['sitee=hall-3', 'site'],
        ['tpye=virtual', 'type'],
      ] as const)
        for (const attempt of [() => client.devices.list(mistyped), () => plan(mistyped)])
          await expect(attempt()).rejects.toMatchObject({
            code: 'AIOT_SELECTOR_INVALID',
            message: expect.stringContaining(`Did you mean ${near}?`),
          });
      await expect(own.client.devices.list('zonee=7')).rejects.toMatchObject({
        message: expect.stringContaining('Did you mean zone?'),
      });
      const refusals = ['bertha', 'berta', 'nobody'].map((owner) =>
        client.tokens.create({ name: 'x', owner, role: 'viewer' }).catch((error: Error) => error.message),
      );
      expect([...new Set(await Promise.all(refusals))]).toEqual([
        "only operators without a device limit can manage other users' tokens",
      ]);
      await own.client.devices.patch('press-4', { tags: { zone: null } });
      await own.client.devices.patch('press-3', { tags: { line: null } });
    });

    it('does not learn from the limit itself that a tag is missing', async () => {
      const made = await own.client.tokens.create({
        name: 'no hall',
        role: 'viewer',
        selector: 'sitee=none',
      });
      expect(await withToken(made.token).devices.list()).toEqual([]);
    });

    it('does not learn the name of the other device that has a board', async () => {
      const mac = '24:0a:c4:00:00:04';
      const request = await certificateRequest(generateKeyPair().privatePem, 'press-11');
      await own.client.devices.provision('press-11', 'esp32', request, mac);
      const csr = await certificateRequest(generateKeyPair().privatePem, 'press-3');
      for (const [by, message] of [
        [client, `the board ${mac} already belongs to another device`],
        [own.client, `the board ${mac} is already registered as press-11`],
      ] as const) {
        const refused = await by.devices.replace('press-3', csr, mac).catch((error: unknown) => error);
        expect(refused).toMatchObject({ code: 'AIOT_ALREADY_EXISTS', message });
        expect((refused as { next: string }).next.includes('press-11')).toBe(by === own.client);
      }
    });

    it('gets the same positions for a hidden device as for one that does not exist', async () => {
      for (let i = 0; i < 3; i++) await other.report('IDLE');
      const page = async (query: string) => {
        const { text } = await ask(own, `/api/v1/events?${query}`, {
          token,
          headers: { accept: 'application/json' },
        });
        return JSON.parse(text) as { events: { subject: string }[]; next: string | null; last: number };
      };
      for (const query of ['from=0&limit=1', 'newest=1&limit=1', 'from=0&limit=1&type=device.connect'])
        await until(async () => {
          const [hidden, absent] = [
            await page(`${query}&subject=press-4`),
            await page(`${query}&subject=press-9`),
          ];
          expect([hidden.events, hidden.next]).toEqual([[], null]);
          return hidden.last === absent.last;
        });
      // The newest event of the own device, although other devices have newer ones.
      await until(async () => {
        const { events } = await page('newest=1&limit=5&type=device.*');
        return events.length >= 1 && events.every(({ subject }) => subject === 'press-3');
      });
      const all: string[] = [];
      for (let from = '0', next: string | null = from; next !== null; ) {
        const some = await page(`from=${from}&limit=2`);
        all.push(...some.events.map(({ subject }) => subject));
        next = some.next;
        from = String(some.last);
      }
      expect(all.length).toBe((await page('from=0&limit=1000')).events.length);
      expect([...new Set(all)]).toEqual(['press-3']);
    });

    it('starts rollouts only on its devices, and sees and steers no other', async () => {
      const version = await push(own, 1);
      const { sequence } = (await own.client.models.get('motion', version)) as { sequence: number };
      const wave = { name: 'motion', version, sequence };
      const all = await own.client.rollouts.start(oneWave({ ...wave, selector: 'press-4' }));
      expect(await client.rollouts.list()).toEqual([]);
      const steps = ['pause', 'resume', 'abort', 'rollback', 'retry', 'approve'];
      for (const [method, path] of [
        ...steps.map((step) => ['POST', `/${step}`] as const),
        ...['', '/devices', '/events'].map((path) => ['GET', path] as const),
      ]) {
        const { status } = await ask(own, `/api/v1/rollouts/${all.id}${path}`, { method, token });
        expect(status, path).toBe(403);
      }
      for (const selector of ['press-4', 'press-3,press-4'])
        await expect(client.rollouts.start(oneWave({ ...wave, selector }))).rejects.toMatchObject({
          code: 'AIOT_NOT_ALLOWED',
        });
      await expect(
        client.rollouts.start(oneWave({ ...wave, selector: 'site=hall-4' })),
      ).rejects.toMatchObject({
        code: 'AIOT_ROLLOUT_EMPTY',
      });
      const plan = await client.rollouts.plan(oneWave({ ...wave, selector: 'all' }));
      expect(plan.waves.flat()).toEqual(['press-3']);
      const mine = await client.rollouts.start(
        oneWave({ ...wave, selector: 'name=press-4 or type=virtual' }),
      );
      expect(mine.selector).toBe('(name=press-4 or type=virtual) and site=hall-3');
      expect((await client.rollouts.devices(mine.id)).map(({ name }) => name)).toEqual(['press-3']);
      expect((await client.rollouts.list()).map(({ id }) => id)).toEqual([mine.id]);
      expect((await client.status()).counts.rollouts).toBe(1);
      await client.rollouts.abort(mine.id);
    });

    it('has its rollouts leave out devices that have left its limits before their turn', async () => {
      const version = await push(own, 22);
      const { sequence } = (await own.client.models.get('motion', version)) as { sequence: number };
      const request = oneWave({ name: 'motion', version, sequence });
      await own.client.users.add({ name: 'lead', role: 'operator' });
      const made = await own.client.tokens.create({ name: 'lead', owner: 'lead', role: 'operator' });
      // The first rollout starts when it is approved, the second one at a time.
      for (const how of ['approval', 'time']) {
        const gate = how === 'approval' ? { approval: true } : { startAt: Date.now() + 6000 };
        const { id } = await client.rollouts.start({ ...request, policy: { ...request.policy, ...gate } });
        await tag('press-3', 'hall-9');
        if (how === 'approval') await withToken(made.token).rollouts.command(id, 'approve');
        await until(async () => (await own.client.rollouts.get(id)).ended !== null);
        expect(await own.client.rollouts.devices(id)).toMatchObject([
          { name: 'press-3', state: 'withdrawn', times: {}, error: { code: 'AIOT_NOT_ALLOWED' } },
        ]);
        await tag('press-3', 'hall-3');
      }
    });

    it('gets only the events of its devices, and its denied attempts are recorded', async () => {
      const page = await ask(own, '/api/v1/events?from=0&limit=1000', {
        token,
        headers: { accept: 'application/json' },
      });
      const events = JSON.parse(page.text).events as { type: string; subject: string }[];
      expect(events.length).toBeGreaterThan(2);
      expect([...new Set(events.map(({ subject }) => subject))]).toEqual(['press-3']);
      const stream = await ask(own, `/api/v1/events?from=0&limit=${events.length}`, { token });
      expect(stream.text).toContain('"subject":"press-3"');
      expect(stream.text).not.toContain('press-4');
      await until(async () => {
        const all = await ask(own, '/api/v1/events?from=0&limit=1000&type=access.deny', {
          headers: { accept: 'application/json' },
        });
        return (
          all.text.includes('GET /api/v1/devices/:name') && all.text.includes('POST /api/v1/devices/actions')
        );
      });
    });

    it('cannot get wider rights with another token', async () => {
      const wider = await client.tokens.create({ name: 'wider', role: 'operator' });
      expect(wider.selector).toBe('site=hall-3');
      const narrower = await client.tokens.create({
        name: 'narrower',
        role: 'operator',
        selector: 'press-4',
      });
      expect(narrower.selector).toBe('site=hall-3 and name=press-4');
      expect(await withToken(narrower.token).devices.list()).toEqual([]);
      const [first] = (await own.client.tokens.list()).filter(({ selector }) => selector === null);
      for (const attempt of [
        () => client.tokens.rotate(first?.id ?? '', 0),
        () => client.tokens.revoke(first?.id ?? ''),
      ])
        await expect(attempt()).rejects.toMatchObject({ code: 'AIOT_NOT_ALLOWED' });
      const rotated = await client.tokens.rotate(wider.id, 0);
      expect(rotated.selector).toBe('site=hall-3');
      await expect(
        own.client.tokens.create({ name: 'x', role: 'viewer', selector: 'fw>1.0' }),
      ).rejects.toMatchObject({ code: 'AIOT_SELECTOR_INVALID' });
    });

    it('shares its limit with all tokens of its user', async () => {
      const user = await own.client.users.add({ name: 'anna', role: 'operator', selector: 'site=hall-3' });
      expect(user.selector).toBe('site=hall-3');
      const made = await own.client.tokens.create({ name: 'laptop', owner: 'anna', role: 'operator' });
      expect(made.selector).toBe('site=hall-3');
      const anna = withToken(made.token);
      expect((await anna.devices.list()).map(({ name }) => name)).toEqual(['press-3']);
      await expect(anna.users.list()).rejects.toMatchObject({ code: 'AIOT_NOT_ALLOWED' });
    });

    it('cannot act as a gateway of update clients', async () => {
      const made = await own.client.tokens.create({
        ...{ name: 'gateway', role: 'operator', selector: 'site=hall-3' },
        scopes: ['ddi:gateway'],
      });
      const asGateway = { headers: { authorization: `GatewayToken ${made.token}` }, token: '' };
      for (const name of ['press-3', 'press-4'])
        expect((await ask(own, `/default/controller/v1/${name}`, asGateway)).status).toBe(401);
    });
  });

  describe('crashes and alarms for a token limited to a selector', () => {
    it('show only the reports, incidents and counts of its devices', async () => {
      const crash = {
        kind: 'exception' as const,
        reason: 'LoadProhibited',
        backtrace: [{ function: 'loop' }],
      };
      for (const [i, device] of ['press-3', 'press-4', 'press-4'].entries())
        await own.client.crashes.send({ device, crash: { ...crash, id: `c${i}` } });
      const all = (await own.client.crashes.list({})).groups;
      expect(all).toMatchObject([{ count: 3, devices: 2 }]);
      const { groups } = await client.crashes.list({});
      expect(groups).toMatchObject([{ count: 1, devices: 1 }]);
      const shown = await client.crashes.get(groups[0]?.signature ?? '');
      expect(shown).toMatchObject({ device: 'press-3', others: [], group: { count: 1 } });
      await expect(client.crashes.get(all[0]?.latest ?? '')).rejects.toMatchObject({
        code: 'AIOT_NOT_FOUND',
      });
      await expect(client.crashes.list({ selector: 'press-4' })).rejects.toMatchObject({
        code: 'AIOT_NOT_ALLOWED',
      });
    });

    it('show only the log lines of its devices', async () => {
      const t = Date.now();
      for (const { name, client: device } of [theirs, other]) {
        const line = JSON.stringify({ t, level: 'error', message: `searched ${name}` });
        await device.publishAsync(`aiot/v1/${name}/log`, line, { qos: 1 });
      }
      const messages = async (of: RegistryClient) =>
        (await of.devices.logs({ contains: 'SEARCHED' })).lines.map(({ message }) => message);
      expect(await messages(own.client)).toEqual(['searched press-4', 'searched press-3']);
      expect(await messages(client)).toEqual(['searched press-3']);
      await expect(client.devices.logs({ selector: 'press-4' })).rejects.toMatchObject({
        ...{ code: 'AIOT_NOT_ALLOWED' },
      });
      const ending = new AbortController();
      const query = { since: t, newest: 10, signal: ending.signal };
      const followed: string[] = [];
      const following = (async () => {
        for await (const { message } of client.devices.followLogs(query)) followed.push(message);
      })().catch(() => {});
      await expect.poll(() => followed).toEqual(['searched press-3']);
      for (const { name, client: device } of [other, theirs]) {
        const line = JSON.stringify({ t, level: 'error', message: `followed ${name}` });
        await device.publishAsync(`aiot/v1/${name}/log`, line, { qos: 1 });
      }
      await expect.poll(() => followed).toEqual(['searched press-3', 'followed press-3']);
      ending.abort();
      await following;
      const refused = client.devices.followLogs({ ...query, signal: undefined, selector: 'press-4' });
      await expect(refused.next()).rejects.toMatchObject({ code: 'AIOT_NOT_ALLOWED' });
    });

    it('are acknowledged only for its devices, and defined by operators for all devices', async () => {
      await own.client.alarms.create({ name: 'hot', where: 'temperature > 80', stream: 'motors' });
      const t = Date.now();
      for (const { name, client: device } of [theirs, other])
        await device.publishAsync(
          `aiot/v1/${name}/telemetry/motors`,
          JSON.stringify({ t, temperature: 99 }),
          {
            qos: 1,
          },
        );
      await until(async () => (await own.client.alarms.get('hot')).alarm.open === 2);
      expect(await client.alarms.list()).toMatchObject([{ name: 'hot', open: 1, unacknowledged: 1 }]);
      expect((await client.alarms.get('hot')).incidents.map(({ device }) => device)).toEqual(['press-3']);
      for (const selector of ['press-4', 'press-3,press-4'])
        await expect(client.alarms.acknowledge('hot', { selector })).rejects.toMatchObject({
          code: 'AIOT_NOT_ALLOWED',
        });
      await expect(client.alarms.acknowledge('hot', { selector: 'site=hall-4' })).rejects.toMatchObject({
        code: 'AIOT_NOT_FOUND',
      });
      expect(await client.alarms.acknowledge('hot', {})).toMatchObject({
        ...{ acknowledged: 1, alarm: { open: 1, unacknowledged: 0 } },
      });
      expect((await own.client.alarms.get('hot')).alarm).toMatchObject({ open: 2, unacknowledged: 1 });
      for (const attempt of [
        () => client.alarms.silence('hot', { forMs: 1000 }),
        () => client.alarms.remove('hot'),
      ])
        await expect(attempt()).rejects.toMatchObject({ code: 'AIOT_NOT_ALLOWED' });
    });
  });

  describe('a device’s live messages', () => {
    it('end for a token that the device leaves', async () => {
      const viewer = await limited('live', 'viewer');
      let text = '';
      let isOver = false;
      const url = new URL('/api/v1/devices/press-3/live', own.platform.urls.http);
      const headers = { authorization: `Bearer ${viewer}` };
      request(url, { ca: own.ca, headers, agent: false }, (response) =>
        response
          .setEncoding('utf8')
          .on('data', (part: string) => {
            text += part;
          })
          .once('close', () => {
            isOver = true;
          }),
      ).end();
      const say = (message: string) =>
        theirs.client.publishAsync('aiot/v1/press-3/log', JSON.stringify({ t: 1, level: 'info', message }), {
          qos: 1,
        });
      // Messages that precede the stream are not in it.
      await until(async () => {
        await say('inside');
        return text.includes('inside');
      });
      await delay(200);
      expect(isOver).toBe(false);
      await tag('press-3', 'hall-9');
      await say('outside');
      await until(() => isOver);
      await tag('press-3', 'hall-3');
      expect(text).not.toContain('outside');
    });
  });

  describe('the commands of a user limited to a selector', () => {
    const saved = { ...process.env };
    const asUser = (secret: string) =>
      Object.assign(process.env, {
        AIOT_URL: own.platform.urls.http,
        AIOT_CA: own.platform.ca,
        AIOT_TOKEN: secret,
      });
    afterEach(() => {
      for (const name of ['AIOT_URL', 'AIOT_CA', 'AIOT_TOKEN'])
        if (saved[name] === undefined) delete process.env[name];
        else process.env[name] = saved[name];
    });

    it('work on their devices, and end with exit code 5 and a next step on others', async () => {
      asUser(own.token);
      const added = await runCli(['user', 'add', 'cora', '--role', 'operator', '--selector', 'site=hall-3']);
      expect(added.stdout).toContain(
        'cora is a user with the role operator, only for the devices that match site=hall-3.',
      );
      expect((await runCli(['user', 'list'])).stdout).toMatch(/cora +operator +site=hall-3/);
      expect(
        await refusal(['user', 'add', 'dan', '--role', 'viewer', '--selector', 'online=true']),
      ).toMatchObject({
        code: 'AIOT_SELECTOR_INVALID',
      });
      const made = await ok(madeTokenSchema, [
        ...['token', 'create', 'desk', '--user', 'cora', '--role', 'operator', '--selector', 'type=virtual'],
      ]);
      expect(made.selector).toBe('site=hall-3 and type=virtual');
      asUser(made.token);
      expect((await runCli(['device', 'list'])).stdout).not.toContain('press-4');
      expect((await runCli(['token', 'list'])).stdout).toContain('site=hall-3 and type=virtual');
      for (const argv of [
        ['device', 'show', 'press-4'],
        ['device', 'tag', 'press-4', 'a=b'],
        ['device', 'call', 'press-4', 'reboot'],
        ['device', 'logs', 'press-4'],
        ['user', 'list'],
        ['webhook', 'list'],
        ['audit', 'verify'],
      ]) {
        const { code, exit } = await refusal(argv);
        expect([code, exit], argv.join(' ')).toEqual(['AIOT_NOT_ALLOWED', 5]);
      }
      const { stderr } = await runCli(['device', 'show', 'press-4']);
      expect(stderr).toContain('press-4 is not among the devices of this token');
      expect(stderr).toContain('aiot device list');
    });

    it('are limited alike as MCP tools', async () => {
      const { Client } = await import('@modelcontextprotocol/sdk/client/index.js');
      const { StdioClientTransport } = await import('@modelcontextprotocol/sdk/client/stdio.js');
      asUser(token);
      const mcp = new Client({ name: 'test', version: '1.0.0' });
      const args = [join(root, 'bin/run.js'), 'mcp'];
      const env = { ...process.env } as Record<string, string>;
      await mcp.connect(new StdioClientTransport({ command: process.execPath, args, env, stderr: 'ignore' }));
      closers.push(() => mcp.close());
      const said = async (name: string, given: Record<string, unknown>) =>
        JSON.stringify(await mcp.callTool({ name, arguments: given }));
      const { tools } = await mcp.listTools();
      const [list, show] = ['device list', 'device show'].map(
        (wanted) => tools.find(({ name }) => name.replace(/[^a-z]/g, ' ') === wanted)?.name ?? wanted,
      ) as [string, string];
      const listed = await said(list, {});
      expect(listed).toContain('press-3');
      expect(listed).not.toContain('press-4');
      expect(await said(show, { name: 'press-4' })).toContain('AIOT_NOT_ALLOWED');
    }, 90_000);
  });

  describe('over MQTT, a token limited to a selector', () => {
    const connect = async (secret: string, options: object = {}): Promise<MqttClient> => {
      const { connectAsync } = await import('mqtt');
      const made = await connectAsync(own.platform.urls.mqtts, {
        ...{ ca: own.ca, username: 'x', password: secret, reconnectPeriod: 0 },
        ...options,
      });
      closers.push(() => made.endAsync(true));
      return made;
    };
    const topicsOf = (mqtt: MqttClient): string[] => {
      const topics: string[] = [];
      mqtt.on('message', (topic) => topics.push(topic));
      return topics;
    };

    it.each([
      'aiot/v1/press-4/reported',
      'aiot/v1/press-4/#',
      '+/v1/press-4/#',
      'aiot/+/press-4/reported',
      'aiot/v1/press-9/#',
      'lab/#',
      'lab/1',
      '$SYS/#',
      '$SYS/broker/uptime',
      '$share/group/aiot/v1/+/reported',
      '$share/group/#',
    ])('is refused a subscription to %s', async (filter) => {
      const mqtt = await connect(token);
      await expect(mqtt.subscribeAsync(filter, { qos: 1 })).rejects.toThrow();
    });

    it('gets only the messages of its devices by wildcards, retained and new, with QoS 0 and 1', async () => {
      await (await connect(own.token)).publishAsync('lab/1', '{}', { retain: true, qos: 1 });
      for (const qos of [0, 1] as const)
        for (const filter of ['#', '+/+/+/#', 'aiot/v1/+/reported', 'aiot/v1/#']) {
          const mqtt = await connect(token);
          const topics = topicsOf(mqtt);
          await mqtt.subscribeAsync(filter, { qos });
          await until(() => topics.includes('aiot/v1/press-3/reported'));
          await other.report('IDLE');
          await other.client.publishAsync('aiot/v1/press-4/log', '{"t":1,"level":"info","message":"x"}', {
            qos: 1,
          });
          await theirs.report('IDLE');
          await until(() => topics.filter((topic) => topic === 'aiot/v1/press-3/reported').length > 1);
          expect(topics.filter((topic) => !topic.startsWith('aiot/v1/press-3/'))).toEqual([]);
          await mqtt.endAsync(true);
        }
    }, 20_000);

    it('publishes only on topics of its devices', async () => {
      const mqtt = await connect(token, { protocolVersion: 5 });
      await mqtt.publishAsync('aiot/v1/press-3/command', '{}', { qos: 1 });
      for (const topic of ['aiot/v1/press-4/command', 'aiot/v1/press-9/command', 'lab/1'])
        await expect(mqtt.publishAsync(topic, '{}', { qos: 1 }), topic).rejects.toThrow(/[Nn]ot authorized/);
    });

    it('cannot leave a will for another device', async () => {
      const will = { topic: 'aiot/v1/press-4/command', payload: Buffer.from('{}'), qos: 1 as const };
      await expect(connect(token, { will })).rejects.toThrow(/[Nn]ot authorized/);
    });

    it('leaves no will for a device that has left its reach', async () => {
      const observer = await connect(own.token);
      const wills: string[] = [];
      observer.on('message', (_, payload) => wills.push(payload.toString()));
      await observer.subscribeAsync('aiot/v1/press-3/command', { qos: 1 });
      const ending = async (payload: string) => {
        const will = { topic: 'aiot/v1/press-3/command', payload: Buffer.from(payload), qos: 1 as const };
        const mqtt = await connect(token, { will });
        return () => mqtt.stream.destroy();
      };
      (await ending('within'))();
      await until(() => wills.length > 0);
      const end = await ending('beyond');
      await tag('press-3', 'hall-9');
      const refused = async () => {
        const { text } = await ask(own, '/metrics');
        return Number(/^aiot_mqtt_refused_total (\d+)$/m.exec(text)?.[1]);
      };
      const before = await refused();
      end();
      // The broker counts the will that it drops.
      await until(async () => (await refused()) > before);
      await tag('press-3', 'hall-3');
      (await ending('again'))();
      await until(() => wills.length > 1);
      expect(wills).toEqual(['within', 'again']);
    });

    it('loses and gains devices on an open connection when tags change', async () => {
      const mqtt = await connect(token);
      const topics = topicsOf(mqtt);
      await mqtt.subscribeAsync('aiot/v1/+/reported', { qos: 1 });
      await mqtt.subscribeAsync('aiot/v1/press-3/log', { qos: 1 });
      await tag('press-3', 'hall-9');
      await tag('press-4', 'hall-3');
      topics.length = 0;
      await theirs.report('IDLE');
      await theirs.client.publishAsync('aiot/v1/press-3/log', '{"t":1,"level":"info","message":"x"}', {
        qos: 1,
      });
      await other.report('IDLE');
      await until(() => topics.length > 0);
      expect(topics).toEqual(['aiot/v1/press-4/reported']);
      await tag('press-3', 'hall-3');
      await tag('press-4', 'hall-4');
      await theirs.report('IDLE');
      await until(() => topics.includes('aiot/v1/press-3/reported'));
    });

    it('gets no message of another device that arrived while it was disconnected', async () => {
      const durable = {
        clientId: 'limited',
        clean: false,
        protocolVersion: 5,
        properties: { sessionExpiryInterval: 600 },
      };
      const first = await connect(token, durable);
      await first.subscribeAsync('aiot/v1/+/reported', { qos: 1 });
      await first.endAsync(true);
      await other.report('IDLE');
      await theirs.report('IDLE');
      // The other device's message is queued while its tag matches, and must not be delivered after that.
      await tag('press-4', 'hall-3');
      await other.report('IDLE');
      await tag('press-4', 'hall-4');
      const { connect: open } = await import('mqtt');
      const second = open(own.platform.urls.mqtts, {
        ...{ ca: own.ca, username: 'x', password: token, reconnectPeriod: 0 },
        ...(durable as object),
      });
      closers.push(() => second.endAsync(true));
      const topics = topicsOf(second);
      await until(() => topics.includes('aiot/v1/press-3/reported'));
      await delay(100);
      expect(topics.filter((topic) => topic.includes('press-4'))).toEqual([]);
    });

    it('is disconnected when its rights change', async () => {
      const user = await own.client.users.add({ name: 'otto', role: 'viewer', selector: 'site=hall-3' });
      const made = await own.client.tokens.create({ name: 'otto', owner: user.name, role: 'viewer' });
      const mqtt = await connect(made.token);
      const closed = new Promise<void>((resolve) => mqtt.once('close', () => resolve()));
      await own.client.users.act('otto', 'disable');
      await closed;
    });
  });

  describe('a command that waits for an offline device', () => {
    it('is not sent once the device has left the limits of the token', async () => {
      const name = 'press-10';
      const out = join(own.folder, name);
      await provisionDevice({ client: own.client, name, type: 'virtual', out });
      await tag(name, 'hall-3');
      const called = client.commands.call(
        name,
        { command: 'ping', offline: 'wait', timeoutMs: 20_000 },
        { limitMs: 20_000 },
      );
      const refused = expect(called).rejects.toMatchObject({ code: 'AIOT_NOT_ALLOWED' });
      await delay(300);
      await tag(name, 'hall-4');
      await refused;
      const arrived = await fakeDevice(own.platform.urls.mqtts, out, name);
      const { events } = await own.client.events.page({ types: ['device.call'], subject: name, limit: 10 });
      expect(events).toEqual([]);
      await arrived.client.endAsync(true);
    });
  });
}

import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createClient, type RegistryClient } from '../../src/lib/api/client.js';
import { generateKeyPair, publicKeyOf } from '../../src/lib/core/crypto.js';
import { systemClock } from '../../src/lib/core/time.js';
import { trustRootOf } from '../../src/lib/formats/manifest/envelope.js';
import type { Platform } from '../../src/lib/platform/options.js';
import { startPlatform } from '../../src/lib/platform/start.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { pushTiny } from '../support/bundle.js';
import { fakeDevice } from '../support/fake-device.js';
import { type Postgres, password, startPostgres } from '../support/postgres.js';
import { Pump, pumpSchema } from '../support/pump.js';
import { describeReal } from '../support/real.js';
import { oneWave } from '../support/rollout.js';

describeReal('postgres', 'two platforms on one database', () => {
  let server: Postgres;
  let folder: string;
  let url: string;
  let later = 0;
  const clock = { ...systemClock, now: () => Date.now() + later };
  const logged: string[] = [];
  const platforms: Platform[] = [];
  const clients: RegistryClient[] = [];
  const key = generateKeyPair().privatePem;
  const identity = (name: string) => join(folder, name);
  const start = (data: string, more: { secret?: string } = {}) =>
    startPlatform({
      ...{ dataDir: join(folder, data), httpPort: 0, mqttPort: 0, clock },
      ...{ engines: { database: url }, secret: 'shared by both', log: (line) => logged.push(line), ...more },
    });
  const fetchWith = async (origin: string, path: string) => {
    const { Agent, fetch } = await import('undici');
    const ca = await readFile(platforms[1]?.ca ?? '', 'utf8');
    const dispatcher = new Agent({ connect: { ca } });
    const { status } = await fetch(`${origin}${path}`, { dispatcher });
    await dispatcher.close();
    return { status };
  };
  const [a, b] = [() => clients[0] as RegistryClient, () => clients[1] as RegistryClient];

  beforeAll(async () => {
    server = await startPostgres();
    url = await server.database();
    folder = await mkdtemp(join(tmpdir(), 'aiot-replicas-'));
    // Both start at the same time, and one of them creates the tables, the CA and the token.
    platforms.push(...(await Promise.all([start('a'), start('b')])));
    const token = platforms.map((platform) => platform.token).find((token) => token !== undefined);
    const ca = await readFile(platforms[0]?.ca ?? '', 'utf8');
    for (const { urls } of platforms) clients.push(createClient({ url: urls.http, ca, token: token ?? '' }));
    await a().trust.put(trustRootOf(publicKeyOf(key)));
  }, 90_000);
  afterAll(async () => {
    for (const client of clients) await client.close();
    for (const platform of platforms) await platform.stop();
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  }, 60_000);

  it('share one CA, one initial token and one trust root', async () => {
    const [first, second] = await Promise.all(platforms.map(({ ca }) => readFile(ca, 'utf8')));
    expect(first).toBe(second);
    expect(platforms.filter(({ token }) => token !== undefined)).toHaveLength(1);
    expect(await b().trust.get()).toEqual(await a().trust.get());
    const key = await readFile(join(folder, 'a', 'pki', 'ca.key'), 'utf8');
    const name = url.split('/').at(-1) as string;
    const dump = await server.psql(name, `SELECT string_agg(value, ' ') FROM meta`);
    for (const line of key.split('\n').filter((line) => line.length > 20)) expect(dump).not.toContain(line);
  });

  it('reject a third one with a different secret or from a different platform', async () => {
    await expect(start('c', { secret: 'another' })).rejects.toMatchObject({ code: 'AIOT_DATABASE_REFUSED' });
    const other = { dataDir: join(folder, 'other'), httpPort: 0, mqttPort: 0 };
    await (await startPlatform(other)).stop();
    await expect(start('other')).rejects.toMatchObject({
      code: 'AIOT_DATABASE_REFUSED',
      message: expect.stringContaining('a different platform'),
    });
  });

  it('share devices, and end a session within a second of a revocation on the other', async () => {
    await provisionDevice({ client: a(), name: 'wanderer', type: 'virtual', out: identity('wanderer') });
    const device = await fakeDevice(platforms[1]?.urls.mqtts ?? '', identity('wanderer'), 'wanderer');
    expect(await b().devices.get('wanderer')).toMatchObject({ online: true });
    for (const client of clients)
      await expect.poll(async () => (await client.devices.get('wanderer')).state).toBe('active');
    const closed = new Promise<void>((resolve) => device.client.once('close', () => resolve()));
    const revoked = performance.now();
    await a().devices.act('wanderer', 'revoke');
    await closed;
    expect(performance.now() - revoked).toBeLessThan(1000);
    const again = fakeDevice(platforms[1]?.urls.mqtts ?? '', identity('wanderer'), 'wanderer');
    await expect(again).rejects.toThrow();
  });

  it('apply narrower rights of a user at once, and keep one of two administrators that demote each other', async () => {
    const secrets = await Promise.all(
      ['first', 'second'].map(async (name) => {
        await a().users.add({ name, role: 'operator' });
        return (await a().tokens.create({ name, owner: name, role: 'operator' })).token;
      }),
    );
    const ca = await readFile(platforms[0]?.ca ?? '', 'utf8');
    const [first, second] = secrets.map((token, i) =>
      createClient({ url: platforms[i]?.urls.http ?? '', ca, token }),
    ) as [RegistryClient, RegistryClient];
    const seen: string[] = [];
    const following = (async () => {
      for await (const { type } of second.events.follow({ from: 'now', retries: 0 })) seen.push(type);
    })().catch(({ code }: { code: string }) => seen.push(code));
    for (let n = 0; seen.length === 0; n++) await b().users.add({ name: `seen-${n}`, role: 'viewer' });
    await a().users.change('second', { selector: 'name=none' });
    await expect(second.users.list()).rejects.toMatchObject({ code: 'AIOT_NOT_ALLOWED' });
    const changed = performance.now();
    await following;
    expect(performance.now() - changed).toBeLessThan(2500);
    await a().users.change('second', { selector: null });
    // Without the tokens that have no owner, the two are the only administrators.
    const ownerless = (await a().tokens.list()).filter(
      ({ owner, state }) => owner === null && state === 'valid',
    );
    const database = server.psql;
    const name = url.split('/').at(-1) as string;
    const ids = ownerless.map(({ id }) => `'${id}'`).join();
    await database(name, `UPDATE tokens SET revoked = 1 WHERE id IN (${ids})`);
    const outcomes = await Promise.allSettled([
      first.users.change('second', { role: 'ci' }),
      second.users.change('first', { role: 'ci' }),
    ]);
    await database(name, `UPDATE tokens SET revoked = NULL WHERE id IN (${ids})`);
    expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    const roles = await Promise.all(
      ['first', 'second'].map(async (each) => (await b().users.get(each)).role),
    );
    expect([...roles].sort()).toEqual(['ci', 'operator']);
    for (const each of ['first', 'second']) await a().users.remove(each);
    for (const client of [first, second]) await client.close();
  }, 30_000);

  it('deliver settings that were changed at one replica to a device at the other', async () => {
    const schema = { type: 'object', properties: { rpm: { type: 'integer', maximum: 3000, default: 900 } } };
    await a().settings.apply({ project: 'pumps', settings: [{ type: 'pump', schema }] });
    await provisionDevice({ client: a(), name: 'pump-1', type: 'pump', out: identity('pump-1') });
    const { client } = await fakeDevice(platforms[1]?.urls.mqtts ?? '', identity('pump-1'), 'pump-1');
    const heard: unknown[] = [];
    client.on('message', (topic, payload) => {
      if (topic.endsWith('/settings')) heard.push(JSON.parse(payload.toString()).values);
    });
    await client.subscribeAsync('aiot/v1/pump-1/settings', { qos: 1 });
    await expect.poll(() => heard.at(-1), { timeout: 20_000 }).toEqual({ rpm: 900 });
    await a().settings.change('pump-1', { set: { rpm: 600 } });
    await expect.poll(() => heard.at(-1), { timeout: 20_000 }).toEqual({ rpm: 600 });
    await b().devices.change(['pump-1'], { action: 'group', add: ['lab'] });
    await b().settings.change('pump-1', { unset: ['rpm'] });
    await b().settings.changeGroup('pump', 'lab', { set: { rpm: 700 }, priority: 3 });
    await expect.poll(() => heard.at(-1), { timeout: 20_000 }).toEqual({ rpm: 700 });
    await expect
      .poll(async () => (await a().settings.of('pump-1')).origins, { timeout: 20_000 })
      .toEqual({ rpm: 'group lab' });
    await client.endAsync(true);
  }, 60_000);

  it('roll out settings in waves to devices at both, and return them to their former values', async () => {
    const names = ['pump-a', 'pump-b'];
    await a().settings.apply({ project: 'pumps', settings: [{ type: 'pump', schema: pumpSchema }] });
    for (const name of names) await provisionDevice({ client: a(), name, type: 'pump', out: identity(name) });
    const pumps = await Promise.all(
      names.map((name, i) => Pump.connect(platforms[i]?.urls.mqtts ?? '', identity(name))),
    );
    await b().settings.change('pump-b', { set: { rpm: 600 } });
    const { id } = await b().rollouts.start({
      releases: [{ kind: 'settings', name: 'pump', change: { set: { rpm: 1200 } } }],
      ...{ selector: 'name=pump-a or name=pump-b', policy: { waves: [1, '100%'] } },
    });
    await expect.poll(async () => (await a().rollouts.get(id)).state, { timeout: 20_000 }).toBe('done');
    for (const pump of pumps) expect(pump.sent.at(-1)?.values.rpm).toBe(1200);
    // A change at one replica is respected by a rollback at the other.
    await a().settings.change('pump-a', { set: { rpm: 1250 } });
    await b().rollouts.rollback(id);
    await expect.poll(async () => (await a().rollouts.get(id)).state, { timeout: 20_000 }).toBe('rolledBack');
    expect((await b().settings.of('pump-a')).own).toEqual({ rpm: 1250 });
    expect((await b().settings.of('pump-b')).own).toEqual({ rpm: 600 });
    for (const pump of pumps) await pump.end();
  }, 60_000);

  it('advance a shared rollout whichever replica a device reports to, and still enforce its deadline', async () => {
    const names = ['at-a', 'at-b', 'silent'];
    for (const name of names)
      await provisionDevice({ client: a(), name, type: 'virtual', out: identity(name) });
    const { name, version, sequence, digest } = await pushTiny(a(), key);
    const model = { name, version, sequence, digest };
    const devices = await Promise.all(
      names.map((name, i) => fakeDevice(platforms[i % 2]?.urls.mqtts ?? '', identity(name), name)),
    );
    const { id } = await b().rollouts.start(oneWave({ name, version, sequence }));
    for (const device of devices) expect(await device.heard(1)).toMatchObject({ rollout: id });
    await Promise.all(devices.slice(0, 2).map((device) => device.report('TRIAL')));
    await Promise.all(devices.slice(0, 2).map((device) => device.report('COMMITTED', { model })));
    const states = async (client: RegistryClient) =>
      (await client.rollouts.devices(id)).map(({ state }) => state);
    for (const client of clients)
      await expect
        .poll(() => states(client), { timeout: 20_000 })
        .toEqual(['committed', 'committed', 'offered']);
    // The leader is stopped, and with it the device that was connected to it. The other process enforces the deadline.
    await platforms[0]?.stop();
    // Replicas read each other's connections every 2 s; a device that still counts as online fails at its deadline instead of missing it.
    await expect.poll(async () => (await b().devices.get('silent')).online, { timeout: 10_000 }).toBe(false);
    later = 3_600_000;
    await expect.poll(async () => (await b().rollouts.get(id)).state, { timeout: 10_000 }).toBe('partly');
    expect(await states(b())).toEqual(['committed', 'committed', 'missed']);
    for (const { client } of devices) await client.endAsync(true);
  }, 60_000);

  it('report an unreachable database, are not ready, and recover automatically', async () => {
    const ready = async () => (await fetchWith(platforms[1]?.urls.http ?? '', '/readyz')).status;
    expect(await ready()).toBe(200);
    await server.kill();
    await expect(b().devices.act('at-a', 'suspend')).rejects.toMatchObject({
      code: 'AIOT_DATABASE_UNREACHABLE',
    });
    expect(await ready()).toBe(503);
    await server.start();
    await expect.poll(ready, { timeout: 10_000 }).toBe(200);
    expect((await b().devices.act('at-a', 'suspend')).state).toBe('suspended');
    expect(logged.join('')).not.toContain(password);
  }, 60_000);

  it('keep one CA and one token when a replica returns with an empty folder', async () => {
    await rm(join(folder, 'a'), { recursive: true });
    const back = await start('a');
    platforms.push(back);
    expect(await readFile(back.ca, 'utf8')).toBe(await readFile(platforms[1]?.ca ?? '', 'utf8'));
    expect(back.token).toBeUndefined();
  }, 30_000);
});

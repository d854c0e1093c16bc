import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Agent, request } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createClient, type RegistryClient } from '../../src/lib/api/client.js';
import { readText } from '../../src/lib/core/files.js';
import type { Platform } from '../../src/lib/platform/options.js';
import { startPlatform } from '../../src/lib/platform/start.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { connect } from '../support/mqtt.js';
import { replicaRoles } from '../support/platform.js';
import { type Postgres, startPostgres } from '../support/postgres.js';
import { describeReal } from '../support/real.js';
import { record } from '../support/recording.js';
import { startVictim, type Victim } from './kills/harness.js';

describeReal('postgres', 'on PostgreSQL', () => {
  let postgres: Postgres;
  beforeAll(async () => {
    postgres = await startPostgres();
  }, 60_000);
  afterAll(() => postgres?.stop());

  describe('the roles of three replicas', () => {
    let folder: string;
    let database: string;
    let victim: Victim;
    const platforms: Platform[] = [];
    let client: RegistryClient;
    let hook: Server;
    /** The Webhook-Ids of all attempts, by the id of the event. */
    const told = new Map<number, string[]>();

    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'aiot-leader-'));
      database = await postgres.database();
      const shared = { engines: { database }, secret: 'of a test' };
      victim = await startVictim({ ...shared });
      // The first process leads in all roles before the others are started.
      for (let tries = 0; (await leads(victim.http)).length < replicaRoles.length; tries++) {
        if (tries > 200) throw new Error('the first process does not lead in all roles');
        await delay(50);
      }
      for (const name of ['second', 'third'])
        platforms.push(
          await startPlatform({ dataDir: join(folder, name), httpPort: 0, mqttPort: 0, ...shared }),
        );
      client = createClient({ url: urlOf(0), ca: victim.ca, token: victim.token });
      hook = createServer(async (message, response) => {
        let body = '';
        for await (const chunk of message) body += chunk;
        const { id } = JSON.parse(body) as { id: number };
        told.set(id, [...(told.get(id) ?? []), String(message.headers['webhook-id'])]);
        response.writeHead(204).end();
      });
      hook.listen(0, '127.0.0.1');
      await once(hook, 'listening');
    }, 60_000);
    afterAll(async () => {
      await client?.close();
      for (const platform of platforms) await platform.stop();
      await victim?.stop();
      hook?.close();
      await rm(folder, { recursive: true, force: true });
    }, 60_000);

    const urlOf = (i: number) => platforms[i]?.urls.http ?? '';
    /** The roles in which a replica leads, by its metrics. */
    const leads = async (url: string) => {
      const dispatcher = new Agent({ connect: { ca: victim.ca } });
      const headers = { authorization: `Bearer ${victim.token}` };
      const { body } = await request(`${url}/metrics`, { dispatcher, headers });
      const text = await body.text();
      await dispatcher.destroy();
      return [...text.matchAll(/^aiot_leader\{role="(.+)"\} 1$/gm)].map(([, role]) => role ?? '').sort();
    };
    const leadsOf = (urls: readonly string[]) => Promise.all(urls.map(leads));
    const counts = async (urls: readonly string[]) => (await leadsOf(urls)).map((all) => all.length).sort();
    const say = async (i: number) => {
      const place = { stream: 's', device: 'd', recording: `r${i}` };
      const { mqtts } = platforms[0]?.urls ?? { mqtts: '' };
      await record({ mqtts, ca: victim.ca, token: victim.token }, place);
      await client.labels.post({ ...place, label: 'walk' });
    };
    const labelled = async () =>
      (await client.events.page({ from: 0, types: ['data.label'], limit: 100 })).events;

    /** Whether every role has a leader, and no replica leads in more than its share: the roles divided by the replicas, rounded up. */
    const spread = async (urls: readonly string[]) => {
      const led = await counts(urls);
      const most = Math.ceil(replicaRoles.length / urls.length);
      const sum = led.reduce((total, count) => total + count, 0);
      return sum === replicaRoles.length && led.every((count) => count > 0 && count <= most);
    };

    it('are distributed among the replicas, each to one of them', async () => {
      const all = [victim.http, urlOf(0), urlOf(1)];
      await expect.poll(() => spread(all), { timeout: 30_000, interval: 50 }).toBe(true);
      expect((await leadsOf(all)).flat().sort()).toEqual(replicaRoles);
      const { replicas } = await client.status();
      await expect
        .poll(async () => (await client.status()).replicas.flatMap((each) => each.leads).sort(), {
          timeout: 30_000,
        })
        .toEqual(replicaRoles);
      expect(replicas).toHaveLength(3);
    }, 60_000);

    it('of a killed replica are taken over within the documented time; webhooks, jobs and alarms continue, each change once', async () => {
      const ca = await readText(platforms[0]?.ca ?? '');
      const { port } = hook.address() as AddressInfo;
      const url = `http://127.0.0.1:${port}/hook`;
      await client.webhooks.add({ url, types: ['data.label'], allowPrivate: true });
      const devices = Array.from({ length: 8 }, (_, i) => `d${i}`);
      for (const name of devices)
        await provisionDevice({ client, name, type: 'virtual', out: join(folder, name) });
      await client.alarms.create({ name: 'hot', where: 'v > 80', forMs: 0, stream: 'heat' });
      const sender = await connect(platforms[0]?.urls.mqtts ?? '', {
        ...{ ca, username: 'sender', password: victim.token },
      });
      const heat = (device: string, v: number) =>
        sender.publishAsync(`aiot/v1/${device}/telemetry/heat`, JSON.stringify({ t: Date.now(), v }), {
          qos: 1,
        });
      const incidents = async () =>
        (await client.events.page({ types: ['alarm.raise'], limit: 100 })).events.map(
          ({ data }) => (data as { device: string }).device,
        );
      for (let i = 0; i < 10; i++) await say(i);
      for (let i = 0; i < 5; i++) await heat(`d${i}`, 90);
      await expect.poll(() => told.size, { timeout: 30_000 }).toBe(10);
      await expect.poll(incidents, { timeout: 30_000 }).toHaveLength(5);
      const before = await leads(victim.http);
      expect(before.length).toBeGreaterThan(0);
      await victim.kill();
      const killed = performance.now();
      const rest = [urlOf(0), urlOf(1)];
      // Measured beside the load, which itself takes time on a busy machine.
      const taken = expect
        .poll(async () => (await leadsOf(rest)).flat().sort(), { timeout: 30_000, interval: 50 })
        .toEqual(replicaRoles)
        .then(() => performance.now() - killed);
      for (let i = 10; i < 20; i++) await say(i);
      for (let i = 3; i < 8; i++) await heat(`d${i}`, 95);
      const job = await client.jobs.create({ kind: 'blob.sweep' });
      // About 6 s, by the documents; a busy machine takes a little longer.
      expect(await taken).toBeLessThan(8000);
      await expect.poll(() => told.size, { timeout: 30_000 }).toBe(20);
      // Events are delivered at least once, and always with the same id.
      for (const ids of told.values()) expect(new Set(ids).size).toBe(1);
      await expect.poll(async () => (await client.jobs.get(job.id)).state, { timeout: 30_000 }).toBe('done');
      const { events } = await client.events.page({ from: 0, types: ['job.*'], subject: job.id, limit: 100 });
      expect(events.map(({ type }) => type)).toEqual(['job.create', 'job.start', 'job.end']);
      const labels = await labelled();
      expect(labels).toHaveLength(20);
      expect([...told.keys()].sort((a, b) => a - b)).toEqual(labels.map(({ id }) => id));
      await expect.poll(incidents, { timeout: 30_000 }).toHaveLength(8);
      // Another second, in which nothing may be raised again.
      await delay(1000);
      expect((await incidents()).sort()).toEqual(devices);
      await sender.endAsync();
    }, 120_000);

    it('of a stopped replica are taken over at once', async () => {
      const [first, second] = [urlOf(0), urlOf(1)];
      await expect.poll(() => spread([first, second]), { timeout: 30_000 }).toBe(true);
      const begun = performance.now();
      await platforms.pop()?.stop();
      const stopped = performance.now();
      await expect.poll(() => leads(first), { timeout: 30_000, interval: 50 }).toEqual(replicaRoles);
      // The roles are free when the stop has ended; the other replica looks for free roles every second.
      expect(performance.now() - stopped).toBeLessThan(4000);
      expect(performance.now() - begun).toBeLessThan(15_000);
      expect(await labelled()).toHaveLength(20);
    }, 60_000);
  });
});

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

  describe('a killed leader', () => {
    let folder: string;
    let victim: Victim;
    let other: Platform;
    let client: RegistryClient;
    let hook: Server;
    /** The Webhook-Ids of all attempts, by the id of the event. */
    const told = new Map<number, string[]>();

    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'aiot-leader-'));
      const shared = { engines: { database: await postgres.database() }, secret: 'of a test' };
      victim = await startVictim({ ...shared });
      // This process becomes the leader before the other one is started.
      for (let tries = 0; (await leads(victim.http, victim.ca, victim.token)) !== 1; tries++) {
        if (tries > 200) throw new Error('the first process does not lead');
        await delay(50);
      }
      other = await startPlatform({ dataDir: join(folder, 'other'), httpPort: 0, mqttPort: 0, ...shared });
      client = createClient({ url: other.urls.http, ca: victim.ca, token: victim.token });
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
      await other?.stop();
      await victim?.stop();
      hook?.close();
      await rm(folder, { recursive: true, force: true });
    }, 30_000);

    const leads = async (url: string, ca: string, token: string) => {
      const dispatcher = new Agent({ connect: { ca } });
      const headers = { authorization: `Bearer ${token}` };
      const { body } = await request(`${url}/metrics`, { dispatcher, headers });
      const text = await body.text();
      await dispatcher.destroy();
      return Number(/^aiot_leader\{role="platform"\} (\d)$/m.exec(text)?.[1]);
    };
    const say = async (i: number) => {
      const place = { stream: 's', device: 'd', recording: `r${i}` };
      await record({ mqtts: other.urls.mqtts, ca: victim.ca, token: victim.token }, place);
      await client.labels.post({ ...place, label: 'walk' });
    };

    it('is replaced within the documented time; webhooks and jobs continue, each change once', async () => {
      const ca = await readText(other.ca);
      expect(await leads(other.urls.http, ca, victim.token)).toBe(0);
      const { port } = hook.address() as AddressInfo;
      const url = `http://127.0.0.1:${port}/hook`;
      await client.webhooks.add({ url, types: ['data.label'], allowPrivate: true });
      for (let i = 0; i < 10; i++) await say(i);
      await expect.poll(() => told.size, { timeout: 10_000 }).toBe(10);
      await victim.kill();
      const killed = performance.now();
      for (let i = 10; i < 20; i++) await say(i);
      const job = await client.jobs.create({ kind: 'blob.sweep' });
      await expect
        .poll(() => leads(other.urls.http, ca, victim.token), { timeout: 10_000, interval: 50 })
        .toBe(1);
      const tookMs = performance.now() - killed;
      expect(tookMs).toBeLessThan(8000);
      await expect.poll(() => told.size, { timeout: 10_000 }).toBe(20);
      // Events are delivered at least once, and always with the same id.
      for (const ids of told.values()) expect(new Set(ids).size).toBe(1);
      await expect.poll(async () => (await client.jobs.get(job.id)).state, { timeout: 10_000 }).toBe('done');
      const { events } = await client.events.page({ from: 0, types: ['job.*'], subject: job.id, limit: 100 });
      expect(events.map(({ type }) => type)).toEqual(['job.create', 'job.start', 'job.end']);
      const labels = await client.events.page({ from: 0, types: ['data.label'], limit: 100 });
      expect(labels.events).toHaveLength(20);
      expect([...told.keys()].sort((a, b) => a - b)).toEqual(labels.events.map(({ id }) => id));
    }, 60_000);
  });
});

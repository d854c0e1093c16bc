import { type ChildProcess, execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, symlink } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterEach, expect, it, vi } from 'vitest';
import { earlierCommit } from '../../scripts/parts/table.js';
import type { RegistryClient } from '../../src/lib/api/client.js';
import { digestOf } from '../../src/lib/core/crypto.js';
import type { Desired } from '../../src/lib/device/protocol/messages.js';
import { migrations } from '../../src/lib/platform/store/migrations.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { pushTiny } from '../support/bundle.js';
import { root } from '../support/cli.js';
import { connect } from '../support/mqtt.js';
import { startNatsWithMqtt } from '../support/nats.js';
import { replicaRoles } from '../support/platform.js';
import { describeReal } from '../support/real.js';
import { report, sample, startReplicas } from '../support/replicas.js';
import { oneWave } from '../support/rollout.js';
import { startVersitygw } from '../support/s3.js';

const execute = promisify(execFile);
const endings: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end();
  vi.unstubAllEnvs();
}, 120_000);

const names = Array.from({ length: 9 }, (_, i) => `dev-${i}`);
const patient = { timeout: 120_000 };

/** A built checkout of the commit before the newest change of the database's schema. */
async function earlierVersion(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'aiot-earlier-'));
  endings.push(() => rm(folder, { recursive: true, force: true }));
  const commit = earlierCommit();
  // Not synchronous: vitest's connection to this file would fail after 60 s without an answer.
  await execute('sh', ['-c', 'git archive "$0" | tar -x -C "$1"', commit, folder], { cwd: root });
  const [lock, own] = await Promise.all(
    [folder, root].map((each) => readFile(join(each, 'package-lock.json'), 'utf8')),
  );
  if (lock === own) await symlink(join(root, 'node_modules'), join(folder, 'node_modules'));
  else await execute('npm', ['ci', '--no-audit', '--no-fund', '--prefer-offline'], { cwd: folder });
  await execute(process.execPath, ['scripts/build.js'], { cwd: folder });
  return folder;
}

/** A web server that receives webhooks, and the ids of their events. */
async function startReceiver(): Promise<{ url: string; received: Set<number> }> {
  const received = new Set<number>();
  const server = createServer(async (message, response) => {
    let body = '';
    for await (const chunk of message) body += chunk;
    received.add((JSON.parse(body) as { id: number }).id);
    response.writeHead(204).end();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  endings.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, received };
}

describeReal('history', 'three replicas of an earlier version', () =>
  describeReal('nats-server', 'with NATS', () =>
    describeReal('postgres', 'on PostgreSQL', () =>
      describeReal('versitygw', 'and S3', () => {
        it('are replaced one at a time by this version under load, and nothing acknowledged is lost', async () => {
          const earlier = await earlierVersion();
          const [nats, s3] = await Promise.all([startNatsWithMqtt(), startVersitygw()]);
          endings.push(...[nats, s3].map((server) => () => server.stop()));
          await s3.makeBucket('platform');
          vi.stubEnv('AWS_ACCESS_KEY_ID', s3.accessKey);
          vi.stubEnv('AWS_SECRET_ACCESS_KEY', s3.secretKey);
          const blobs = `s3://platform?endpoint=${encodeURIComponent(s3.url)}`;
          const group = await startReplicas({ broker: nats.broker, blobs }, endings, earlier);
          const { children, first, folder, key, query, start } = group;
          const schema = async () => Number(await query('SELECT "version" FROM "aiotSchema"'));
          const before = await schema();
          expect(before).toBeLessThanOrEqual(migrations.length);

          // The earlier version creates one of everything that both versions use during the upgrade.
          const { url, received } = await startReceiver();
          await first.webhooks.add({ url, types: ['device.tag'], allowPrivate: true });
          await first.alarms.create({ name: 'high', where: 'x > 5', stream: 's' });
          const rpm = { type: 'integer', minimum: 0, maximum: 3000, default: 900 };
          const settings = [{ type: 'virtual', schema: { type: 'object', properties: { rpm } } }];
          await first.settings.apply({ project: 'pumps', settings });
          const job = await first.jobs.create({ kind: 'external', request: { leaseMs: 3_600_000 } });
          const register = (client: RegistryClient, name: string) =>
            provisionDevice({ client, name, type: 'virtual', out: join(folder, name) });
          for (const name of names) await register(first, name);
          await first.devices.change(['dev-1'], { action: 'group', add: ['lab'], remove: [] });
          await first.settings.changeGroup('virtual', 'lab', { set: { rpm: 700 } });

          // Devices
          const model = await pushTiny(first, key);
          const { name: pushed, version, sequence, digest } = model;
          let replaced = 0;
          let done = false;
          let sent = 0;
          let desiredRpm: unknown;
          const speaking = names.map(async (name, at) => {
            const presence = (online: boolean) => JSON.stringify({ t: Date.now(), online });
            const will = { topic: `aiot/v1/${name}/presence`, payload: Buffer.from(presence(false)) };
            const device = await connect(nats.mqtt, {
              clientId: name,
              will: { ...will, qos: 1, retain: true },
            });
            device.on('message', async (topic, payload) => {
              if (payload.length === 0) return;
              if (topic.endsWith('/settings')) {
                if (name === 'dev-1') desiredRpm = JSON.parse(String(payload)).values.rpm;
                return;
              }
              const { rollout } = JSON.parse(String(payload)) as Desired;
              // A third of the devices finish before the first replacement, a third between the first two, and a third after them.
              await expect.poll(() => replaced, { timeout: 400_000 }).toBeGreaterThanOrEqual(at % 3);
              await report(device, name, { state: 'DOWNLOADING', rollout });
              if (at === 7) {
                const error = { code: 'AIOT_GOLDEN_FAILED', message: '1 of 3' };
                await report(device, name, { state: 'ROLLED_BACK', rollout, error });
              } else {
                const running = { name: pushed, version, sequence, digest };
                const golden = { vectors: 3, passed: 3 };
                await report(device, name, { state: 'COMMITTED', rollout, model: running, golden });
              }
            });
            await device.publishAsync(will.topic, presence(true), { qos: 1, retain: true });
            await report(device, name, { state: 'IDLE', rollout: null });
            for (const channel of ['desired', 'settings'])
              await device.subscribeAsync(`aiot/v1/${name}/${channel}`, { qos: 1 });
            for (let seq = 1; !done; seq++) {
              await device.publishAsync(`aiot/v1/${name}/telemetry/s`, sample(seq), { qos: 1 });
              sent++;
              await delay(50);
            }
            return device;
          });
          const { id } = await first.rollouts.start(oneWave({ name: pushed, version, sequence }));

          // Operators, who use any replica that has not been told to stop. Only requests that such a replica interrupts may fail.
          const serving = [...group.clients];
          let turn = 0;
          const failures: unknown[] = [];
          const acknowledged: Record<string, number> = {};
          const operator = async (
            kind: string,
            act: (client: RegistryClient, round: number) => Promise<unknown>,
          ) => {
            for (let round = 1; !done; round++) {
              const client = serving[turn++ % serving.length] as RegistryClient;
              try {
                await act(client, round);
                acknowledged[kind] = (acknowledged[kind] ?? 0) + 1;
              } catch (error) {
                if (serving.includes(client)) failures.push(error);
              }
              await delay(100);
            }
          };
          const stored: string[] = [];
          const registered: string[] = [];
          let lastTag = 0;
          const operating = [
            operator('tag', async (client, round) => {
              await client.devices.change(['dev-0'], {
                action: 'tag',
                set: { n: String(round) },
                remove: [],
              });
              lastTag = round;
            }),
            operator('blob', async (client) => {
              const content = randomBytes(10_000);
              await client.blobs.put(digestOf(content), content);
              stored.push(digestOf(content));
            }),
            operator('register', async (client, round) => {
              await register(client, `new-${round}`);
              registered.push(`new-${round}`);
            }),
            operator('read', async (client) => {
              expect(await client.rollouts.get(id)).toMatchObject({ id });
              expect((await client.status()).ready).toBe(true);
            }),
          ];
          const busy = async () => {
            const from: Record<string, number> = { ...acknowledged };
            const flowing = sent;
            await expect
              .poll(
                () =>
                  sent > flowing + 50 &&
                  ['tag', 'blob', 'register', 'read'].every(
                    (kind) => (acknowledged[kind] ?? 0) > (from[kind] ?? 0),
                  ),
                patient,
              )
              .toBe(true);
          };
          const openAlarms = async (client: RegistryClient) =>
            (await client.alarms.get('high')).incidents
              .filter(({ cleared }) => cleared === null)
              .map((incident) => `${incident.device} ${incident.id}`)
              .sort();
          const connects = async (client: RegistryClient) =>
            (await client.events.page({ types: ['device.connect'], limit: 1000 })).events.length;
          await busy();
          await expect.poll(async () => (await openAlarms(first)).length, patient).toBe(names.length);
          await expect
            .poll(async () => (await first.devices.list()).filter(({ online }) => online).length, patient)
            .toBe(names.length);
          const alarms = await openAlarms(first);
          await busy();
          const connected = await connects(first);

          for (let at = 0; at < 3; at++) {
            const next = await start();
            expect(await schema()).toBe(migrations.length);
            serving.push(next);
            await busy();
            const leaving = serving.shift() as RegistryClient;
            expect((await leaving.status()).ready).toBe(true);
            const exited = once(children[at] as ChildProcess, 'exit');
            children[at]?.kill('SIGTERM');
            expect((await exited)[0]).toBe(0);
            replaced++;
            if (at === 0) await next.settings.changeGroup('virtual', 'lab', { set: { rpm: 800 } });
            if (at === 1) await next.jobs.progress(job.id, { done: 1, total: 2 });
            await busy();
          }

          const last = serving.at(-1) as RegistryClient;
          await expect.poll(async () => (await last.rollouts.get(id)).state, patient).toBe('partly');
          expect((await last.rollouts.devices(id)).map(({ state }) => state)).toEqual(
            names.map((_, at) => (at === 7 ? 'rolledBack' : 'committed')),
          );
          const leads = async () => (await last.status()).replicas.flatMap((replica) => replica.leads).sort();
          await expect.poll(leads, patient).toEqual([...replicaRoles, 'broker'].sort());
          expect(await openAlarms(last)).toEqual(alarms);
          expect(await connects(last)).toBe(connected);
          await expect.poll(() => desiredRpm, patient).toBe(800);
          expect((await last.settings.of('dev-1')).values).toEqual({ rpm: 800 });
          expect((await last.settings.of('dev-0')).values).toEqual({ rpm: 900 });
          await last.jobs.end(job.id, { state: 'done', result: {} });
          expect(await last.jobs.get(job.id)).toMatchObject({ state: 'done', done: 1, total: 2 });

          // The earlier version still works beside this one: an upgrade can be undone until a later version removes what it needs.
          const back = await start(earlier);
          serving.push(back);
          await busy();
          expect((await back.status()).ready).toBe(true);
          serving.pop();
          const exited = once(children.at(-1) as ChildProcess, 'exit');
          children.at(-1)?.kill('SIGTERM');
          expect((await exited)[0]).toBe(0);

          done = true;
          await Promise.all(operating);
          for (const device of await Promise.all(speaking)) await device.endAsync();
          expect(failures).toEqual([]);
          const samples = async () => (await last.datasets.list()).map((set) => set.samples);
          await expect.poll(samples, patient).toEqual([sent]);
          expect(await group.stored()).toBe(`${sent} ${sent}`);
          const { recordings } = await last.datasets.get('s');
          expect(recordings.map((take) => take.missing)).toEqual(names.map(() => 0));
          for (const digest of stored)
            expect(digestOf(await (await last.blobs.get(digest)).bytes())).toBe(digest);
          const known = new Set((await last.devices.list()).map((device) => device.name));
          expect(registered.filter((name) => !known.has(name))).toEqual([]);
          expect(Number((await last.devices.get('dev-0')).tags.n)).toBeGreaterThanOrEqual(lastTag);
          const tagged: number[] = [];
          for (let from = 0; ; ) {
            const { events } = await last.events.page({ from, types: ['device.tag'], limit: 1000 });
            if (events.length === 0) break;
            tagged.push(...events.map((event) => event.id));
            from = tagged.at(-1) as number;
          }
          expect(tagged.length).toBeGreaterThanOrEqual(acknowledged.tag ?? 0);
          await expect.poll(() => tagged.filter((event) => !received.has(event)), patient).toEqual([]);
          expect(
            group
              .log()
              .split('\n')
              .filter((line) => /"level":(50|60)/.test(line)),
          ).toEqual([]);
        }, 900_000);
      }),
    ),
  ),
);

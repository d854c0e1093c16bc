// Rollouts on a real PostgreSQL: many at the same time over several replicas, and a single step for many devices. Replicas are separate
// processes that run the platform's own services without listeners. Devices are simulated in the replicas' processes; each device reports
// to one replica, regardless of which replica made its offer. Usage: npx tsx bench/scale/replicas.ts [--rollouts N] [--steps N] [--kill TIMES]
// [--beside CHECKOUT] [--commit-ms MS]. `--commit-ms` makes each commit take longer, as with a slow disk or a standby.

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import pino from 'pino';
import { rolloutHasEnded, rolloutPolicySchema } from '../../src/lib/api/rollouts/schema.js';
import type { Desired, Reported } from '../../src/lib/device/protocol/messages.js';
import { startRollout } from '../../src/lib/fleet/rollout/waves.js';
import { Deltas, DesiredStates } from '../../src/lib/platform/devices/desired.js';
import { Devices } from '../../src/lib/platform/devices/devices.js';
import { eventsIn } from '../../src/lib/platform/events/events.js';
import { rolloutStoreIn } from '../../src/lib/platform/releases/rollout-store.js';
import { Rollouts } from '../../src/lib/platform/releases/rollouts.js';
import { type Engine, openEngine } from '../../src/lib/platform/store/engine.js';
import { startRoles } from '../../src/lib/platform/workers.js';
import { type Postgres, startPostgres } from '../../test/support/postgres.js';

const release = { kind: 'model' as const, name: 'tiny', version: 2, sequence: 7 };
const path = ['DOWNLOADING', 'VERIFYING', 'STAGED', 'TRIAL', 'COMMITTED'] as const;
const now = () => Date.now();

type Publish = (topic: string, payload: Buffer) => Promise<void>;

async function servicesOf(url: string, publish: Publish) {
  const engine = await openEngine('', url);
  const { store, turns, changes } = engine;
  const events = eventsIn(store, now, changes);
  const devices = await Devices.open(store, now, events, turns, changes);
  const deltas = new Deltas({ store, blobs: {} as never, now });
  const desired = new DesiredStates(store, publish, events, deltas);
  const rolloutStore = rolloutStoreIn(store, events, desired, turns);
  const services = { blobs: {}, models: {}, firmware: {}, configs: {} } as never as object;
  const rollouts = new Rollouts({
    ...(services as Omit<ConstructorParameters<typeof Rollouts>[0], 'store'>),
    ...{ store: rolloutStore, devices, desired, deltas, turns, changes, now },
  });
  return { engine, devices, desired, rollouts, rolloutStore };
}

/** A replica with its share of the devices. It sends the durations of its reports when it is told to stop. */
async function replica(url: string, index: number, replicas: number): Promise<void> {
  const took: number[] = [];
  const begun = new Set<string>();
  const failures: string[] = [];
  let again = 0;
  const isOwn = (name: string) => Number(name.split('-').at(-1)) % replicas === index;
  const publish: Publish = async (topic, payload) => {
    const [, , device = '', channel] = topic.split('/');
    if (channel !== 'desired' || payload.length === 0 || !isOwn(device)) return;
    const { rollout } = JSON.parse(payload.toString()) as Desired;
    if (begun.has(rollout + device)) return;
    begun.add(rollout + device);
    void install(device, rollout);
  };
  const install = async (device: string, rollout: string) => {
    for (const state of path) {
      const model = state === 'COMMITTED' ? { ...release, digest: `sha256:${'0'.repeat(64)}` } : null;
      const golden = state === 'COMMITTED' ? { vectors: 3, passed: 3 } : null;
      const rest = { t: Date.now(), type: 'virtual', floor: 0, download: null, error: null };
      const report = { ...rest, state, rollout, model, golden } as Reported;
      const start = performance.now();
      // As devices do: a report that was not stored is sent again.
      for (;;) {
        try {
          await devices.report(device, report);
          await rollouts.reported(device, report);
          break;
        } catch (error) {
          again++;
          failures.push(String(error));
          await delay(200);
        }
      }
      took.push(performance.now() - start);
      await delay(20);
    }
  };
  const { engine, devices, desired, rollouts } = await servicesOf(url, publish);
  desired.watch(engine.changes);
  devices.watch(() => {});
  for (const { name } of devices.records()) if (isOwn(name)) await devices.connected(name);
  await desired.restore([], false);
  await rollouts.load();
  rollouts.watch();
  process.send?.('ready');
  await once(process, 'message');
  const began = process.cpuUsage();
  const log = pino({ level: 'error' }, pino.destination(2));
  const end = startRoles(rollouts.workers(), engine.leader, log);
  await once(process, 'message');
  const { user, system } = process.cpuUsage(began);
  await new Promise((sent) => {
    const memoryMb = process.memoryUsage().rss / 2 ** 20;
    process.send?.(
      { took, again, failures: failures.slice(0, 2), cpuMs: (user + system) / 1000, memoryMb },
      sent,
    );
  });
  await end();
  await engine.close();
}

interface Told {
  took: number[];
  again: number;
  failures: string[];
  cpuMs: number;
  memoryMb: number;
}

export interface Side {
  seconds: number;
  ended: number;
  /** Saved steps of all rollouts. */
  steps: number;
  /** Average number of connections to the database that were busy, by the event that they waited for. */
  waits: Record<string, number>;
  /** Offers that were made twice, devices that are not committed, and events that are missing or repeated. */
  wrong: string[];
  /** Number of replicas that were killed before all rollouts had ended. */
  killed: number;
  reports: number;
  p50: number;
  p99: number;
  again: number;
  cpuSeconds: number;
}

const names = (count: number, from = 0) => Array.from({ length: count }, (_, i) => `dev-${from + i}`);

async function addDevices(
  { devices }: Pick<Awaited<ReturnType<typeof servicesOf>>, 'devices'>,
  all: string[],
) {
  const identity = { type: 'virtual', state: 'active' as const, expires: 4e12, mac: null, chipId: null };
  const rows = all.map((name) => ({
    ...{ name, id: `id-${name}`, ...identity, fingerprint: `f-${name}`, created: 0, tags: {} },
    ...{ groups: '[]', revision: 1 },
  }));
  for (let i = 0; i < rows.length; i += 2000)
    await devices.inTurn(() =>
      devices.insertAll(rows.slice(i, i + 2000).map(({ groups: _, ...row }) => row)),
    );
}

function rolloutOf(id: string, devices: string[], waves: (number | string)[]) {
  const policy = rolloutPolicySchema.parse({ waves, perMinute: null });
  const who = { selector: 'all', by: 'operator bench', created: now() };
  return startRollout({ id, releases: [release], rollback: null, policy, devices, ...who });
}

const program = fileURLToPath(import.meta.url);

/** @param beside checkout of another version, whose program the first replica runs */
function begin(url: string, index: number, replicas: number, beside?: string): ChildProcess {
  const args = ['replica', url, String(index), String(replicas)];
  const own = beside !== undefined && index === 0 ? join(beside, 'bench/scale/replicas.ts') : program;
  return fork(own, args, { execArgv: ['--import', 'tsx'] });
}

interface SideOptions {
  rollouts: number;
  /** Number of devices of each rollout. */
  each: number;
  replicas: number;
  /** How often a replica is killed while the rollouts run, and started again. */
  kill?: number;
  /** A checkout of another version, which the first replica runs. */
  beside?: string | undefined;
}

export async function sideBySide(
  postgres: Postgres,
  { rollouts, each, replicas, kill = 0, beside }: SideOptions,
): Promise<Side> {
  const url = await postgres.database();
  const own = await servicesOf(url, async () => {});
  const children: ChildProcess[] = [];
  try {
    await addDevices(own, names(rollouts * each));
    for (let i = 0; i < rollouts; i++)
      await own.rolloutStore.insert(
        rolloutOf(`ro_${String(i).padStart(3, '0')}`, names(each, i * each), [1, '25%', '50%']),
        'operator bench',
      );
    for (let i = 0; i < replicas; i++) children.push(begin(url, i, replicas, beside));
    await Promise.all(children.map((child) => once(child, 'message')));
    const start = performance.now();
    for (const child of children) child.send('go');
    const states = () => own.engine.store.selectFrom('rollouts').select(['state', 'revision']).execute();
    let rows = await states();
    let killed = 0;
    const kills = Array.from({ length: kill }, async (_, i) => {
      const at = i % replicas;
      await delay(500 + i * 2500);
      if (rows.some(({ state }) => state !== 'done')) killed++;
      children[at]?.kill('SIGKILL');
      const next = begin(url, at, replicas, beside);
      children[at] = next;
      await once(next, 'message');
      next.send('go');
    });
    const waits = new Map<string, number>();
    let samples = 0;
    for (const until = start + 300_000; performance.now() < until; await delay(50)) {
      rows = await states();
      samples++;
      for (const wait of await waitsOf(own.engine)) waits.set(wait, (waits.get(wait) ?? 0) + 1);
      if (rows.every(({ state }) => rolloutHasEnded({ state } as never))) break;
    }
    const seconds = (performance.now() - start) / 1000;
    await Promise.all(kills);
    const told = await Promise.all(
      children.map(async (child) => {
        child.send('stop');
        const [message] = (await once(child, 'message')) as [Told];
        await once(child, 'exit');
        return message;
      }),
    );
    for (const { failures } of told) for (const line of failures) console.error(line);
    const took = told.flatMap(({ took }) => took).sort((a, b) => a - b);
    const at = (share: number) => took[Math.floor(took.length * share)] ?? Number.NaN;
    return {
      ...{ seconds, ended: rows.filter(({ state }) => state === 'done').length },
      steps: rows.reduce((sum, { revision }) => sum + Number(revision), 0),
      waits: Object.fromEntries([...waits].map(([wait, count]) => [wait, count / samples])),
      wrong: await mistakes(own.engine, rollouts * each, rollouts),
      killed,
      ...{ reports: took.length, p50: at(0.5), p99: at(0.99) },
      again: told.reduce((sum, { again }) => sum + again, 0),
      cpuSeconds: told.reduce((sum, { cpuMs }) => sum + cpuMs, 0) / 1000,
    };
  } finally {
    for (const child of children) child.kill('SIGKILL');
    await own.engine.close();
  }
}

async function waitsOf({ store }: Engine): Promise<string[]> {
  const { sql } = await import('kysely');
  const { rows } = await sql<{ wait: string | null }>`
    SELECT "wait_event_type" || ' ' || "wait_event" AS "wait" FROM "pg_stat_activity"
    WHERE "datname" = current_database() AND "backend_type" = 'client backend' AND "pid" <> pg_backend_pid()
    AND "state" <> 'idle'`.execute(store);
  return rows.map(({ wait }) => wait ?? 'running');
}

/** Compares devices and events with each other: each device was offered the release once, and each change has one event. */
async function mistakes({ store }: Engine, devices: number, rollouts: number): Promise<string[]> {
  const rows = await store.selectFrom('rolloutDevices').selectAll().execute();
  const wrong: string[] = [];
  const twice = rows.filter(({ data }) => (JSON.parse(data) as { offer: number }).offer !== 1);
  if (twice.length > 0) wrong.push(`${twice.length} devices were not offered the release once`);
  const committed = rows.filter(({ state }) => state === 'committed').length;
  if (committed !== devices) wrong.push(`${committed} of ${devices} devices committed`);
  const counted = await store
    .selectFrom('events')
    .select(['type', (is) => is.fn.countAll<number>().as('count')])
    .where('type', 'in', ['device.desire', 'rollout.end', 'rollout.move'])
    .groupBy('type')
    .execute();
  const count = (type: string) => Number(counted.find((row) => row.type === type)?.count ?? 0);
  if (count('device.desire') !== devices)
    wrong.push(`${count('device.desire')} offers for ${devices} devices`);
  if (count('rollout.end') !== rollouts) wrong.push(`${count('rollout.end')} ends of ${rollouts} rollouts`);
  // From pending to offered, updating and committed.
  if (count('rollout.move') !== 3 * devices)
    wrong.push(`${count('rollout.move')} moves of ${devices} devices`);
  return wrong;
}

export interface BigStep {
  /** The step that offers the release to all devices, until all of it is on disk, and until it is also published. */
  offered: number;
  /** The reports of all devices, sent at once, until all are stored in the rollout. */
  committed: number;
}

export async function bigStep(postgres: Postgres, devices: number): Promise<BigStep> {
  const url = await postgres.database();
  let published = 0;
  const own = await servicesOf(url, async () => {
    published++;
  });
  try {
    const all = names(devices);
    await addDevices(own, all);
    await own.rolloutStore.insert(rolloutOf('ro_big', all, ['100%']), 'operator bench');
    await own.rollouts.load();
    const start = performance.now();
    await own.rollouts.tick();
    const offered = (performance.now() - start) / 1000;
    if (published < devices) throw new Error(`${published} of ${devices} desired states were published`);
    const from = performance.now();
    const model = { ...release, digest: `sha256:${'0'.repeat(64)}` };
    const rest = { t: Date.now(), type: 'virtual', floor: 0, download: null, error: null };
    const golden = { vectors: 3, passed: 3 };
    const report = { ...rest, state: 'COMMITTED', rollout: 'ro_big', model, golden } as Reported;
    await Promise.all(all.map((device) => own.rollouts.reported(device, report)));
    const { state } = await own.rollouts.get('ro_big');
    if (state !== 'done') throw new Error(`the rollout is ${state}`);
    return { offered, committed: (performance.now() - from) / 1000 };
  } finally {
    await own.engine.close();
  }
}

const [role, url = '', index, replicas] = process.argv.slice(2);
if (role === 'replica') {
  await replica(url, Number(index), Number(replicas));
  process.exit(0);
} else if (process.argv[1] === program) {
  const { values } = parseArgs({
    options: {
      kill: { type: 'string', default: '0' },
      beside: { type: 'string' },
      rollouts: { type: 'string', default: '100' },
      steps: { type: 'string', default: '3' },
      'commit-ms': { type: 'string', default: '0' },
    },
  });
  const { beside } = values;
  const delayUs = Number(values['commit-ms']) * 1000;
  const postgres = await startPostgres([`commit_delay=${delayUs}`, 'commit_siblings=0']);
  try {
    const [rollouts, kill] = [Number(values.rollouts), Number(values.kill)];
    if (rollouts > 0)
      console.log(await sideBySide(postgres, { rollouts, each: 20, replicas: 3, kill, beside }));
    for (let i = 0; i < Number(values.steps); i++) console.log(await bigStep(postgres, 10_000));
  } finally {
    await postgres.stop();
  }
}

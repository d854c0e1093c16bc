// Telemetry that one to three replicas store from NATS in PostgreSQL: messages per second, the CPU time of each program per message, and the
// events that the database's connections wait for. While devices send, a lock on the table holds the replicas up; the time from its
// release until everything is stored counts. Usage: npx tsx bench/scale/ingest.ts [--messages N] [--rounds N] [--beside CHECKOUT]
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { connect } from '../../test/support/mqtt.js';
import { startNatsWithMqtt } from '../../test/support/nats.js';
import { startReplicas } from '../../test/support/replicas.js';
import { median } from '../harness/figure.js';
import { cpuSeconds } from '../harness/process.js';

const devices = 24;
const samples = 10;

interface Setting {
  replicas: number;
  /** Number of streams to which the devices send. */
  streams: number;
  messages: number;
  /** Folder of another checkout, which is built; absent = this one. */
  beside?: string | undefined;
}

export interface Stored {
  /** Messages per second from the release of the lock until everything is stored. */
  rate: number;
  /** CPU time per message, µs, from the first message sent until the last one is stored and counted. */
  cpu: Record<'replicas' | 'postgres' | 'nats', number>;
  /** Average number of connections to the database that were busy, by the event that they waited for. */
  waits: Record<string, number>;
  /** Messages that are missing, stored twice or not counted. */
  wrong: string[];
}

export async function storedByReplicas({ replicas, streams, messages, beside }: Setting): Promise<Stored> {
  const endings: (() => unknown)[] = [];
  try {
    const nats = await startNatsWithMqtt({ sync: false });
    endings.push(() => nats.stop());
    const group = await startReplicas({ broker: nats.broker }, endings, beside ?? 'current');
    const names = Array.from({ length: devices }, (_, i) => `dev-${i}`);
    for (const name of names)
      await provisionDevice({ client: group.last, name, type: 'virtual', out: join(group.folder, name) });
    const used = group.children.slice(3 - replicas);
    for (const child of group.children.slice(0, 3 - replicas)) {
      const exited = once(child, 'exit');
      child.kill('SIGTERM');
      await exited;
    }
    const { Client } = (await import('pg')).default;
    const database = new Client({ connectionString: group.database });
    await database.connect();
    endings.push(() => database.end());
    const rows = async (sql: string) => (await database.query(sql)).rows as Record<string, unknown>[];
    const [{ pid: backend }] = (await rows('SELECT pg_backend_pid() AS "pid"')) as [{ pid: number }];
    const postgres = parentOf(backend);
    const natsPid = Number(readFileSync(join(nats.folder, 'nats.pid'), 'utf8'));
    const usage = () => ({
      replicas: used.reduce((sum, { pid }) => sum + cpuSeconds(pid as number), 0),
      postgres: treeSeconds(postgres),
      nats: cpuSeconds(natsPid),
    });

    // One message to each stream first, so that all replicas know the streams and recordings.
    const clients = await Promise.all(names.map((clientId) => connect(nats.mqtt, { clientId })));
    for (const client of clients) endings.push(() => client.endAsync(true));
    const each = Math.ceil(messages / devices);
    const send = (device: number, seq: number) =>
      clients[device]!.publishAsync(
        `aiot/v1/${names[device]}/telemetry/s${device % streams}`,
        messageOf(device, seq),
        { qos: 1 },
      );
    await Promise.all(clients.map((_, device) => send(device, 0)));
    const counted = async () =>
      (await group.last.datasets.list()).reduce((sum, set) => sum + set.samples, 0) / samples;
    while ((await counted()) < devices) await delay(50);

    const before = usage();
    await rows('BEGIN');
    await rows('LOCK TABLE "telemetryMessages" IN SHARE MODE');
    await Promise.all(
      clients.map(async (_, device) => {
        for (let seq = 1; seq <= each; seq += 50)
          await Promise.all(
            Array.from({ length: Math.min(50, each - seq + 1) }, (_, i) => send(device, seq + i)),
          );
      }),
    );
    const all = (each + 1) * devices;
    const begun = performance.now();
    await rows('COMMIT');
    const waits: Record<string, number> = {};
    let looks = 0;
    for (let stored = 0; stored < all; ) {
      await delay(50);
      looks++;
      for (const { wait } of await rows(busy)) waits[String(wait)] = (waits[String(wait)] ?? 0) + 1;
      const [{ n }] = (await rows('SELECT max("id") AS n FROM "telemetryMessages"')) as [{ n: string }];
      // A count of all rows would take the CPU time that is measured.
      if (Number(n) >= all)
        stored = Number((await rows('SELECT count(*) AS n FROM "telemetryMessages"'))[0]?.n);
      if (performance.now() - begun > 300_000) throw new Error(`${stored} of ${all} messages after 300 s`);
    }
    const seconds = (performance.now() - begun) / 1000;
    const wrong: string[] = [];
    if ((await counted()) !== all) wrong.push(`${await counted()} of ${all} messages counted`);
    if ((await group.stored()) !== `${all} ${all}`) wrong.push(`stored, distinct: ${await group.stored()}`);
    const after = usage();
    const perMessage = (name: keyof typeof before) => (1e6 * (after[name] - before[name])) / (each * devices);
    return {
      rate: (each * devices) / seconds,
      cpu: { replicas: perMessage('replicas'), postgres: perMessage('postgres'), nats: perMessage('nats') },
      waits: Object.fromEntries(Object.entries(waits).map(([wait, count]) => [wait, count / looks])),
      wrong,
    };
  } finally {
    for (const end of endings.reverse()) await end();
  }
}

const busy = `
  SELECT coalesce("wait_event_type" || ' ' || "wait_event", 'running') AS "wait" FROM "pg_stat_activity"
  WHERE "datname" = current_database() AND "backend_type" = 'client backend' AND "pid" <> pg_backend_pid()
  AND "state" <> 'idle'`;

function messageOf(device: number, seq: number): string {
  const numbers = (scale: number) =>
    Array.from({ length: samples }, (_, i) => Math.round(Math.sin(seq + i / samples) * scale) / 1000);
  const time = { seq, t: 1_700_000_000_000 + seq * 100, rate: 100, recording: `r${device}` };
  return JSON.stringify({ ...time, ax: numbers(1000), ay: numbers(2000), az: numbers(9810) });
}

function statOf(pid: number | string): string[] {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}

const parentOf = (pid: number) => Number(statOf(pid)[1]);

/** CPU time of a process and its direct children, running or ended, s. */
function treeSeconds(parent: number): number {
  const own = statOf(parent);
  let ticks = [11, 12, 13, 14].reduce((sum, field) => sum + Number(own[field]), 0);
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const fields = statOf(pid);
      if (Number(fields[1]) === parent) ticks += Number(fields[11]) + Number(fields[12]);
    } catch {
      // It has ended.
    }
  }
  return ticks / 100;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({
    options: {
      messages: { type: 'string', default: '24000' },
      rounds: { type: 'string', default: '3' },
      beside: { type: 'string' },
    },
  });
  console.log(
    '| replicas | streams | messages/s | replicas µs | PostgreSQL µs | NATS µs | busy connections |',
  );
  console.log('| --: | --: | --: | --: | --: | --: | --- |');
  for (const streams of [1, devices])
    for (const replicas of [1, 2, 3]) {
      const sides = [undefined, ...(values.beside ? [values.beside] : [])];
      const rounds = sides.map(() => [] as Stored[]);
      for (let round = 0; round < Number(values.rounds); round++)
        for (const [side, beside] of sides.entries())
          rounds[side]!.push(
            await storedByReplicas({ replicas, streams, messages: Number(values.messages), beside }),
          );
      for (const [side, some] of rounds.entries()) {
        const of = (value: (one: Stored) => number) => Math.round(median(some.map(value)));
        const kinds = [...new Set(some.flatMap(({ waits }) => Object.keys(waits)))];
        const waits = kinds.map((kind) => [kind, median(some.map((one) => one.waits[kind] ?? 0))] as const);
        const told = waits.filter(([, n]) => n >= 0.05).sort(([, a], [, b]) => b - a);
        console.log(
          `| ${replicas}${side > 0 ? ' (beside)' : ''} | ${streams} | ${of(({ rate }) => rate)} | ${of(({ cpu }) => cpu.replicas)} | ${of(({ cpu }) => cpu.postgres)} | ${of(({ cpu }) => cpu.nats)} | ${told.map(([kind, n]) => `${kind} ${n.toFixed(1)}`).join(', ')} |`,
        );
        for (const { wrong } of some) for (const each of wrong) console.log(`WRONG: ${each}`);
      }
    }
}

// Requests to the API of one platform with its devices in PostgreSQL, sent at a fixed rate by this process. A request's time counts from the
// moment at which it was due, so that a platform that falls behind is not measured too well. Usage: npx tsx bench/scale/requests.ts
// [--devices N] [--rate N] [--seconds N]
import { mkdtempSync, readFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Agent, request } from 'undici';
import { openEngine } from '../../src/lib/platform/store/engine.js';
import { startPostgres } from '../../test/support/postgres.js';
import { cpuSeconds, memoryOf } from '../harness/process.js';
import { tidyAtEnd } from '../harness/tidy.js';
import { startPlatformProcess } from '../platform/process.js';
import { fill, nameOf, percentile } from './devices.js';

export interface RequestFigures {
  devices: number;
  /** Responses per second until the last one, and the requests that failed. */
  rate: number;
  failed: number;
  /** Time from the moment at which a request was due, ms. */
  p50: number;
  p99: number;
  /** The same by kind of request. */
  kinds: Record<string, { count: number; p50: number; p99: number }>;
  /** CPU cores used on average by the platform, PostgreSQL and this process. */
  cores: { platform: number; database: number; client: number };
  /** CPU time of the platform and PostgreSQL for each request, ms; comparable even if other programs use the machine. */
  cpuMs: number;
  /** Resident memory of the platform at the end, MB. */
  memory: number;
}

const connections = 32;

/** The kinds of requests, each with its share, percent. */
const kinds = ['device', 'list', 'selector', 'state', 'tag'] as const;
const shares = { device: 70, list: 10, selector: 10, state: 5, tag: 5 };
/** The kind of each of a hundred requests, in an order that mixes them. */
const order = kinds
  .flatMap((kind) => Array.from({ length: shares[kind] }, (_, i) => ({ kind, at: (i + 0.5) / shares[kind] })))
  .sort((a, b) => a.at - b.at)
  .map(({ kind }) => kind);

export async function requestFigures(options: {
  folder: string;
  devices: number;
  rate: number;
  seconds: number;
}): Promise<RequestFigures> {
  const { folder, devices, rate, seconds } = options;
  const server = await startPostgres();
  const database = await server.database();
  // The platform creates its token at its first start, before it has devices to read.
  const args = ['--database', database];
  const first = await startPlatformProcess(folder, args);
  await first.stop();
  const engine = await openEngine('', database);
  await fill(engine.store, devices);
  await engine.close();
  const platform = await startPlatformProcess(folder, args);
  const agent = new Agent({ connections, connect: { ca: readFileSync(platform.ca, 'utf8') } });
  const headers = { authorization: `Bearer ${first.token}`, 'content-type': 'application/json' };
  const device = (i: number) => nameOf((i * 7919) % devices);
  const paths: Record<(typeof kinds)[number], (i: number) => string> = {
    device: (i) => `/devices/${device(i)}`,
    list: (i) => `/devices?limit=100&after=${device(i)}`,
    selector: (i) =>
      `/devices?limit=100&selector=${encodeURIComponent(`tag.site=hall-${i % 20} and fw<1.4`)}`,
    state: (i) => `/devices/${device(i)}/state`,
    tag: (i) => `/devices/${device(i)}`,
  };
  const ask = async (kind: (typeof kinds)[number], i: number) => {
    const { statusCode, body } = await request(`${platform.urls.http}/api/v1${paths[kind](i)}`, {
      ...{ dispatcher: agent, headers, method: kind === 'tag' ? 'PATCH' : 'GET' },
      ...(kind === 'tag' ? { body: JSON.stringify({ tags: { seen: String(i) } }) } : {}),
    });
    const text = await body.text();
    if (statusCode !== 200) throw new Error(`${kind}: ${statusCode} ${text.slice(0, 300)}`);
  };
  const postmaster = Number(
    (await server.psql('postgres', "SELECT pg_read_file('postmaster.pid')")).split('\n')[0],
  );
  const used = async () => ({
    platform: cpuSeconds(platform.child.pid as number),
    database: await cpuOfTree(postmaster),
    client: cpuSeconds(process.pid),
  });
  try {
    // Connections, compiled code and caches are not part of the measurement. The first failure ends it.
    for (let i = 0; i < 200; i++) await ask(order[i % order.length]!, i);
    const took = new Map<string, number[]>(kinds.map((kind) => [kind, []]));
    let failed = 0;
    const [before, begun] = [await used(), performance.now()];
    const open: Promise<void>[] = [];
    for (let i = 0; i < rate * seconds; i++) {
      const due = begun + (i * 1000) / rate;
      if (due > performance.now()) await delay(due - performance.now());
      const kind = order[i % order.length]!;
      open.push(
        ask(kind, i + 200).then(
          () => void took.get(kind)!.push(performance.now() - due),
          () => void failed++,
        ),
      );
    }
    await Promise.all(open);
    const lasted = (performance.now() - begun) / 1000;
    const after = await used();
    const all = [...took.values()].flat();
    const share = (name: keyof typeof before) => (after[name] - before[name]) / lasted;
    const summary = (times: readonly number[]) => ({
      ...{ count: times.length, p50: percentile(times, 0.5), p99: percentile(times, 0.99) },
    });
    const { p50, p99 } = summary(all);
    return {
      ...{ devices, rate: all.length / lasted, failed, p50, p99 },
      kinds: Object.fromEntries([...took].map(([kind, times]) => [kind, summary(times)])),
      cores: { platform: share('platform'), database: share('database'), client: share('client') },
      cpuMs: ((share('platform') + share('database')) * lasted * 1000) / (rate * seconds),
      memory: memoryOf(platform.child.pid as number),
    };
  } finally {
    await agent.destroy();
    await platform.stop();
    await server.stop();
  }
}

/** CPU time of a process and its running children, s. Children that ended are not counted. */
async function cpuOfTree(parent: number): Promise<number> {
  let sum = cpuSeconds(parent);
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      if (Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) === parent)
        sum += cpuSeconds(Number(pid));
    } catch {
      // It has ended.
    }
  }
  return sum;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({
    options: {
      devices: { type: 'string', default: '100000' },
      rate: { type: 'string', default: '500' },
      seconds: { type: 'string', default: '60' },
    },
  });
  const folder = mkdtempSync(join(tmpdir(), 'aiot-bench-'));
  tidyAtEnd(folder);
  const [devices, rate, seconds] = [values.devices, values.rate, values.seconds].map(Number) as [
    number,
    number,
    number,
  ];
  console.log(await requestFigures({ folder, devices, rate, seconds }));
}

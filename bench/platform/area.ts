// The platform: the built program's `aiot up` as a separate process in its own folder, on SQLite and files. Peers run on the same machine
// with the same clients. The platform and the peer are measured alternately.
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Area, Bench } from '../harness/area.js';
import { type Figure, growth } from '../harness/figure.js';
import { parts, versionOf } from '../harness/parts.js';
import { apiFigures, longestRead } from './api.js';
import { broker } from './broker.js';
import { atOnce, downloadFigure, downloadGrowth } from './downloads.js';
import { idleFigures } from './idle.js';
import { appendAlone, batch, type Ingest, small, startIngest, storageFigures } from './ingest.js';
import { mqtt5 } from './mqtt5.js';
import { startRedisIngest } from './redis.js';
import { slowFigures } from './slow.js';

export const area: Area = {
  about: 'broker, durable messages, downloads, idle clients, API',
  cases: {
    broker: {
      peer: 'Mosquitto, mochi-mqtt',
      needs: [parts.mosquitto, parts.mosquittoSub, parts.go],
      run: broker,
    },
    'mqtt-five': { peer: 'Mosquitto', needs: [parts.mosquitto, parts.mosquittoSub], run: mqtt5 },
    ingest: { peer: 'Redis streams', needs: [parts.redis], run: ingest },
    otlp: { peer: 'no collector', run: otlp },
    storage: { run: storage },
    downloads: { peer: 'nginx', needs: [parts.nginx], run: downloads },
    slow: { run: slow },
    idle: { run: idle },
    api: { run: api },
  },
};

/** Rate of durable messages. Each is acknowledged after it has been synced to disk. */
async function ingest(bench: Bench): Promise<Figure[]> {
  const [messages, rounds] = bench.quick ? [20_000, 2] : [400_000, 3];
  const ours = await startIngest(bench.folder());
  const redis = await startRedisIngest();
  const rates = { small: [[], []], batch: [[], []] } as Record<'small' | 'batch', [number[], number[]]>;
  const points = [];
  try {
    await ours.rate(Math.min(messages, 40_000), small, 'warm');
    for (let round = 0; round < rounds; round++)
      for (const [side, store] of [ours, redis].entries()) {
        rates.small[side]!.push(await store.rate(messages, small, `small${round}`));
        rates.batch[side]!.push(await store.rate(messages / 5, batch, `batch${round}`));
      }
    for (const size of bench.quick ? [2000, 20_000] : [4000, 40_000, 400_000])
      points.push({ size, cost: size / (await ours.rate(size, small, `grow${size}`)) });
  } finally {
    await redis.stop();
    await ours.stop();
  }
  const version = versionOf('redis-server', '--version');
  const own = { unit: '/s', better: 'higher' } as const;
  // The ratio only guards against regressions (measured for one sample: × 0.076 in a full run, × 0.047 in a quick one). The stated
  // performance is the absolute rate.
  const figure = (what: string, [ours, theirs]: [number[], number[]], least: number): Figure[] => [
    { ...own, name: what, ours, peer: { name: 'Redis streams', version, rounds: theirs }, goal: 0.05 },
    { ...own, name: `${what}, absolute`, ours, goal: least },
  ];
  const alone = [];
  for (let round = 0; round < rounds; round++) alone.push(await appendAlone(bench.folder(), messages));
  return [
    ...figure('durable messages of one sample, MQTT QoS 1', rates.small, 20_000),
    ...figure('durable messages of 50 samples, MQTT QoS 1', rates.batch, 4_000),
    { ...own, name: 'store alone, one sample', ours: alone, goal: 20_000 },
    growth('ingest, messages', 1.1, points),
  ];
}

/** Rate of durable messages while the platform sends its telemetry to a collector, compared with a platform that sends none. */
async function otlp(bench: Bench): Promise<Figure[]> {
  const [messages, rounds] = bench.quick ? [20_000, 3] : [60_000, 7];
  let requests = 0;
  const collector = createServer((request, response) => {
    requests++;
    request.resume().on('end', () => response.end('{}'));
  });
  const silent = createServer((request) => request.resume());
  for (const server of [collector, silent]) await once(server.listen(0, '127.0.0.1'), 'listening');
  const flag = (server: Server) => ['--otlp', `http://127.0.0.1:${(server.address() as AddressInfo).port}`];
  const names = ['none', 'collector', 'silent'] as const;
  const args = { none: [], collector: flag(collector), silent: flag(silent) };
  const rates: Record<(typeof names)[number], number[]> = { none: [], collector: [], silent: [] };
  const stores = new Map<(typeof names)[number], Ingest>();
  try {
    for (const name of names) stores.set(name, await startIngest(bench.folder(), args[name]));
    for (const name of names) await stores.get(name)?.rate(messages / 2, small, 'warm');
    for (let round = 0; round < rounds; round++)
      for (const name of names) rates[name].push(await stores.get(name)!.rate(messages, small, `r${round}`));
  } finally {
    for (const store of stores.values()) await store.stop();
    for (const server of [collector, silent]) {
      server.closeAllConnections();
      server.close();
    }
  }
  if (requests === 0) throw new Error('the collector received nothing');
  const peer = { name: 'no collector', rounds: rates.none };
  const own = { unit: '/s', better: 'higher', peer, goal: 0.9 } as const;
  return [
    { ...own, name: 'durable messages with a collector', ours: rates.collector },
    { ...own, name: 'durable messages with a collector that does not respond', ours: rates.silent },
  ];
}

async function storage(bench: Bench): Promise<Figure[]> {
  const { devices, samples, memory, start, hour } = await storageFigures(bench.folder(), bench.quick);
  if (hour.entries === 0) throw new Error("the device's hour is empty");
  const what = `${(samples / 1e6).toFixed(0)} million samples of ${devices.toLocaleString('en')} devices`;
  const note = `${Math.round(memory.most)} MB at most while storing`;
  return [
    { name: `start after SIGKILL with ${what}`, unit: 's', ours: start, goal: 5, slack: 1, note },
    { name: "reading one device's hour", unit: 's', ours: hour.seconds, goal: 1, slack: 1 },
  ];
}

async function downloads(bench: Bench): Promise<Figure[]> {
  const size = bench.quick ? { downloads: 200, rounds: 3 } : { downloads: 1000, rounds: 7 };
  const { rates, cpu } = await downloadFigure({ folder: bench.folder(), ...size });
  const nginx = { name: 'nginx', version: versionOf('nginx', '-v') };
  const ms = (seconds: readonly number[]) => seconds.map((one) => (one * 1000) / size.downloads);
  const what = `a blob of 1 MiB over TLS, ${atOnce} at once`;
  const sizes = [1 << 16, 10 << 16, 100 << 16].slice(0, bench.quick ? 2 : 3);
  const points = await downloadGrowth(bench.folder(), sizes, bench.quick ? 40 : 200);
  return [
    {
      ...{ name: what, unit: '/s', better: 'higher', ours: rates.ours, goal: 0.5 },
      peer: { ...nginx, rounds: rates.theirs },
    },
    {
      ...{ name: `${what}, CPU time per download`, unit: 'ms', ours: ms(cpu.ours), goal: 2.5 },
      peer: { ...nginx, rounds: ms(cpu.theirs) },
    },
    growth('a download, bytes', 1.1, points),
  ];
}

/** Memory use while clients that sent a request do not read the response. */
async function slow(bench: Bench): Promise<Figure[]> {
  const figures = await slowFigures(() => bench.folder(), bench.quick ? 200 : 1000);
  return figures.map(({ what, clients, before, memory }) => ({
    ...{
      name: `${what}, per client, with ${clients} clients that do not read`,
      unit: 'kB',
      goal: 300,
      slack: 1,
    },
    ours: ((memory - before) * 1024) / clients,
  }));
}

async function idle(bench: Bench): Promise<Figure[]> {
  const figures = await idleFigures(() => bench.folder(), bench.quick);
  return figures.map(({ what, clients, memory, each, limit }) => ({
    ...{
      name: `${clients.toLocaleString('en')} idle clients, ${what}`,
      unit: 'MB',
      ours: memory,
      goal: limit,
      slack: 1,
    },
    note: `${each.toFixed(1)} kB each`,
  }));
}

async function api(bench: Bench): Promise<Figure[]> {
  const requests = bench.quick ? 300 : 10_000;
  const sizes = bench.quick ? [1000, 10_000] : [1000, 10_000, 100_000];
  const all = [];
  for (const devices of sizes) all.push(await apiFigures({ folder: bench.folder(), devices, requests }));
  const most = all.at(-1)!;
  const searches = all.map(({ devices, figures }) => {
    const search = figures.find(({ what }) => what === 'a selector without matches');
    return { size: devices, cost: search?.p50 ?? Number.NaN };
  });
  return [
    ...most.figures.slice(0, 1).map(({ what, p99, p50 }) => ({
      ...{
        name: `${what}, of ${most.devices.toLocaleString('en')}, p99`,
        unit: 'ms',
        ours: p99,
        goal: longestRead,
      },
      note: `p50 ${p50.toFixed(1)} ms`,
    })),
    {
      ...{ name: 'memory per stored device', unit: 'kB', goal: 5 },
      ours: Math.max(0, ((most.memory.full - most.memory.empty) * 1024) / most.devices),
    },
    growth('search without matches, devices stored', 1.1, searches, 'ms'),
  ];
}

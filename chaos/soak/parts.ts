import { setMaxListeners } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import mqtt from 'mqtt';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { tinyBundle } from '../../test/support/bundle.js';
import { millFiles } from '../../test/support/mill.js';
import { connectDevice } from '../../test/support/mqtt.js';
import { natsClient } from '../../test/support/nats.js';
import { startChaosPlatform } from '../platform.js';
import { Program } from '../process.js';
import type { Servers } from '../servers.js';
import type { Report, Round } from '../types.js';

/** Load: telemetry messages per second from all devices together (`messages`), and pipeline runs in total (`runs`). */
export interface Amount {
  devices: number;
  forMs: number;
  messages: number;
  runs: number;
}

export interface Soaked {
  programs: { readonly name: string; readonly pid: number | undefined; readonly starts: number }[];
  /** Generates load until `signal` is aborted. */
  load(signal: AbortSignal): Promise<void>;
  /**
   * Latencies since the last call, ms: from a message to its PUBACK, to its arrival in NATS through the bridge, and to the arrival
   * there of the loop's prediction.
   */
  latencies(): Record<string, number[]>;
  acknowledged(): number;
  /** Folder below which everything is written. */
  folder: string;
  stop(): Promise<void>;
}

const publishers = 10;

/** Starts the platform, fleet, bridge, loop and pipeline watch like their users. */
export async function startAll(
  folder: string,
  servers: Servers,
  amount: Amount,
  report: Report,
): Promise<Soaked> {
  const round: Round = {
    ...{ folder, servers, report, mark: `soak-${process.pid}`, shim: undefined, devices: undefined },
    random: Math.random,
    has: () => false,
  };
  const [broker, nats] = [await servers.mosquitto(), await servers.nats()];
  const own = await startChaosPlatform(round);
  for (let i = 0; i < publishers; i++)
    await provisionDevice({
      client: own.client,
      name: `soak-${i}`,
      type: 'virtual',
      out: join(folder, `soak-${i}`),
    });
  const peer = await natsClient(nats);
  await (await peer.jetstreamManager()).streams.add({
    name: 'soak',
    subjects: ['bridged', 'answers'],
    max_msgs: 10_000,
  });
  const latencies = { PUBACK: [] as number[], bridge: [] as number[], loop: [] as number[] };
  // Messages and predictions contain the wall-clock time of their creation.
  const timed = (
    subject: string,
    to: number[],
    at: (message: Record<string, number>) => number | undefined,
  ) =>
    void (async () => {
      for await (const message of peer.subscribe(subject))
        to.push(Date.now() - (at(message.json()) ?? Number.NaN));
    })();
  timed('bridged', latencies.bridge, ({ at }) => at);
  timed('answers', latencies.loop, ({ t }) => t);
  const program = (name: string, args: string[]) => {
    const started = new Program({
      ...{ name, args, report, stopped: [0, 130], again: 'always' as const },
      env: { ...own.env, AIOT_DATA_DIR: join(folder, 'data'), AIOT_CACHE_DIR: join(folder, 'cache') },
    });
    started.start();
    return started;
  };
  const [source, sink] = [`mqtt://127.0.0.1:${broker.port}`, `nats://127.0.0.1:${nats.port}`];
  // A short history, which soon reaches its limit; until then, each run adds a few files.
  const watched = `  on: { control: ${source}/control }\n  keep: { runs: 5 }\n`;
  const mill = projectIn(join(folder, 'mill'), millFiles(join(folder, 'ran'), watched));
  const axis = '{ unit: g, range: [-8, 8] }';
  const tiny = projectIn(join(folder, 'tiny'), {
    'aiot.yaml': `name: tiny
stream: { topic: motion, fields: { x: ${axis}, y: ${axis} } }
signal: { rate: 100, window: 1, stride: 1, features: raw }
model: { labels: { resting: [sit, stand], walking: [walking] } }
`,
    'build/model.aiot': tinyBundle(),
  });
  const programs = [
    program('fleet', ['fleet', 'simulate', '--count', String(amount.devices), '--json']),
    program('bridge', ['stream', 'bridge', `${source}/readings?qos=1`, `${sink}/bridged`, '--every', '60s']),
    program('loop', [
      ...['loop', 'run', '--project', tiny, '--send', 'always', '--json'],
      ...['--sensor', `${source}/motion?rate=100&time=none`, '--out', `${sink}/answers`],
    ]),
    program('pipeline', ['pipeline', 'watch', '--project', mill, '--json']),
  ];
  await online(own.client, amount.devices);
  let acknowledged = 0;
  return {
    programs: [own.program, ...programs],
    async load(signal) {
      // No limit on listeners, because each device below adds one.
      setMaxListeners(0, signal);
      const aside = await mqtt.connectAsync(source);
      const every = (ms: number, body: (n: number) => void) => paced(ms, signal, body);
      const device = async (i: number) => {
        const client = await connectDevice(own.mqtts, join(folder, `soak-${i}`), { reconnectPeriod: 1000 });
        client.on('error', () => {});
        await every((1000 * publishers) / amount.messages, (n) => {
          const began = performance.now();
          const message = JSON.stringify({ seq: n, t: Date.now(), rate: 10, x: n % 100 });
          client.publish(`aiot/v1/soak-${i}/telemetry/soak`, message, { qos: 1 }, (error) => {
            if (error) return;
            acknowledged++;
            latencies.PUBACK.push(performance.now() - began);
          });
        });
        await client.endAsync(true);
      };
      await Promise.all([
        ...Array.from({ length: publishers }, (_, i) => device(i)),
        every(
          5000 / amount.messages,
          (n) => void aside.publish('readings', JSON.stringify({ n, at: Date.now() }), { qos: 1 }),
        ),
        every(20, (n) => void aside.publish('motion', JSON.stringify({ x: n % 7, y: n % 5 }))),
        every(amount.forMs / amount.runs, (n) => {
          writeFileSync(join(mill, 'seed.txt'), String(n));
          aside.publish('control', JSON.stringify({ command: 'train-model', payload: {} }), { qos: 1 });
        }),
      ]);
      await aside.endAsync();
    },
    latencies: () =>
      Object.fromEntries(Object.entries(latencies).map(([name, values]) => [name, values.splice(0)])),
    acknowledged: () => acknowledged,
    folder,
    async stop() {
      await peer.close();
      for (const one of programs) await one.stop();
      await own.program.stop();
      await own.close();
    },
  };
}

/** Calls `body` every `ms` milliseconds, several times in a row if the timer was late. */
async function paced(ms: number, signal: AbortSignal, body: (n: number) => void): Promise<void> {
  const began = performance.now();
  for (let n = 0; !signal.aborted; await delay(Math.max(5, ms), undefined, { signal }).catch(() => {}))
    for (; n * ms <= performance.now() - began; n++) body(n);
}

async function online(client: Awaited<ReturnType<typeof startChaosPlatform>>['client'], count: number) {
  for (const until = Date.now() + 180_000; ; await delay(500)) {
    const devices = await client.devices.list().catch(() => []);
    const there = devices.filter((device) => device.online).length;
    if (there >= count) return;
    if (Date.now() > until) throw new Error(`${there} of ${count} devices are connected after 180 s`);
  }
}

function projectIn(folder: string, files: Record<string, string | Uint8Array>): string {
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(join(folder, path, '..'), { recursive: true });
    writeFileSync(join(folder, path), content);
  }
  return folder;
}

/** Number of files below a folder, except the pipeline store, which grows up to limits that a week does not reach. */
export function filesBelow(folder: string): number {
  return readdirSync(folder, { recursive: true, withFileTypes: true }).filter(
    (entry) => entry.isFile() && !entry.parentPath.includes('/.aiot/pipeline/store/'),
  ).length;
}

/** Memory (MiB) and handles of a process; undefined if it has ended. */
export function lookAt(pid: number | undefined): { memory: number; handles: number } | undefined {
  try {
    const pages = Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1]);
    return { memory: (pages * 4096) / 1024 ** 2, handles: readdirSync(`/proc/${pid}/fd`).length };
  } catch {
    return undefined;
  }
}

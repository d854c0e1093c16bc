import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import mqtt from 'mqtt';
import type { Answer } from '../../src/lib/loop/types.js';
import { tinyBundle } from '../../test/support/bundle.js';
import { type Disk, mountDisk } from '../faults/disk.js';
import { openLink } from '../faults/link.js';
import { handles, memory, signals } from '../faults/process.js';
import { shimOf } from '../faults/shim.js';
import { halves } from '../invariants/files.js';
import { Program } from '../process.js';
import type { Round, Scenario, World } from '../types.js';
import { toNats } from './bridge.js';

const link = ['delay', 'cut', 'reset', 'truncate', 'blackhole'] as const;
/** Interval between samples, ms. This model treats each sample as a window. */
const everyMs = 10;
/** Predictions made within this time before an exit may not have reached the disk, ms. */
const youngMs = 2000;
const backMs = 45_000;
const arriveMs = 60_000;

/** A loop that reads samples from Mosquitto and writes its predictions to a file and to NATS JetStream. */
export const loop: Scenario = {
  name: 'loop',
  about: 'a loop from Mosquitto to NATS JetStream',
  needs: ['mosquitto', 'nats'],
  faults: {
    loop: [
      ...(['kill', 'kill-starting', 'kill-stopping', 'pause', 'handles', 'memory'] as const),
      ...(['clock-ahead', 'clock-back'] as const),
    ],
    'link to the source': link,
    source: ['restart'],
    sink: ['kill', 'restart'],
    'link to the sink': link,
    disk: ['disk-full', 'read-only'],
  },
  start: loopWorld,
};

async function loopWorld(round: Round): Promise<World> {
  const { folder, mark, report } = round;
  const broker = await round.servers.mosquitto();
  const topic = `chaos-${mark}`;
  const [source, far] = [await openLink(broker.port), await toNats(round, topic)];
  const project = projectIn(join(folder, 'project'));
  let program: Program | undefined;
  const place = join(folder, 'data');
  const disk: Disk | undefined = round.has('mounts')
    ? mountDisk(place, 64, () => program as Program)
    : undefined;
  const shim = round.shim === undefined ? undefined : shimOf(round.shim, folder, 7200);
  const home = { AIOT_CONFIG_DIR: join(folder, 'config'), AIOT_DATA_DIR: place, HOME: folder };
  const file = join(folder, 'answers.ndjson');
  const from = `mqtt://127.0.0.1:${source.port}/${topic}?clientId=${topic}&rate=100&time=none`;
  const own = new Program({
    name: 'the loop',
    args: [
      ...['loop', 'run', '--project', project, '--name', topic, '--sensor', from, '--send', 'always'],
      ...['--out', `file://${file}`, '--out', far.url, '--json'],
    ],
    env: { ...process.env, ...home, AIOT_CACHE_DIR: join(folder, 'cache'), AIOT_CHAOS: mark, ...shim?.env },
    stopped: [0],
    again: 'always',
    report,
  });
  program = own;
  own.start();
  const size = () => (existsSync(file) ? statSync(file).size : 0);
  const sizes: { at: number; bytes: number }[] = [];
  let diskFailed = false;
  const failing = (name: 'disk-full' | 'read-only') => async (forMs: number) => {
    diskFailed = true;
    await disk?.[name]?.(forMs);
  };
  /** Predictions in the file that must also be in NATS: all except the newest before each exit. */
  const owed = () => {
    const sizeAt = (time: number) => sizes.findLast(({ at }) => at <= time)?.bytes ?? 0;
    // While the disk rejects writes, predictions are kept in memory, and are lost with the process.
    const from = diskFailed && own.ends.length > 0 ? sizeAt(own.ends.at(-1) ?? 0) : 0;
    // The first size taken after its exit includes its last write; the previous one may be stale if this process was not
    // scheduled.
    const sizeAfter = (time: number) => sizes.find(({ at }) => at >= time)?.bytes ?? size();
    const young = own.ends.map((end) => [sizeAt(end - youngMs), sizeAfter(end)] as const);
    let offset = 0;
    return readFileSync(file, 'utf8')
      .split('\n')
      .filter((line) => {
        const at = offset;
        offset += Buffer.byteLength(line) + 1;
        // A line that was cut off by a kill does not end with a brace.
        return line.endsWith('}') && at >= from && !young.some(([a, b]) => at >= a && at < b);
      });
  };
  const answers = async () => (await far.bodies().catch(() => [])).length;
  let kept = 0;
  let lies = 0;
  const missing = async () => {
    const there = new Set((await far.bodies().catch(() => [])).map(answerOf));
    return [...owed().map(answerOf), ...Array(lies).fill('a lie')].filter((answer) => !there.has(answer));
  };
  return {
    targets: {
      loop: { ...signals(own), ...handles(own), ...memory(own), ...shim },
      'link to the source': { ...source },
      source: { restart: () => broker.restart({ signal: 'SIGTERM' }) },
      disk: { 'disk-full': failing('disk-full'), 'read-only': failing('read-only') },
      ...far.targets,
    },
    async load(signal) {
      for (const until = Date.now() + backMs; size() === 0 && Date.now() < until; await delay(50))
        await say(broker.port, topic, 20);
      const looking = setInterval(() => sizes.push({ at: Date.now(), bytes: size() }), 50);
      while (!signal.aborted) await say(broker.port, topic, 100);
      clearInterval(looking);
    },
    async recover() {
      const before = await answers();
      for (const until = Date.now() + backMs; (await answers()) <= before; await delay(200))
        if (Date.now() > until)
          throw new Error(`no response within ${backMs} ms: ${own.printed().slice(-1500)}`);
    },
    async check() {
      let lost = await missing();
      for (const until = Date.now() + arriveMs; lost.length > 0 && Date.now() < until; lost = await missing())
        await delay(500);
      kept = owed().length;
      if (lost.length > 0) {
        const some = `${lost.length} of ${kept} predictions never arrived, such as ${lost[0]}`;
        report('no acknowledged data is lost', `${some}: ${own.printed().slice(-1500)}`);
      }
    },
    async stop() {
      await own.stop();
      halves(place, report);
      disk?.remove();
      await source.close();
      await far.close();
    },
    acknowledged: () => kept,
    printed: () => own.printed(),
    secrets: () => [],
    async sabotage() {
      lies = 1;
    },
  };
}

/** Identifies a prediction in NATS or in the file; the file stores each message with its topic. */
function answerOf(text: string): string {
  const message = JSON.parse(text) as { payload?: Answer } & Answer;
  const { t, window } = message.payload ?? message;
  return `${t} (window ${window})`;
}

async function say(port: number, topic: string, messages: number): Promise<void> {
  const client = mqtt.connect(`mqtt://127.0.0.1:${port}`, { reconnectPeriod: 50 });
  // The broker may be down. No predictions are expected for samples that it did not receive.
  client.on('error', () => {});
  for (let i = 0; i < messages; i++, await delay(everyMs))
    client.publish(topic, JSON.stringify({ x: i % 7, y: i % 5 }));
  await client.endAsync(true);
}

/** A project whose model treats each sample as a window. */
function projectIn(folder: string): string {
  const axis = '{ unit: g, range: [-8, 8] }';
  const text = `name: tiny
stream: { topic: motion, fields: { x: ${axis}, y: ${axis} } }
signal: { rate: 100, window: 1, stride: 1, features: raw }
model: { labels: { resting: [sit, stand], walking: [walking] } }
`;
  mkdirSync(join(folder, 'build'), { recursive: true });
  writeFileSync(join(folder, 'aiot.yaml'), text);
  writeFileSync(join(folder, 'build', 'model.aiot'), tinyBundle());
  return folder;
}

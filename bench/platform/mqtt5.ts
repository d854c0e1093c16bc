// MQTT 5 and durable sessions in the broker, compared with Mosquitto: the same clients, in alternating rounds. The subscriber is
// mosquitto_sub. For durable sessions, shared subscriptions and bursts of retained messages, it is one process with plain sockets
// (subscribers.ts).
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { startMosquitto } from '../../test/support/mosquitto.js';
import type { Bench } from '../harness/area.js';
import type { Figure } from '../harness/figure.js';
import { versionOf } from '../harness/parts.js';
import { guideMessages } from '../streams/guide.js';
import { prepareBlast } from '../streams/mqtt-blast.js';
import { secondsOf, type Target } from './broker.js';
import { startPlatformProcess } from './process.js';
import type { SubscriberOptions } from './subscribers.js';

type Version = 4 | 5;
type Measure = (name: string, target: Target) => Promise<number>;

const nameOf = { 4: '3.1.1', 5: '5' } as const;

/** Throughput of MQTT 5, of durable sessions, of a shared subscription, and of retained messages. */
export async function mqtt5(bench: Bench): Promise<Figure[]> {
  const [messages, rounds] = bench.quick ? [10_000, 2] : [100_000, 5];
  const platform = await startPlatformProcess(bench.folder());
  // Mosquitto may have as many messages in flight as the platform accepts. It writes its session database at exit, not before each
  // acknowledgment.
  const mosquitto = await startMosquitto({ settings: ['max_inflight_messages 1000', 'persistence true'] });
  const targets = {
    ours: { port: Number(new URL(platform.urls.mqtt ?? '').port), password: platform.token },
    mosquitto: { port: mosquitto.port, password: 'x' },
  };
  const version = versionOf('mosquitto', '-h');
  const compare = async (name: string, count: number, times: number, measure: Measure): Promise<Figure> => {
    const rates = { ours: [] as number[], mosquitto: [] as number[] };
    for (let round = 0; round < times; round++)
      for (const [side, target] of Object.entries(targets))
        rates[side as keyof typeof rates].push(count / (await measure(side, target)));
    const peer = { name: 'Mosquitto', version, rounds: rates.mosquitto };
    return { name, unit: '/s', better: 'higher', ours: rates.ours, peer, goal: 1 };
  };
  try {
    const figures: Figure[] = [];
    for (const qos of [0, 1] as const)
      figures.push(
        await compare(
          `MQTT 5, one publisher to one subscriber, QoS ${qos}`,
          messages,
          rounds,
          (name, target) => secondsOf(name, target, { qos, messages, version: 5 }),
        ),
      );
    for (const version of [4, 5] as const)
      figures.push(
        await compare(
          `MQTT ${nameOf[version]}, QoS 1 to a durable session`,
          messages,
          rounds,
          (name, target) =>
            through(name, target, { version, topic: `durable/${version}`, messages, persistent: true }),
        ),
      );
    for (const qos of [0, 1] as const)
      figures.push(
        await compare(
          `MQTT 5, shared subscription of 8 members, QoS ${qos}`,
          messages,
          rounds,
          (name, target) =>
            through(name, target, { version: 5, topic: `shared/${qos}`, messages, qos, members: 8 }),
        ),
      );
    const kept = messages * 2;
    for (const target of Object.values(targets)) await retain(target, kept);
    for (const version of [4, 5] as const)
      for (const qos of [0, 1] as const)
        figures.push(
          await compare(
            `${kept.toLocaleString('en')} retained messages to a new subscriber, MQTT ${nameOf[version]}, QoS ${qos}`,
            kept,
            Math.ceil(rounds / 2),
            (name, target) =>
              newcomer(name, target, { version, filter: 'kept/#', qos, members: 1, messages: kept }),
          ),
        );
    return figures;
  } finally {
    await mosquitto.stop();
    await platform.stop();
  }
}

interface Through {
  version: Version;
  topic: string;
  messages: number;
  qos?: 0 | 1;
  members?: number;
  persistent?: boolean;
}

/** Seconds from the first published message until the subscribers together have received all messages. */
async function through(
  name: string,
  target: Target,
  { version, topic, messages, qos = 1, members = 1, persistent = false }: Through,
): Promise<number> {
  const filter = members > 1 ? `$share/bench/${topic}` : topic;
  const subscribers = await startSubscribers(name, target, {
    ...{ version, filter, qos, members, messages, persistent },
  });
  const login = { username: 'bench', password: target.password };
  const payloads = guideMessages(messages);
  const blast = await prepareBlast({ port: target.port, topic, payloads, qos, version, login });
  subscribers.subscribe();
  await subscribers.heard('subscribed');
  const begun = performance.now();
  await Promise.all([blast(), subscribers.heard('done')]);
  const seconds = (performance.now() - begun) / 1000;
  await subscribers.gone;
  return seconds;
}

/** Seconds from a new subscriber's SUBSCRIBE until it has received all retained messages. */
async function newcomer(
  name: string,
  target: Target,
  options: Omit<SubscriberOptions, 'port' | 'login' | 'persistent'>,
): Promise<number> {
  const subscribers = await startSubscribers(name, target, { ...options, persistent: false });
  const begun = performance.now();
  subscribers.subscribe();
  await subscribers.heard('done');
  const seconds = (performance.now() - begun) / 1000;
  await subscribers.gone;
  return seconds;
}

async function retain({ port, password }: Target, messages: number): Promise<void> {
  const payloads = guideMessages(messages);
  const login = { username: 'bench', password };
  const blast = await prepareBlast({
    port,
    topic: 'kept',
    topics: messages,
    payloads,
    qos: 1,
    retain: true,
    login,
  });
  await blast();
}

/** Maximum duration of a round, ms. */
const patience = 120_000;

/** Starts the subscribers of one round in a separate process; they are connected, but not yet subscribed. */
async function startSubscribers(
  name: string,
  { port, password }: Target,
  options: Omit<SubscriberOptions, 'port' | 'login'>,
) {
  const whole: SubscriberOptions = { ...options, port, login: { username: 'bench', password } };
  const program = join(import.meta.dirname, 'subscribers.ts');
  const child = spawn(process.execPath, ['--import', 'tsx', program, JSON.stringify(whole)], {
    stdio: ['pipe', 'pipe', 'inherit'],
    timeout: patience,
    killSignal: 'SIGKILL',
  });
  const gone = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const lines = new Set<string>();
  const waiting = new Map<string, () => void>();
  createInterface({ input: child.stdout }).on('line', (line) => {
    lines.add(line);
    waiting.get(line)?.();
  });
  const heard = async (line: string): Promise<void> => {
    if (lines.has(line)) return;
    const came = new Promise<void>((resolve) => waiting.set(line, resolve));
    await Promise.race([came, gone]);
    if (!lines.has(line)) throw new Error(`${name}: the subscribers exited without "${line}"`);
  };
  await heard('connected');
  return { heard, gone, subscribe: () => void child.stdin.write('\n') };
}

import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import mqtt from 'mqtt';
import { type KafkaBroker, kcat } from '../../test/support/kafka.js';
import { type NatsServer, natsClient } from '../../test/support/nats.js';
import { type Disk, mountDisk } from '../faults/disk.js';
import { openLink } from '../faults/link.js';
import { handles, memory, signals } from '../faults/process.js';
import { serverFaults } from '../faults/server.js';
import { shimOf } from '../faults/shim.js';
import { halves } from '../invariants/files.js';
import { Program } from '../process.js';
import type { FaultKind, Round, Scenario, Target, World } from '../types.js';

/** Time limit for all acknowledged messages to reach the destination once all faults are over, ms. */
const arriveMs = 60_000;
const perSecond = 400;
const ofBridge = [
  'kill',
  'kill-starting',
  'kill-stopping',
  'pause',
  'handles',
  'memory',
  'clock-ahead',
  'clock-back',
] as const;
const link = ['delay', 'cut', 'reset', 'truncate', 'blackhole'] as const;

/** The broker at the destination: its address, its possible faults, and the messages that it contains. */
export interface FarSide {
  url: string;
  targets: Record<string, Target>;
  bodies(): Promise<string[]>;
  close(): Promise<void>;
}

function scenario(
  name: string,
  far: 'nats' | 'kafka',
  about: string,
  more: Record<string, readonly FaultKind[]>,
): Scenario {
  return {
    name,
    about,
    needs: ['mosquitto', far],
    faults: {
      bridge: ofBridge,
      'link to the source': link,
      source: ['restart'],
      disk: ['disk-full', 'read-only'],
      ...more,
    },
    start: (round) => world(round, far === 'nats' ? toNats : toKafka),
  };
}

export const bridgeToNats = scenario('nats', 'nats', 'a bridge from Mosquitto to NATS JetStream', {
  sink: ['kill', 'restart'],
  'link to the sink': link,
});
export const bridgeToKafka = scenario('kafka', 'kafka', 'a bridge from Mosquitto to Kafka', {
  sink: ['kill'],
});

async function world(round: Round, farOf: (round: Round, topic: string) => Promise<FarSide>): Promise<World> {
  const { folder, mark, report, random } = round;
  const broker = await round.servers.mosquitto();
  const topic = `chaos-${mark}`;
  const [source, far] = [await openLink(broker.port), await farOf(round, topic)];
  let program: Program | undefined;
  const place = join(folder, 'bridge');
  const disk: Disk | undefined = round.has('mounts')
    ? mountDisk(place, 64, () => program as Program)
    : undefined;
  const shim = round.shim === undefined ? undefined : shimOf(round.shim, folder, 7200);
  const home = { AIOT_CONFIG_DIR: join(folder, 'config'), AIOT_DATA_DIR: join(folder, 'data'), HOME: folder };
  const from = `mqtt://127.0.0.1:${source.port}/${topic}?qos=1&clientId=${topic}&clean=false`;
  const spool = random() < 0.5 ? ['--spool', join(place, 'spool')] : [];
  const bridge = new Program({
    name: 'the bridge',
    args: ['stream', 'bridge', from, far.url, '--name', topic, '--every', '1s', ...spool],
    env: { ...process.env, ...home, AIOT_CHAOS: mark, ...shim?.env },
    stopped: [0],
    again: 'always',
    report,
  });
  program = bridge;
  bridge.start();
  for (const until = Date.now() + 30_000; !bridge.printed().includes('bridging;'); await delay(50))
    if (Date.now() > until) throw new Error(`the bridge did not start: ${bridge.printed()}`);
  const owed = new Set<number>();
  const missing = async () => {
    const bodies = await far.bodies().catch(() => []);
    const there = new Set(bodies.map((body) => (JSON.parse(body) as { n: number }).n));
    return [...owed].filter((number) => !there.has(number));
  };
  return {
    targets: {
      bridge: { ...signals(bridge), ...handles(bridge), ...memory(bridge), ...shim },
      'link to the source': { ...source },
      source: { restart: () => broker.restart({ signal: 'SIGTERM' }) },
      disk: { ...disk },
      ...far.targets,
    },
    load: (signal) => publish(broker.port, topic, owed, signal),
    recover: async () => {},
    async check() {
      let lost = await missing();
      for (const until = Date.now() + arriveMs; lost.length > 0 && Date.now() < until; lost = await missing())
        await delay(200);
      if (lost.length > 0)
        report(
          'no acknowledged data is lost',
          `${lost.length} of ${owed.size} messages never arrived, such as ${lost.slice(0, 5)}: ${bridge.printed().slice(-1500)}`,
        );
    },
    async stop() {
      await bridge.stop();
      halves(folder, report);
      disk?.remove();
      await source.close();
      await far.close();
    },
    acknowledged: () => owed.size,
    printed: () => bridge.printed(),
    secrets: () => [],
    async sabotage() {
      owed.add(-1);
    },
  };
}

/** Publishes with mqtt.js, which reconnects automatically. `owed` collects the messages that the broker acknowledged. */
async function publish(port: number, topic: string, owed: Set<number>, signal: AbortSignal): Promise<void> {
  const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${port}`, {
    clientId: `publisher-${topic}`,
    clean: false,
    reconnectPeriod: 50,
  });
  client.on('error', () => {});
  const sent: Promise<unknown>[] = [];
  const everyMs = 25;
  for (let n = 0; !signal.aborted; await delay(everyMs)) {
    for (let i = 0; i < (perSecond * everyMs) / 1000; i++) {
      const number = n++;
      const payload = JSON.stringify({ n: number, pad: 'x'.repeat(100) });
      sent.push(client.publishAsync(topic, payload, { qos: 1 }).then(() => owed.add(number)));
    }
  }
  await Promise.all(sent);
  await client.endAsync();
}

export async function toNats(round: Round, topic: string): Promise<FarSide> {
  const server: NatsServer = await round.servers.nats();
  const sink = await openLink(server.port);
  const peer = await natsClient(server);
  const manager = await peer.jetstreamManager();
  await manager.streams.add({ name: topic, subjects: [topic] });
  await peer.close();
  return {
    url: `nats://127.0.0.1:${sink.port}/${topic}`,
    targets: {
      sink: serverFaults({ end: () => server.kill(), start: () => server.start() }),
      'link to the sink': { ...sink },
    },
    async bodies() {
      const client = await natsClient(server);
      const stream = await client.jetstream().streams.get(topic);
      const { last_seq: last } = (await stream.info()).state;
      const bodies: string[] = [];
      if (last > 0) {
        const consumer = await stream.getConsumer();
        for await (const message of await consumer.consume({ max_messages: 2000 })) {
          bodies.push(message.string());
          if (message.seq === last) break;
        }
      }
      await client.close();
      return bodies;
    },
    close: () => sink.close(),
  };
}

async function toKafka(round: Round, topic: string): Promise<FarSide> {
  const server: KafkaBroker = await round.servers.kafka();
  await server.createTopic(topic);
  return {
    url: `kafka://${server.address}/${topic}`,
    targets: { sink: serverFaults({ end: () => server.kill(), start: () => server.start() }) },
    bodies: async () =>
      kcat(server.address, topic, '%s\n')
        .split('\n')
        .filter((line) => line !== ''),
    close: async () => {},
  };
}

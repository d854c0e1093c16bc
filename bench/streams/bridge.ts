// `stream bridge` from MQTT to Kafka compared with the guide's bridge (go-bridge/, built here with Go). Both transfer the same messages,
// one bridge after the other, from the same Mosquitto to the same Kafka. The time runs from the publisher's first message until the last
// one is in the log.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { kafkaPeer, kcat, startKafka } from '../../test/support/kafka.js';
import { startMosquitto } from '../../test/support/mosquitto.js';
import { cpuSeconds, mostMemoryOf, root } from '../harness/process.js';
import { guideMessages } from './guide.js';
import type { Compared } from './mqtt.js';
import { prepareBlast } from './mqtt-blast.js';

/** Memory limit of a bridge, MB. */
const mostMemory = 150;

interface Run {
  seconds: number;
  cpu: number;
  memory: number;
  lost: number;
  twice: number;
}

/**
 * Compares the bridges at QoS 0 and 1 (only at 1 in a quick run). The guide's bridge uses QoS 0 by default, but is measured at QoS 1 as
 * well.
 */
export async function bridgeFigures(options: {
  messages: number;
  rounds: number;
  quick?: boolean;
}): Promise<Compared[]> {
  const folder = await mkdtemp(join(tmpdir(), 'aiot-bench-bridge-'));
  const program = join(folder, 'go-bridge');
  const go = spawnSync('go', ['build', '-o', program, '.'], {
    cwd: join(root, 'bench', 'streams', 'go-bridge'),
    env: { ...process.env, CGO_ENABLED: '0', GOFLAGS: '-buildvcs=false' },
    encoding: 'utf8',
  });
  if (go.status !== 0) throw new Error(`go build: ${go.stderr ?? go.error}`);
  // Kafka 4 does not support the guide's old client.
  const kafka = await startKafka({ version: '3.9.1' });
  try {
    const figures: Compared[] = [];
    for (const qos of options.quick ? ([1] as const) : ([0, 1] as const))
      figures.push(await compare(program, kafka, qos, options));
    return figures;
  } finally {
    await forgetLog();
    await kafka.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

/** Time that our bridge takes at QoS 1, from the first message published to the last one in the log, s. */
export async function bridgeSeconds(messages: number): Promise<number> {
  const kafka = await startKafka();
  try {
    const { seconds, lost } = await runOwn(kafka, {
      topic: 'grow',
      payloads: guideMessages(messages),
      qos: 1,
    });
    if (lost > 0) throw new Error(`lost ${lost} messages at QoS 1`);
    return seconds;
  } finally {
    await forgetLog();
    await kafka.stop();
  }
}

async function compare(
  program: string,
  kafka: Kafka,
  qos: 0 | 1,
  { messages, rounds }: { messages: number; rounds: number },
): Promise<Compared> {
  const payloads = guideMessages(messages);
  const ours: Run[] = [];
  const theirs: Run[] = [];
  for (let round = 0; round < rounds; round++) {
    const what = { payloads, qos };
    const go = ({ port, topic }: Place) =>
      spawn(program, [`127.0.0.1:${port}`, kafka.address, topic, String(qos)]);
    theirs.push(await runOne(kafka, { ...what, topic: `go-${qos}-${round}` }, go));
    ours.push(await runOwn(kafka, { ...what, topic: `aiot-${qos}-${round}` }));
  }
  const largest = (list: Run[], figure: (run: Run) => number) => Math.max(...list.map(figure));
  const rates = (list: Run[]) => list.map(({ seconds, lost }) => (messages - lost) / seconds);
  const [lost, memory] = [largest(ours, (one) => one.lost), largest(ours, (one) => one.memory)];
  const twice = largest(ours, (one) => one.twice);
  const faults = [
    ...(qos === 1 && lost > 0 ? ['lost messages at QoS 1'] : []),
    ...(memory > mostMemory ? [`more than ${mostMemory} MB`] : []),
  ];
  return {
    ...{ what: `bridge, QoS ${qos}`, least: 4, ours: rates(ours), theirs: rates(theirs) },
    note: `lost ${lost} (Go: ${largest(theirs, (one) => one.lost)}), twice ${twice}, ${memory.toFixed(0)} MB`,
    ...(faults.length > 0 ? { fails: faults.join(', ') } : {}),
  };
}

type Kafka = Awaited<ReturnType<typeof startKafka>>;
type What = Omit<Parameters<typeof prepareBlast>[0], 'port'>;
interface Place {
  port: number;
  topic: string;
}

function runOwn(kafka: Kafka, what: What): Promise<Run> {
  return runOne(kafka, what, ({ port, topic }) => {
    const from = `mqtt://127.0.0.1:${port}/${topic}?qos=${what.qos}&clientId=b1&clean=false`;
    const to = `kafka://${kafka.address}/${topic}`;
    return spawn(process.execPath, [join(root, 'bin', 'run.js'), 'stream', 'bridge', from, to]);
  });
}

/** Runs a bridge from a broker to a new topic. */
async function runOne(kafka: Kafka, what: What, start: (place: Place) => ChildProcess): Promise<Run> {
  const mosquitto = await startMosquitto();
  await kafka.createTopic(what.topic);
  const bridge = start({ port: mosquitto.port, topic: what.topic });
  try {
    return await run(bridge, { ...what, port: mosquitto.port }, kafka.address);
  } finally {
    bridge.kill('SIGKILL');
    await mosquitto.stop();
  }
}

async function run(
  bridge: ChildProcess,
  blast: Parameters<typeof prepareBlast>[0],
  address: string,
): Promise<Run> {
  const { topic, payloads, port } = blast;
  const publish = await prepareBlast(blast);
  await subscribed(bridge, port, topic, address);
  const before = await endOf(address, topic);
  const started = performance.now();
  await publish();
  const wanted = before + payloads.length;
  let end = before;
  let changed = performance.now();
  // Lost messages never arrive, so five seconds without a new one also end the wait.
  while (end < wanted && performance.now() - changed < 5000) {
    await delay(20);
    const now = await endOf(address, topic);
    if (now > end) changed = performance.now();
    end = now;
  }
  const seconds = (changed - started) / 1000;
  const [cpu, memory] = [cpuSeconds(bridge.pid!), mostMemoryOf(bridge.pid!)];
  const counts = new Map<string, number>();
  for (const text of await contentOf(address, topic)) counts.set(text, (counts.get(text) ?? 0) + 1);
  const lost = payloads.filter((payload) => !counts.has(payload.toString())).length;
  const twice = [...counts].filter(([text, count]) => count > 1 && text !== 'probe').length;
  return { seconds, cpu, memory, lost, twice };
}

/**
 * The two bridges report their subscription in different ways, so probe messages of a different length are published until one arrives.
 */
async function subscribed(bridge: ChildProcess, port: number, topic: string, address: string): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    if (bridge.exitCode !== null) throw new Error(`the bridge exited with ${bridge.exitCode}`);
    spawnSync('mosquitto_pub', ['-h', '127.0.0.1', '-p', String(port), '-t', topic, '-m', 'probe']);
    await delay(100);
    if ((await endOf(address, topic)) > 0) break;
  }
  await delay(500);
}

let admin: ReturnType<ReturnType<typeof kafkaPeer>['admin']> | undefined;
let connectedTo = '';

/** The next offset of a topic with one partition. */
async function endOf(address: string, topic: string): Promise<number> {
  if (!admin || connectedTo !== address) {
    await admin?.disconnect();
    admin = kafkaPeer(address).admin();
    connectedTo = address;
    await admin.connect();
  }
  const [offsets] = await admin.fetchTopicOffsets(topic);
  return Number(offsets?.high ?? 0);
}

/** Every message in a topic, read with a third-party client (kcat). */
async function contentOf(address: string, topic: string): Promise<string[]> {
  return kcat(address, topic, '%s\n').split('\n').slice(0, -1);
}

/** Must be called before the broker is stopped. */
async function forgetLog(): Promise<void> {
  await admin?.disconnect();
  admin = undefined;
}

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Admin, Kafka, logLevel } from 'kafkajs';
import { root } from './cli.js';
import { freePort } from './free-port.js';

export type KafkaVersion = '4.1.0' | '3.9.1';

export interface KafkaBroker {
  /** `127.0.0.1:PORT` of the listener without encryption and credentials. */
  address: string;
  /** `127.0.0.1:PORT` of the additional listeners, if requested. */
  listeners: Record<string, string>;
  createTopic(topic: string, partitions?: number, config?: Record<string, string>): Promise<void>;
  /** Sends SIGKILL. Acknowledged data is on disk, but nothing is cleaned up. */
  kill(): Promise<void>;
  start(): Promise<void>;
  stop(): Promise<void>;
}

export interface KafkaOptions {
  version?: KafkaVersion;
  /** Additional lines of server.properties. */
  properties?: string[];
  /** Additional listeners by name, such as `SASL_PLAINTEXT`, each on its own port. */
  listeners?: string[];
  /** For one of several nodes, its id, counted from 1, and the ports of all controllers. */
  node?: { id: number; controllers: readonly number[] };
  /** Additional arguments of the storage format command, such as `--add-scram`. */
  format?: string[];
}

/** The folder where scripts/parts/kafka.sh installs the jars of a version. */
export function kafkaJars(version: KafkaVersion): string {
  return join(root, '.venv', 'kafka', version, 'lib');
}

/** Starts a real Kafka broker: a single KRaft node, on free ports and with its own folder. Startup takes about three seconds. */
export async function startKafka(options: KafkaOptions = {}): Promise<KafkaBroker> {
  const { version = '4.1.0' } = options;
  const folder = await mkdtemp(join(tmpdir(), 'aiot-kafka-'));
  const { id, controllers } = options.node ?? { id: 1, controllers: [await freePort()] };
  const [port, controller] = [await freePort(), controllers[id - 1]];
  const more: [string, number][] = [];
  for (const name of options.listeners ?? []) more.push([name, await freePort()]);
  const properties = join(folder, 'server.properties');
  const listeners = [['PLAINTEXT', port] as const, ...more];
  await writeFile(
    properties,
    [
      'process.roles=broker,controller',
      `node.id=${id}`,
      `controller.quorum.voters=${controllers.map((at, index) => `${index + 1}@127.0.0.1:${at}`).join(',')}`,
      'controller.listener.names=CONTROLLER',
      `listeners=${listeners.map(([name, at]) => `${name}://127.0.0.1:${at}`).join(',')},CONTROLLER://127.0.0.1:${controller}`,
      `advertised.listeners=${listeners.map(([name, at]) => `${name}://127.0.0.1:${at}`).join(',')}`,
      'listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL',
      'inter.broker.listener.name=PLAINTEXT',
      `log.dirs=${join(folder, 'log')}`,
      'offsets.topic.replication.factor=1',
      'offsets.topic.num.partitions=4',
      'transaction.state.log.replication.factor=1',
      'transaction.state.log.min.isr=1',
      'transaction.state.log.num.partitions=4',
      'group.initial.rebalance.delay.ms=0',
      // After SIGKILL, the node can rejoin only once its session has expired, which takes 9 s by default.
      'broker.session.timeout.ms=3000',
      'broker.heartbeat.interval.ms=500',
      ...(options.properties ?? []),
      '',
    ].join('\n'),
  );
  const java = (tool: string, ...args: string[]) => [
    // A single compiler tier and the serial collector halve the startup time of a process that lives for a minute.
    ...['-Xmx512m', '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC'],
    ...['-Dorg.slf4j.simpleLogger.defaultLogLevel=warn', '-cp', `${kafkaJars(version)}/*`, tool],
    ...args,
  ];
  const format = spawnSync(
    'java',
    java(
      'kafka.tools.StorageTool',
      'format',
      '-t',
      'aiot-tests-of-streams-A',
      '-c',
      properties,
      ...(options.format ?? []),
    ),
    { encoding: 'utf8' },
  );
  if (format.status !== 0) throw new Error(`kafka format: ${format.stdout}${format.stderr}`);
  const address = `127.0.0.1:${port}`;
  let child: ChildProcess | undefined;
  const end = async (signal: NodeJS.Signals) => {
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill(signal);
    await exited;
  };
  const start = async () => {
    let said = '';
    child = spawn('java', java('kafka.Kafka', properties), { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (chunk) => {
        said = `${said}${chunk}`.slice(-4000);
      });
    }
    await answering(address, () => (child?.exitCode === null ? undefined : said));
  };
  await start();
  return {
    address,
    listeners: Object.fromEntries(more.map(([name, at]) => [name, `127.0.0.1:${at}`])),
    createTopic: (topic, partitions = 1, config = {}) =>
      withAdmin(address, async (admin) => {
        const configEntries = Object.entries(config).map(([name, value]) => ({ name, value }));
        // waitForLeaders is off, because kafkajs fails if the broker does not yet know a topic that the controller has
        // just created.
        await admin.createTopics({
          waitForLeaders: false,
          topics: [{ topic, numPartitions: partitions, configEntries }],
        });
        await untilLed(admin, topic, partitions);
      }),
    kill: () => end('SIGKILL'),
    start,
    async stop() {
      await end('SIGKILL');
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function untilLed(admin: Admin, topic: string, partitions: number): Promise<void> {
  for (const started = Date.now(); ; await delay(50)) {
    const { topics } = await admin.fetchTopicMetadata({ topics: [topic] }).catch(() => ({ topics: [] }));
    const led = topics[0]?.partitions.filter(({ leader }) => leader >= 0).length ?? 0;
    if (led >= partitions) return;
    if (Date.now() - started > 20_000)
      throw new Error(`${topic}: ${led} of ${partitions} partitions have a leader`);
  }
}

/** Starts three nodes, each both broker and controller, so that one of them may be offline. */
export async function startKafkaCluster(): Promise<KafkaBroker[]> {
  const controllers = [await freePort(), await freePort(), await freePort()];
  return Promise.all([1, 2, 3].map((id) => startKafka({ node: { id, controllers } })));
}

/** A kafkajs client, for admin and other actions that a test needs. */
export function kafkaPeer(address: string): Kafka {
  return new Kafka({
    brokers: [address],
    clientId: 'peer',
    logLevel: logLevel.NOTHING,
    retry: { retries: 8, initialRetryTime: 100, maxRetryTime: 500 },
  });
}

async function withAdmin<T>(
  address: string,
  work: (admin: ReturnType<Kafka['admin']>) => Promise<T>,
): Promise<T> {
  const admin = kafkaPeer(address).admin();
  await admin.connect();
  try {
    return await work(admin);
  } finally {
    await admin.disconnect();
  }
}

/** Returns everything in a topic as printed by kcat, with one `FORMAT`, in kcat's syntax (`-f`), per message. */
export function kcat(address: string, topic: string, format: string): string {
  const result = spawnSync(
    'kcat',
    ['-b', address, '-C', '-t', topic, '-e', '-q', '-o', 'beginning', '-f', format],
    {
      encoding: 'utf8',
      maxBuffer: 1 << 28,
      timeout: 30_000,
    },
  );
  if (result.status !== 0) throw new Error(`kcat: ${result.stderr}`);
  return result.stdout;
}

/** Writes lines with kcat. */
export function kcatWrite(address: string, topic: string, lines: string, ...flags: string[]): void {
  const result = spawnSync('kcat', ['-b', address, '-P', '-t', topic, ...flags], {
    input: lines,
    encoding: 'utf8',
    timeout: 30_000,
  });
  if (result.status !== 0) throw new Error(`kcat: ${result.stderr}`);
}

async function answering(address: string, died: () => string | undefined): Promise<void> {
  for (const started = Date.now(); Date.now() - started < 60_000; ) {
    const said = died();
    if (said !== undefined) throw new Error(`Kafka did not start:\n${said}`);
    try {
      await withAdmin(address, (admin) => admin.describeCluster());
      return;
    } catch {
      await delay(100);
    }
  }
  throw new Error(`Kafka does not answer at ${address}`);
}

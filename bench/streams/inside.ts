// Compares the bridge inside the platform's process (`aiot up --project`: a board's PUBACK is delayed until Kafka has the message) with
// the guide's bridge in Go. Each has its own broker. Both use the same publisher and the same Kafka (3.9.1, because the Go bridge cannot
// write to Kafka 4).
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { kafkaPeer, startKafka } from '../../test/support/kafka.js';
import { median } from '../harness/figure.js';
import { cpuSeconds, mostMemoryOf, root } from '../harness/process.js';
import { guideMessages } from './guide.js';
import type { Compared } from './mqtt.js';
import { prepareBlast } from './mqtt-blast.js';

const topic = 'shaded-pole-motor-sensor_data';

/** Compares the bridges at QoS 0 and 1; in a quick run, only at 1. */
export async function insideFigures(options: {
  messages: number;
  rounds: number;
  quick?: boolean;
}): Promise<Compared[]> {
  const folder = await mkdtemp(join(tmpdir(), 'aiot-inside-'));
  const kafka = await startKafka({ version: '3.9.1' });
  try {
    const bridge = join(folder, 'go-bridge');
    const built = spawnSync('go', ['build', '-o', bridge, '.'], {
      cwd: join(root, 'bench', 'streams', 'go-bridge'),
      env: { ...process.env, CGO_ENABLED: '0', GOFLAGS: '-mod=mod' },
      encoding: 'utf8',
    });
    if (built.status !== 0) throw new Error(`go build: ${built.stderr}`);
    await kafka.createTopic(topic);
    const figures: Compared[] = [];
    for (const qos of options.quick ? ([1] as const) : ([0, 1] as const))
      figures.push(await compare(qos, { ...options, folder, bridge, kafka: kafka.address }));
    return figures;
  } finally {
    await kafka.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

interface Setting {
  messages: number;
  rounds: number;
  folder: string;
  bridge: string;
  kafka: string;
}

async function compare(qos: 0 | 1, setting: Setting): Promise<Compared> {
  const ours: number[] = [];
  const theirs: number[] = [];
  const lost = { ours: 0, theirs: 0 };
  const cpu = { ours: [] as number[], theirs: [] as number[] };
  let memory = 0;
  for (let round = 0; round < setting.rounds; round++) {
    const platform = await startPlatform(setting, qos);
    try {
      const run = await measure(platform.port, qos, setting, [platform.child]);
      cpu.ours.push(run.cpu);
      ours.push(run.rate);
      lost.ours += run.lost;
      memory = Math.max(memory, mostMemoryOf(platform.child.pid!));
    } finally {
      await end(platform.child);
    }
    const guide = await startGuide(setting, qos);
    try {
      const run = await measure(guide.port, qos, setting, guide.children);
      cpu.theirs.push(run.cpu);
      theirs.push(run.rate);
      lost.theirs += run.lost;
    } finally {
      for (const child of guide.children) await end(child);
    }
  }
  const used = (side: 'ours' | 'theirs') => `${median(cpu[side]).toFixed(2)} processor s`;
  return {
    ...{ what: `MQTT → Kafka inside the platform, QoS ${qos}`, ours, theirs, least: 6 },
    note: `${used('ours')}, Go and a broker ${used('theirs')}; ${Math.round(memory)} MB; lost ${lost.ours}, Go ${lost.theirs}`,
    ...(lost.ours > 0 ? { fails: 'lost messages' } : {}),
  };
}

async function startPlatform(
  { folder, kafka }: Setting,
  qos: 0 | 1,
): Promise<{ child: ChildProcess; port: number }> {
  const project = await mkdtemp(join(folder, 'project-'));
  await writeFile(
    join(project, 'aiot.yaml'),
    `name: inside\nup:\n  boards: { password: any, publish: [${topic}] }\n  routes: routes.yaml\n`,
  );
  await writeFile(
    join(project, 'routes.yaml'),
    `routes:\n  bridge:\n    from: aiot://stream/${topic}?qos=${qos}\n    to: kafka://${kafka}/${topic}\n`,
  );
  const child = spawn(
    process.execPath,
    [
      ...[
        join(root, 'bin', 'run.js'),
        'up',
        '--project',
        project,
        '--data',
        join(project, 'platform'),
        '--json',
      ],
      ...['--http-port', '0', '--mqtt-port', '0', '--board-port', '0'],
    ],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, AIOT_CONFIG_DIR: join(project, 'config') },
    },
  );
  const { urls, project: started } = JSON.parse(await firstLine(child)) as {
    urls: { boards: string };
    project: { routes: { state: string }[] };
  };
  if (started.routes[0]?.state !== 'running') throw new Error(`the route is ${started.routes[0]?.state}`);
  return { child, port: Number(urls.boards.split(':').at(-1)) };
}

async function startGuide({ bridge, kafka }: Setting, qos: 0 | 1) {
  const server = pathToFileURL(join(root, 'bench', 'streams', 'aedes-broker.mjs')).pathname;
  const broker = spawn(process.execPath, [server], { stdio: ['ignore', 'pipe', 'inherit'] });
  const port = Number(/\d+/.exec(await firstLine(broker))?.[0]);
  const guide = spawn(bridge, [`127.0.0.1:${port}`, kafka, topic, String(qos)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await firstLine(guide);
  return { port, children: [guide, broker] };
}

/** Publishes all messages, and waits until Kafka has received them, or has received none for five seconds. */
async function measure(
  port: number,
  qos: 0 | 1,
  { messages, kafka }: Setting,
  children: readonly ChildProcess[],
): Promise<{ rate: number; lost: number; cpu: number }> {
  const used = () => children.reduce((sum, { pid }) => sum + cpuSeconds(pid!), 0);
  const admin = kafkaPeer(kafka).admin();
  await admin.connect();
  const stored = async () => Number((await admin.fetchTopicOffsets(topic))[0]?.high ?? 0);
  try {
    const before = await stored();
    const blast = await prepareBlast({ port, topic, payloads: guideMessages(messages), qos });
    const cpu = used();
    const started = performance.now();
    let [last, changed] = [0, started];
    const published = blast();
    for (;;) {
      const now = (await stored()) - before;
      if (now > last) [last, changed] = [now, performance.now()];
      if (now >= messages || performance.now() - changed > 5000) break;
      await delay(10);
    }
    await published;
    return {
      rate: (last * 1000) / (changed - started),
      lost: Math.max(0, messages - last),
      cpu: used() - cpu,
    };
  } finally {
    await admin.disconnect();
  }
}

async function firstLine(child: ChildProcess): Promise<string> {
  for await (const line of createInterface({ input: child.stdout as NodeJS.ReadableStream })) return line;
  throw new Error(`${child.spawnargs.join(' ')} exited without output`);
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill();
  await exited;
}

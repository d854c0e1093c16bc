// `tail --format raw` against mosquitto_sub: the same messages from the same broker, in turn, from the first byte to the last.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { type Consumed, startConsumer } from './consumer.js';
import { guideMessages } from './guide.js';
import { prepareBlast } from './mqtt-blast.js';

const root = fileURLToPath(new URL('../..', import.meta.url));

export interface Figure {
  what: string;
  /** Messages a second. */
  ours: number;
  theirs: number;
  /** CPU seconds of the whole process. */
  ourCpu: number;
  theirCpu: number;
  /** Median of the pairs. */
  ratio: number;
  least: number;
}

interface Broker {
  port: number;
  /** Resolves when one more client has subscribed. */
  subscribed(): Promise<void>;
  stop(): Promise<void>;
}

/** Each case of `tail` against mosquitto_sub: both brokers (Mosquitto alone in the short form), QoS 0 and 1, and with an expression. */
export async function mqttFigures(options: {
  messages: number;
  rounds: number;
  short?: boolean;
}): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const [name, start] of [
    ['mosquitto', startMosquitto],
    ['aedes', startAedes],
  ] as const) {
    if (options.short && start === startAedes) continue;
    for (const qos of [0, 1] as const) {
      const broker = await start();
      try {
        figures.push(await compare(`${name}, QoS ${qos}`, broker, qos, [], 0.8, options));
        if (qos === 0) {
          const where = ['--where', 'temperature > 0'];
          figures.push(await compare(`${name}, QoS ${qos}, --where`, broker, qos, where, 0.5, options));
        }
      } finally {
        await broker.stop();
      }
    }
  }
  return figures;
}

async function compare(
  what: string,
  broker: Broker,
  qos: 0 | 1,
  flags: string[],
  least: number,
  { messages, rounds }: { messages: number; rounds: number },
): Promise<Figure> {
  const payloads = guideMessages(messages);
  const expected = payloads.reduce((sum, { length }) => sum + length + 1, 0);
  const ours: Consumed[] = [];
  const theirs: Consumed[] = [];
  for (let round = 0; round < rounds; round++) {
    const url = `mqtt://127.0.0.1:${broker.port}/t/#`;
    const tail = [
      'stream',
      'tail',
      url,
      '--count',
      String(messages),
      '--qos',
      String(qos),
      '--format',
      'raw',
    ];
    const own = [process.execPath, join(root, 'bin', 'run.js'), ...tail, ...flags];
    const sub = [
      '-h',
      '127.0.0.1',
      '-p',
      String(broker.port),
      '-t',
      't/#',
      '-q',
      String(qos),
      '-C',
      String(messages),
    ];
    for (const [list, [command = '', ...args]] of [
      [theirs, ['mosquitto_sub', ...sub]],
      [ours, own],
    ] as const) {
      const blast = await prepareBlast({ port: broker.port, topic: 't/a', payloads, qos });
      const subscribed = broker.subscribed();
      const consumer = startConsumer(command, args, expected);
      await Promise.race([subscribed, consumer.done]);
      await delay(300);
      await Promise.all([blast(), consumer.done]);
      list.push(await consumer.done);
    }
  }
  const rate = (list: Consumed[]) => messages / Math.min(...list.map(({ seconds }) => seconds));
  const cpu = (list: Consumed[]) => Math.min(...list.map((one) => one.cpu));
  const ratios = ours.map(({ seconds }, index) => theirs[index]!.seconds / seconds).sort((a, b) => a - b);
  return {
    ...{ what, least, ours: rate(ours), theirs: rate(theirs), ourCpu: cpu(ours), theirCpu: cpu(theirs) },
    ratio: ratios[Math.floor(ratios.length / 2)]!,
  };
}

async function startMosquitto(): Promise<Broker> {
  const folder = await mkdtemp(join(tmpdir(), 'aiot-bench-mosquitto-'));
  const port = await freePort();
  const config = join(folder, 'mosquitto.conf');
  // Without its limits: by default it drops what a subscriber does not take at once.
  const lines = [`listener ${port} 127.0.0.1`, 'allow_anonymous true', 'max_queued_messages 0'];
  await writeFile(config, [...lines, 'log_dest stderr', 'log_type subscribe', ''].join('\n'));
  const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` };
  const child = spawn('mosquitto', ['-c', config], { stdio: ['ignore', 'ignore', 'pipe'], env });
  await delay(500);
  return brokerOf(child, port, () => rm(folder, { recursive: true, force: true }));
}

async function startAedes(): Promise<Broker> {
  const script = fileURLToPath(new URL('aedes-broker.mjs', import.meta.url));
  const child = spawn(process.execPath, [script], { stdio: ['ignore', 'pipe', 'pipe'] });
  const [port] = await once(child.stdout!, 'data');
  return brokerOf(child, Number(String(port)), async () => {});
}

function brokerOf(child: ChildProcess, port: number, clean: () => Promise<void>): Broker {
  return {
    port,
    subscribed: async () => {
      for (;;) {
        const [text] = await once(child.stderr!, 'data');
        if (/t\/#|subscribed/.test(String(text))) return;
      }
    },
    async stop() {
      const exited = once(child, 'exit');
      child.kill();
      await exited;
      await clean();
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  for (const figure of await mqttFigures({
    messages: Number(process.argv[2] ?? 100_000),
    rounds: Number(process.argv[3] ?? 3),
  })) {
    const { what, ours, theirs, ratio, ourCpu, theirCpu } = figure;
    const thousands = (rate: number) => `${(rate / 1000).toFixed(1)} k/s`;
    console.log(
      `${what}: ${thousands(ours)} (${ourCpu} CPU s), mosquitto_sub ${thousands(theirs)} (${theirCpu}); ×${ratio.toFixed(2)}`,
    );
  }
}

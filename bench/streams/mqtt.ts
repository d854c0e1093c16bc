// `tail --format raw` compared with mosquitto_sub: the same messages from the same broker, alternating, from the first byte to the last.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { root } from '../harness/process.js';
import { type Consumed, cpuNote, startConsumer } from './consumer.js';
import { guideMessages } from './guide.js';
import { prepareBlast } from './mqtt-blast.js';

/** Rates of both programs in each round. */
export interface Compared {
  what: string;
  /** Messages per second. */
  ours: number[];
  theirs: number[];
  least: number;
  /** Additional observations, and a reason to fail regardless of the rate. */
  note?: string;
  fails?: string;
}

interface Broker {
  port: number;
  /** Resolves when another client has subscribed since the last call. */
  subscribed(): Promise<void>;
  stop(): Promise<void>;
}

/** Compares each case of `tail` with mosquitto_sub: both brokers (only Mosquitto in a quick run), QoS 0 and 1, and with an expression. */
export async function mqttFigures(options: {
  messages: number;
  rounds: number;
  quick?: boolean;
}): Promise<Compared[]> {
  const figures: Compared[] = [];
  for (const [name, start] of [
    ['mosquitto', startMosquitto],
    ['aedes', startAedes],
  ] as const) {
    if (options.quick && start === startAedes) continue;
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

/** Messages per second of `tail` at QoS 1 from Mosquitto, measured once. */
export async function tailRate(messages: number): Promise<number> {
  const broker = await startMosquitto();
  try {
    const { ours } = await compare(`tail, ${messages}`, broker, 1, [], 0.8, { messages, rounds: 1 });
    return ours[0]!;
  } finally {
    await broker.stop();
  }
}

async function compare(
  what: string,
  broker: Broker,
  qos: 0 | 1,
  flags: string[],
  least: number,
  { messages, rounds }: { messages: number; rounds: number },
): Promise<Compared> {
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
  const rates = (list: Consumed[]) => list.map(({ seconds }) => messages / seconds);
  return { what, least, ours: rates(ours), theirs: rates(theirs), note: cpuNote(ours, theirs) };
}

async function startMosquitto(): Promise<Broker> {
  const folder = await mkdtemp(join(tmpdir(), 'aiot-bench-mosquitto-'));
  const port = await freePort();
  const config = join(folder, 'mosquitto.conf');
  // Mosquitto's queue limits are disabled, because by default it drops messages that a subscriber does not accept immediately.
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

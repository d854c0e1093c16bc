// `tail --format raw` of a JetStream stream compared with the loop of the nats package's own client, alternating, from the first byte to
// the last.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { connect } from 'nats';
import { root } from '../harness/process.js';
import { type Consumed, cpuNote, startConsumer } from './consumer.js';
import { guideMessages } from './guide.js';
import type { Compared } from './mqtt.js';

const stream = 'BENCH';

/** Compares `stream tail`, with and without an expression, against the read loop of the nats package, which evaluates no expression. */
export async function natsFigures(options: { messages: number; rounds: number }): Promise<Compared[]> {
  const server = await startServer();
  try {
    const expected = await fill(server.port, options.messages);
    const plain = await compare('JetStream', server.port, [], 0.8, expected, options);
    const where = ['--where', 'temperature > 0'];
    return [plain, await compare('JetStream, --where', server.port, where, 0.5, expected, options)];
  } finally {
    await server.stop();
  }
}

async function compare(
  what: string,
  port: number,
  flags: string[],
  least: number,
  expected: number,
  { messages, rounds }: { messages: number; rounds: number },
): Promise<Compared> {
  const ours: Consumed[] = [];
  const theirs: Consumed[] = [];
  const url = `nats://127.0.0.1:${port}/bench.>`;
  const count = String(messages);
  const own = [
    ...[join(root, 'bin', 'run.js'), 'stream', 'tail', url, '--jetstream', stream, '--from', 'beginning'],
    ...['--count', count, '--format', 'raw', ...flags],
  ];
  const reader = [join(root, 'bench', 'streams', 'nats-reader.mjs'), String(port), stream, count];
  for (let round = 0; round < rounds; round++) {
    theirs.push(await startConsumer(process.execPath, reader, expected).done);
    ours.push(await startConsumer(process.execPath, own, expected).done);
  }
  const rates = (list: Consumed[]) => list.map(({ seconds }) => messages / seconds);
  return { what, least, ours: rates(ours), theirs: rates(theirs), note: cpuNote(ours, theirs) };
}

/** @returns the number of bytes that a reader prints, including line endings */
async function fill(port: number, count: number): Promise<number> {
  const nc = await connect({ servers: `127.0.0.1:${port}` });
  const manager = await nc.jetstreamManager();
  await manager.streams.add({ name: stream, subjects: ['bench.>'] });
  const messages = guideMessages(count);
  const js = nc.jetstream();
  for (let at = 0; at < count; at += 1000) {
    await Promise.all(messages.slice(at, at + 1000).map((message) => js.publish('bench.motor', message)));
  }
  await nc.close();
  return messages.reduce((sum, { length }) => sum + length + 1, 0);
}

async function startServer(): Promise<{ port: number; stop(): Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), 'aiot-bench-nats-'));
  const port = await freePort();
  const config = join(folder, 'nats.conf');
  await writeFile(config, `listen: "127.0.0.1:${port}"\njetstream { store_dir: "${folder}" }\n`);
  const server: ChildProcess = spawn('nats-server', ['-c', config], {
    stdio: ['ignore', 'ignore', 'pipe'],
    // Debian installs daemons outside a user's PATH.
    env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` },
  });
  let log = '';
  server.stderr?.on('data', (chunk) => {
    log += chunk;
  });
  for (let tries = 0; !log.includes('Server is ready'); tries++) {
    if (tries > 400) throw new Error(`nats-server: ${log}`);
    await delay(25);
  }
  return {
    port,
    async stop() {
      const exited = once(server, 'exit');
      server.kill('SIGKILL');
      await exited;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  return typeof address === 'object' && address ? address.port : 0;
}

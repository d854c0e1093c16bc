// The usual alternative for storing messages: Redis streams, with the file synced before each response (appendfsync always). The numbers
// of clients and unacknowledged messages equal those of our publishers, but there is no TLS.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { startRedis } from '../../test/support/redis.js';
import { devices, type Ingest, onTheWay } from './ingest.js';

export async function startRedisIngest(): Promise<Ingest> {
  const redis = await startRedis(['--appendonly', 'yes', '--appendfsync', 'always']);
  const clients: Client[] = [];
  for (let i = 0; i < devices; i++) clients.push(await openClient(redis.port));
  return {
    async rate(messages, payloadOf, recording) {
      const each = Math.ceil(messages / clients.length);
      // All commands are created before the clock starts.
      const commands = clients.map((_, device) =>
        Array.from({ length: each }, (_, seq) =>
          command('XADD', `telemetry:bench-${device}`, '*', 'd', payloadOf(seq, recording)),
        ),
      );
      const began = performance.now();
      await Promise.all(clients.map((client, i) => client.send(commands[i] ?? [])));
      return (each * clients.length) / ((performance.now() - began) / 1000);
    },
    async stop() {
      for (const { socket } of clients) socket.destroy();
      await redis.stop();
    },
  };
}

interface Client {
  socket: Socket;
  send(commands: readonly Buffer[]): Promise<void>;
}

async function openClient(port: number): Promise<Client> {
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  let answered = 0;
  let told = () => {};
  // Each response is `$15\r\n1795…-0\r\n` and contains exactly one `$`, so counting these counts responses.
  socket.on('data', (chunk: Buffer) => {
    for (let at = chunk.indexOf(0x24); at >= 0; at = chunk.indexOf(0x24, at + 1)) answered++;
    if (chunk.includes('-ERR')) socket.destroy(new Error(chunk.toString()));
    told();
  });
  const until = async (least: number) => {
    while (answered < least) await new Promise<void>((resolve) => (told = resolve));
  };
  let sent = 0;
  return {
    socket,
    async send(commands) {
      for (let from = 0; from < commands.length; from += 100) {
        const some = commands.slice(from, from + 100);
        sent += some.length;
        if (!socket.write(Buffer.concat(some))) await once(socket, 'drain');
        await until(sent - onTheWay);
      }
      await until(sent);
    },
  };
}

/** A command of Redis's protocol (RESP 2: an array of bulk strings). */
function command(...words: string[]): Buffer {
  const parts = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`);
  return Buffer.from(`*${words.length}\r\n${parts.join('')}`);
}

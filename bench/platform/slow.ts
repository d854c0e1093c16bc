// Downloads by clients that do not read: the platform's memory per client while the response is pending.
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { connect, type TLSSocket } from 'node:tls';
import { createClient } from '../../src/lib/api/client.js';
import { digestOf } from '../../src/lib/core/crypto.js';
import { memoryOf } from '../harness/process.js';
import { startPlatformProcess } from './process.js';

export interface SlowFigure {
  what: string;
  clients: number;
  /** Memory of the platform's process before the clients connect and with all of them connected, MB. */
  before: number;
  memory: number;
}

/** Measures memory with clients that send a request, read the first bytes of the response, and then stop reading. */
export async function slowFigures(folder: () => string, clients: number): Promise<SlowFigure[]> {
  const figures: SlowFigure[] = [];
  for (const [what, bytes] of [
    ['a blob of 1 MiB', 1024 ** 2],
    ['a blob of 16 MiB', 16 * 1024 ** 2],
  ] as const)
    figures.push({ what, clients, ...(await measure(folder(), clients, bytes)) });
  return figures;
}

async function measure(folder: string, clients: number, bytes: number) {
  const platform = await startPlatformProcess(folder);
  const sockets: TLSSocket[] = [];
  try {
    const ca = readFileSync(platform.ca, 'utf8');
    const { http, token } = { http: platform.urls.http, token: platform.token };
    const content = randomBytes(bytes);
    const client = createClient({ url: http, ca, token });
    await client.blobs.put(digestOf(content), content);
    await client.close();
    const { hostname, port } = new URL(http);
    const ask = `GET /api/v1/blobs/${digestOf(content)} HTTP/1.1\r\nhost: ${hostname}\r\nauthorization: Bearer ${token}\r\n\r\n`;
    const open = async () => {
      const socket = connect({ port: Number(port), host: hostname, ca });
      await once(socket, 'secureConnect');
      socket.write(ask);
      const [first] = (await once(socket, 'data')) as [Buffer];
      socket.pause();
      if (!first.toString('latin1').startsWith('HTTP/1.1 200'))
        throw new Error(first.toString('latin1', 0, 100));
      sockets.push(socket);
    };
    const before = memoryOf(platform.child.pid!);
    for (let from = 0; from < clients; from += 20) await Promise.all(Array.from({ length: 20 }, open));
    await delay(3000);
    const memory = memoryOf(platform.child.pid!);
    const lost = sockets.filter((socket) => socket.destroyed).length;
    if (lost > 0) throw new Error(`${lost} of ${clients} clients were disconnected`);
    return { before, memory };
  } finally {
    for (const socket of sockets) socket.destroy();
    await platform.stop();
  }
}

// Simultaneous downloads by a fleet: many TLS connections request the same blob at the same moment, from the platform and from nginx.
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect, type TLSSocket } from 'node:tls';
import { createClient } from '../../src/lib/api/client.js';
import { digestOf } from '../../src/lib/core/crypto.js';
import { memoryOf } from '../harness/process.js';
import { startNginx } from '../platform/nginx.js';
import { startPlatformProcess } from '../platform/process.js';

export interface BlobFigures {
  clients: number;
  bytes: number;
  /** Seconds until all downloads are complete, per round. */
  ours: number[];
  theirs: number[];
  /** Resident memory of the platform with all clients connected, and its peak while they download, MB. */
  before: number;
  most: number;
}

export async function blobFigures(options: {
  folder: string;
  clients: number;
  bytes: number;
  rounds: number;
}): Promise<BlobFigures> {
  const { folder, clients, bytes, rounds } = options;
  const platform = await startPlatformProcess(join(folder, 'platform'));
  const content = randomBytes(bytes);
  const ca = readFileSync(platform.ca, 'utf8');
  const client = createClient({ url: platform.urls.http, ca, token: platform.token });
  await client.blobs.put(digestOf(content), content);
  await client.close();
  mkdirSync(join(folder, 'nginx'));
  const nginx = await startNginx(join(folder, 'nginx'), platform.pki, content);
  const token = `authorization: Bearer ${platform.token}\r\n`;
  const sides = {
    ours: { url: `${platform.urls.http}/api/v1/blobs/${digestOf(content)}`, headers: token },
    theirs: { url: `${nginx.url}/blob`, headers: '' },
  };
  const pids = { ours: platform.child.pid!, theirs: nginx.worker() };
  const seconds = { ours: [] as number[], theirs: [] as number[] };
  let before = 0;
  let most = 0;
  try {
    for (let round = 0; round < rounds; round++) {
      for (const side of ['ours', 'theirs'] as const) {
        const sockets = await Promise.all(Array.from({ length: clients }, () => open(sides[side].url, ca)));
        const pid = pids[side];
        const beginning = memoryOf(pid);
        let peak = beginning;
        const watch = setInterval(() => {
          peak = Math.max(peak, memoryOf(pid));
        }, 20);
        const begun = performance.now();
        await Promise.all(sockets.map((socket) => download(socket, sides[side], bytes)));
        seconds[side].push((performance.now() - begun) / 1000);
        clearInterval(watch);
        if (side === 'ours' && peak - beginning >= most - before) [before, most] = [beginning, peak];
        for (const socket of sockets) socket.destroy();
      }
    }
  } finally {
    await nginx.stop();
    await platform.stop();
  }
  return {
    ...{ clients, bytes, before, most },
    ...seconds,
  };
}

async function open(url: string, ca: string): Promise<TLSSocket> {
  const { hostname, port } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port), ca });
  await once(socket, 'secureConnect');
  return socket;
}

/** @throws if the response is not the whole blob */
async function download(
  socket: TLSSocket,
  { url, headers }: { url: string; headers: string },
  bytes: number,
): Promise<void> {
  const { host, pathname } = new URL(url);
  socket.write(`GET ${pathname} HTTP/1.1\r\nhost: ${host}\r\n${headers}\r\n`);
  let head = '';
  let left = -1;
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    let body = chunk.length;
    if (left < 0) {
      head += chunk.toString('latin1');
      const end = head.indexOf('\r\n\r\n');
      if (end < 0) continue;
      if (!head.startsWith('HTTP/1.1 200')) throw new Error(head.slice(0, 200));
      left = bytes;
      body = head.length - end - 4;
      head = head.slice(0, end);
    }
    left -= body;
    if (left <= 0) break;
  }
  if (left !== 0) throw new Error(`${url}: ${left} bytes are missing`);
}

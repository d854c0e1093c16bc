import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { Target } from '../types.js';

type Mode = 'pass' | 'delay' | 'cut' | 'truncate' | 'blackhole';
/** Delay per direction, ms. */
const delayMs = 120;

/** A TCP link to a loopback port, which can be degraded. */
export interface Link extends Target {
  port: number;
  close(): Promise<void>;
}

/**
 * Opens a link to a loopback port. With several ports, each connection goes to the next one that accepts it, as through a load balancer.
 */
export async function openLink(...to: readonly [number, ...number[]]): Promise<Link> {
  let mode: Mode = 'pass';
  let turn = 0;
  const pairs = new Set<readonly [Socket, Socket]>();
  const drop = (how: (socket: Socket) => void) => {
    for (const pair of pairs) for (const socket of pair) how(socket);
  };
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, async (near) => {
    near.on('error', () => {});
    const first = turn++;
    const far =
      mode === 'cut' ? null : await dial(to.map((_port, i) => to[(first + i) % to.length] as number));
    if (far === null) {
      near.resetAndDestroy();
      return;
    }
    const pair = [near, far] as const;
    pairs.add(pair);
    carry(near, far, () => mode);
    carry(far, near, () => mode);
    const end = () => {
      pairs.delete(pair);
      near.destroy();
      far.destroy();
    };
    for (const socket of pair) {
      socket.on('error', end).on('close', end);
      if (mode === 'blackhole') socket.pause();
      else socket.resume();
    }
    if (near.destroyed) end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const during = async (next: Mode, forMs: number) => {
    mode = next;
    await delay(forMs);
    mode = 'pass';
  };
  return {
    port: (server.address() as AddressInfo).port,
    delay: (forMs) => during('delay', forMs),
    async cut(forMs) {
      drop((socket) => socket.destroy());
      await during('cut', forMs);
    },
    async reset() {
      drop((socket) => socket.resetAndDestroy());
    },
    truncate: (forMs) => during('truncate', forMs),
    async blackhole(forMs) {
      drop((socket) => socket.pause());
      await during('blackhole', forMs);
      drop((socket) => socket.resume());
    },
    async close() {
      server.close();
      drop((socket) => socket.destroy());
      await once(server, 'close');
    },
  };
}

/** Connects to the first port that accepts; null if none does. */
async function dial(ports: readonly number[]): Promise<Socket | null> {
  for (const port of ports) {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    try {
      await once(socket, 'connect');
      return socket;
    } catch {
      // The next one may accept.
    }
  }
  return null;
}

/**
 * Forwards one direction of a connection. In mode `truncate`, the connection ends in the middle of a chunk.
 */
function carry(from: Socket, to: Socket, mode: () => Mode): void {
  let late: Promise<void> | undefined;
  from.on('data', (bytes) => {
    if (mode() === 'truncate') {
      to.end(bytes.subarray(0, bytes.length >> 1));
      from.destroy();
      return;
    }
    const write = () => {
      if (to.destroyed || to.write(bytes)) return;
      from.pause();
      to.once('drain', () => from.resume());
    };
    if (mode() !== 'delay' && !late) return write();
    // Keeps the order: a chunk waits for delayed chunks before it, even after the delay has ended.
    const mine = Promise.all([late, delay(mode() === 'delay' ? delayMs : 0)]).then(write);
    late = mine;
    void mine.then(() => {
      if (late === mine) late = undefined;
    });
  });
  from.on('end', () => {
    if (late) void late.then(() => to.end());
    else to.end();
  });
}

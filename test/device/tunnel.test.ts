import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { Tunnel } from '../../src/lib/device/remote/tunnel.js';

let server: WebSocketServer;
let near: Tunnel;
/** The other end of the channel that `near` opens. */
let far: Promise<Duplex>;

beforeEach(async () => {
  server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  await once(server, 'listening');
  far = new Promise((resolve) => {
    server.once('connection', (socket) => new Tunnel(socket, { onChannel: resolve }));
  });
  const socket = new WebSocket(`ws://127.0.0.1:${(server.address() as { port: number }).port}`);
  await once(socket, 'open');
  near = new Tunnel(socket, {});
});
afterEach(async () => {
  near.close();
  await near.closed;
  await new Promise((resolve) => server.close(resolve));
});

const bytes = Buffer.from(Array.from({ length: 1 << 20 }, (_, i) => (i * 7 + (i >> 8)) & 255));
/** How much may be sent before the other side reads, bytes. */
const windowBytes = 256 * 1024;

it('a channel continues after its reader has read nothing until no more was granted', async () => {
  near.open().end(bytes);
  const channel = await far;
  await expect.poll(() => channel.readableLength).toBe(windowBytes);
  const parts: Buffer[] = [];
  for await (const part of channel as AsyncIterable<Buffer>) parts.push(part);
  expect(Buffer.concat(parts).equals(bytes)).toBe(true);
});

it('a channel continues after its reader was slower than its sender', async () => {
  near.open().end(bytes);
  const channel = await far;
  await expect.poll(() => channel.readableLength).toBe(windowBytes);
  const parts: Buffer[] = [];
  channel.on('data', (part: Buffer) => {
    parts.push(part);
    channel.pause();
    setImmediate(() => channel.resume());
  });
  await once(channel, 'end');
  expect(Buffer.concat(parts).equals(bytes)).toBe(true);
});

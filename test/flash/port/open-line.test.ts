import { once } from 'node:events';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { openLine } from '../../../src/lib/flash/port/open-line.js';

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

async function served(): Promise<{ address: string; peer: Promise<Socket> }> {
  const server = createServer();
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const peer = once(server, 'connection').then(([socket]) => socket as Socket);
  return { address: `socket://127.0.0.1:${(server.address() as AddressInfo).port}`, peer };
}

describe('a line over a socket', () => {
  it('transfers bytes in both directions and buffers bytes that arrive before a listener is attached', async () => {
    const { address, peer } = await served();
    const line = await openLine(address, { baud: 115_200 });
    const far = await peer;
    far.write(Buffer.from([1, 2, 3]));
    // Usually long enough for the bytes to arrive before a listener is attached; they must be delivered in either case.
    await new Promise((resolve) => setTimeout(resolve, 50));
    const got: number[] = [];
    line.listen({ data: (bytes) => got.push(...bytes), closed: () => {} });
    await vi.waitFor(() => expect(got).toEqual([1, 2, 3]), 10_000);
    await line.write(Uint8Array.of(9));
    const [chunk] = await once(far, 'data');
    expect([...chunk]).toEqual([9]);
    expect(line).toMatchObject({ kind: 'socket', hasControlLines: false, usb: null, address });
    await line.close();
  });

  it('reports a disconnected peer, and rejects further writes', async () => {
    const { address, peer } = await served();
    const line = await openLine(address, { baud: 115_200 });
    const ended = new Promise<Error | null>((resolve) => line.listen({ data: () => {}, closed: resolve }));
    (await peer).destroy();
    expect(await ended).toMatchObject({ code: 'AIOT_SERIAL_LOST' });
    await expect(line.write(Uint8Array.of(1))).rejects.toMatchObject({ code: 'AIOT_SERIAL_LOST' });
    await line.close();
    await line.close();
  });

  it('distinguishes its own close from a lost connection', async () => {
    const { address } = await served();
    const line = await openLine(address, { baud: 115_200 });
    const ended = new Promise<Error | null>((resolve) => line.listen({ data: () => {}, closed: resolve }));
    await line.close();
    expect(await ended).toBeNull();
  });
});

describe('a line that cannot be opened', () => {
  const file = join(mkdtempSync(join(tmpdir(), 'aiot-line-')), 'file');
  writeFileSync(file, '');
  it.each([
    ['a missing port', '/dev/ttyNOTHERE7', 'AIOT_SERIAL_NOT_FOUND', 'no serial port at /dev/ttyNOTHERE7'],
    ['a file', file, 'AIOT_SERIAL_NOT_FOUND', `not a serial port: ${file}`],
    ['a device that is not a terminal', '/dev/null', 'AIOT_SERIAL_NOT_FOUND', 'not a serial port: /dev/null'],
    ['an unknown scheme', 'ftp://host:1', 'AIOT_USAGE', 'ftp:// is not a serial port scheme'],
    ['a socket without a port', 'socket://host', 'AIOT_USAGE', 'socket://host'],
    ['a socket with port 0', 'socket://127.0.0.1:0', 'AIOT_USAGE', 'socket://127.0.0.1:0'],
  ])('%s is rejected', async (_, address, code, message) => {
    const failure = openLine(address, { baud: 115_200 });
    await expect(failure).rejects.toMatchObject({ code, message: expect.stringContaining(message) });
  });

  it.each([0, -9600, 1.5, Number.NaN])('%d baud is rejected', async (baud) => {
    await expect(openLine('socket://127.0.0.1:9', { baud })).rejects.toMatchObject({
      code: 'AIOT_SERIAL_BAUD',
    });
  });

  it('a socket without a listener is reported with the system’s reason', async () => {
    const { address } = await served();
    for (const server of servers.splice(0)) await new Promise((resolve) => server.close(resolve));
    await expect(openLine(address, { baud: 115_200 })).rejects.toMatchObject({
      code: 'AIOT_SERIAL_NOT_FOUND',
      message: `no serial port is served at ${address} (ECONNREFUSED)`,
    });
  });
});

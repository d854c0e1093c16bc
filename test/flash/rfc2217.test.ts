import { connect, createServer, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { openRfc2217Line } from '../../src/lib/flash/port/rfc2217-client.js';
import { type ServedLine, type ServeEvent, serveLine } from '../../src/lib/flash/port/rfc2217-server.js';
import {
  controlChanges,
  escapeData,
  type TelnetEvent,
  TelnetReader,
} from '../../src/lib/flash/port/telnet.js';
import { fc } from '../support/property.js';
import { FakeLine } from './fake-line.js';

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function serve(line: FakeLine, more: { raw?: boolean; onEvent?: (event: ServeEvent) => void } = {}) {
  const served = await serveLine(async () => line, { port: 0, ...more });
  ends.push(() => served.close());
  return served;
}

async function open(served: ServedLine, baud = 115_200) {
  const client = await openRfc2217Line(served.address, { baud });
  ends.push(() => client.close());
  const got: number[] = [];
  let end: Error | null | undefined;
  client.listen({
    data: (bytes) => got.push(...bytes),
    closed: (error) => {
      end = error;
    },
  });
  return { client, got, end: () => end };
}

const until = (check: () => boolean) =>
  vi.waitFor(() => expect(check()).toBe(true), { timeout: 20_000, interval: 2 });
const everyByte = Uint8Array.from({ length: 1024 }, (_, i) => i & 0xff);

describe('a Telnet stream', () => {
  it('returns the data, however it is split', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.array(fc.nat(50)), (bytes, cuts) => {
        const wire = escapeData(bytes);
        const reader = new TelnetReader();
        const events: TelnetEvent[] = [];
        let at = 0;
        for (const cut of [...cuts, wire.length]) {
          events.push(...reader.read(wire.subarray(at, at + cut)));
          at += cut;
        }
        const data = events.flatMap((event) => (event.kind === 'data' ? [...event.bytes] : []));
        expect(data).toEqual([...bytes]);
      }),
    );
  });

  it('separates data, options and subnegotiations, and unescapes doubled FF bytes', () => {
    const wire = [
      0x41, 0xff, 0xff, 0xff, 0xfb, 44, 0xff, 0xf1, 0xff, 0xfa, 44, 1, 0xff, 0xff, 0, 0xff, 0xf0, 0x42,
    ];
    expect(new TelnetReader().read(Uint8Array.from(wire))).toEqual([
      { kind: 'data', bytes: Uint8Array.of(0x41) },
      { kind: 'data', bytes: Uint8Array.of(0xff) },
      { kind: 'negotiate', verb: 0xfb, option: 44 },
      { kind: 'sub', option: 44, bytes: Uint8Array.of(1, 0xff, 0) },
      { kind: 'data', bytes: Uint8Array.of(0x42) },
    ]);
  });

  it('limits the length of a subnegotiation', () => {
    const reader = new TelnetReader();
    reader.read(Uint8Array.of(0xff, 0xfa, 44));
    for (let i = 0; i < 100; i++) reader.read(new Uint8Array(1000));
    const [event] = reader.read(Uint8Array.of(0xff, 0xf0));
    expect(event?.kind === 'sub' && event.bytes.length).toBe(1023);
  });
});

describe('the order in which DTR and RTS change', () => {
  it.each([
    ['out of reset into the loader', { dtr: false, rts: true }, { dtr: true, rts: false }, [8, 12]],
    ['both released', { dtr: true, rts: true }, { dtr: false, rts: false }, [12, 9]],
    ['both asserted', { dtr: false, rts: false }, { dtr: true, rts: true }, [8, 11]],
    ['only one changes', { dtr: true, rts: false }, { dtr: false, rts: false }, [9]],
    ['nothing', { dtr: true, rts: false }, { dtr: true, rts: false }, []],
    ['from an unknown state', {}, { dtr: false, rts: false }, [12, 9]],
  ])('%s', (_, from, to, values) => {
    expect(controlChanges(from, to)).toEqual(values);
  });
});

describe('a line over RFC 2217', () => {
  it('transfers every byte in both directions, and sets the baud rate', async () => {
    const line = new FakeLine();
    line.echo = true;
    const { client, got } = await open(await serve(line), 460_800);
    expect([client.baud, line.baud, client.hasControlLines]).toEqual([460_800, 460_800, true]);
    await client.write(everyByte);
    await until(() => got.length === everyByte.length);
    expect(got).toEqual([...everyByte]);
    expect(line.sent).toEqual([...everyByte]);
    await client.setBaud(921_600);
    expect([client.baud, line.baud]).toEqual([921_600, 921_600]);
  });

  it('opens and closes without touching DTR and RTS', async () => {
    const line = new FakeLine();
    const { client } = await open(await serve(line));
    await client.write(Uint8Array.of(1));
    await client.close();
    await until(() => line.sent.length === 1);
    expect(line.log.filter((entry) => entry.startsWith('lines'))).toEqual([]);
  });

  it('sets both lines at once when a chip leaves reset for its loader', async () => {
    const line = new FakeLine();
    const { client } = await open(await serve(line));
    for (const [dtr, rts] of [
      [false, true],
      [true, false],
      [false, false],
    ] as const)
      await client.setControlLines({ dtr, rts });
    await until(() => line.log.length === 3);
    expect(line.log).toEqual(['lines:0,1', 'lines:1,0', 'lines:0,0']);
  });

  it('sets both lines at once even if a client pauses between them', async () => {
    const line = new FakeLine();
    const served = await serve(line);
    const socket = connect(served.port, '127.0.0.1');
    ends.push(() => socket.destroy());
    for (const value of [11, 8, 12, 8]) {
      socket.write(Uint8Array.of(0xff, 0xfa, 44, 5, value, 0xff, 0xf0));
      await delay(40);
    }
    await until(() => line.log.length === 3);
    expect(line.log).toEqual(['lines:0,1', 'lines:1,0', 'lines:1,0']);
  });

  it('sets only the first line if the second does not follow', async () => {
    const line = new FakeLine();
    const served = await serve(line);
    const socket = connect(served.port, '127.0.0.1');
    ends.push(() => socket.destroy());
    for (const value of [11, 8]) socket.write(Uint8Array.of(0xff, 0xfa, 44, 5, value, 0xff, 0xf0));
    await until(() => line.log.length === 2);
    expect(line.log).toEqual(['lines:0,1', 'lines:1,1']);
  });

  it('restores the baud rate and releases the lines when the client disconnects', async () => {
    const line = new FakeLine();
    const { client } = await open(await serve(line), 921_600);
    await client.setControlLines({ dtr: false, rts: true });
    await client.close();
    await until(() => line.log.length === 4);
    expect(line.log).toEqual(['baud:921600', 'lines:0,1', 'lines:0,0', 'baud:115200']);
    expect(line.closed).toBe(false);
  });

  it('reports a baud rate that the port does not support', async () => {
    const { client } = await open(await serve(new FakeLine()));
    await expect(client.setBaud(3_000_000)).rejects.toMatchObject({
      code: 'AIOT_SERIAL_BAUD',
      message: expect.stringContaining('stays at 115200 instead of 3000000'),
    });
    expect(client.baud).toBe(115_200);
  });

  it('accepts one client at a time, and gives a second one the reason', async () => {
    const line = new FakeLine();
    const served = await serve(line);
    const first = await open(served);
    await expect(openRfc2217Line(served.address, { baud: 115_200 })).rejects.toMatchObject({
      code: 'AIOT_SERIAL_BUSY',
      message: expect.stringContaining('another client is using this serial port'),
    });
    await first.client.close();
    await vi.waitFor(async () => (await open(served)).client, { timeout: 20_000 });
  });

  it('reports an unplugged cable to the client, and reopens the line for the next one', async () => {
    const lines = [new FakeLine(), new FakeLine()];
    const events: string[] = [];
    let opened = 0;
    const served = await serveLine(async () => lines[opened++] ?? new FakeLine(), {
      port: 0,
      onEvent: ({ event }) => events.push(event),
    });
    ends.push(() => served.close());
    const { client, end } = await open(served);
    lines[0]?.pull();
    await until(() => end() !== undefined);
    expect(end()).toMatchObject({ code: 'AIOT_SERIAL_LOST' });
    await expect(client.write(Uint8Array.of(1))).rejects.toMatchObject({ code: 'AIOT_SERIAL_LOST' });
    await open(served);
    expect(opened).toBe(2);
    expect(events).toEqual(['serving', 'connected', 'lost', 'disconnected', 'connected']);
  });

  it('closes the line with the server', async () => {
    const line = new FakeLine();
    const served = await serve(line);
    const { end } = await open(served);
    await served.close();
    await until(() => end() !== undefined);
    expect(line.closed).toBe(true);
    await expect(openRfc2217Line(served.address, { baud: 115_200 })).rejects.toMatchObject({
      code: 'AIOT_SERIAL_NOT_FOUND',
    });
  });

  it('transfers only bytes in raw mode', async () => {
    const line = new FakeLine();
    line.echo = true;
    const served = await serve(line, { raw: true });
    expect(served.address).toMatch(/^socket:/);
    const socket = connect(served.port, '127.0.0.1');
    ends.push(() => socket.destroy());
    const got: number[] = [];
    socket.on('data', (bytes) => got.push(...bytes));
    socket.write(everyByte);
    await until(() => got.length === everyByte.length);
    expect(got).toEqual([...everyByte]);
  });
});

describe('an RFC 2217 client', () => {
  async function listening(welcome: (socket: Socket) => void): Promise<string> {
    const server = createServer((socket) => {
      ends.push(() => socket.destroy());
      socket.on('error', () => undefined);
      welcome(socket);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    ends.push(() => server.close());
    const address = server.address();
    return `rfc2217://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`;
  }

  it('reports that a plain socket uses another protocol', async () => {
    const address = await listening((socket) => socket.write('SSH-2.0-OpenSSH\r\n'));
    await expect(openRfc2217Line(address, { baud: 115_200 })).rejects.toMatchObject({
      code: 'AIOT_USAGE',
      message: expect.stringContaining('does not speak RFC 2217 (it sent: SSH-2.0-OpenSSH)'),
    });
  }, 10_000);

  it('stops when it is aborted', async () => {
    const address = await listening(() => undefined);
    const signal = AbortSignal.timeout(50);
    await expect(openRfc2217Line(address, { baud: 115_200, signal })).rejects.toMatchObject({
      name: 'TimeoutError',
    });
  });

  it('rejects an address without a port', async () => {
    await expect(openRfc2217Line('rfc2217://here', { baud: 115_200 })).rejects.toMatchObject({
      code: 'AIOT_USAGE',
    });
  });
});

import { once } from 'node:events';
import { Agent } from 'node:https';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Crowd, limitsFor } from '../../src/lib/platform/connections.js';
import type { PlatformOptions } from '../../src/lib/platform/options.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';

import { connect, connectDevice } from '../support/mqtt.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { ask } from '../support/raw-http.js';

let own: TestPlatform;
let open: Socket[] = [];
/** Keeps one connection, which is authenticated by its first request, and so needs no new place for later ones. */
let kept: Agent;
beforeEach(() => {
  kept = new Agent({ keepAlive: true, maxSockets: 1 });
});
afterEach(async () => {
  kept.destroy();
  for (const socket of open) socket.destroy();
  open = [];
  await own.stop();
});
const start = async (options: Partial<PlatformOptions>) => {
  own = await testPlatform(options);
};
const portOf = (listener: 'http' | 'mqtts') => Number(new URL(own.platform.urls[listener]).port);

/** Opens a connection that sends nothing by itself, from one of this machine's loopback addresses. */
async function stranger(listener: 'http' | 'mqtts', from = '127.0.0.1'): Promise<Socket> {
  const socket = connectTcp({ port: portOf(listener), host: '127.0.0.1', localAddress: from });
  socket.on('error', () => {});
  open.push(socket);
  await once(socket, 'connect');
  return socket;
}
/**
 * Also resolves on a reset, which a client that is still writing may receive, and which would make `once`
 * reject.
 */
const whenClosed = (socket: Socket) => new Promise<void>((resolve) => socket.once('close', () => resolve()));
const many = (count: number, listener: 'http' | 'mqtts', from?: string) =>
  Promise.all(Array.from({ length: count }, () => stranger(listener, from)));
const closed = (sockets: readonly Socket[]) => sockets.filter(({ destroyed }) => destroyed).length;

/** A complete TLS 1.3 ClientHello, as written by OpenSSL. */
async function hello(): Promise<Buffer> {
  const [heard] = await new Promise<Buffer[]>((resolve) => {
    void import('node:net').then(({ createServer }) => {
      const server = createServer((socket) => socket.once('data', (data) => resolve([data])));
      server.listen(0, '127.0.0.1', () => {
        const { port } = server.address() as { port: number };
        const client = connectTls({ port, host: '127.0.0.1' });
        client.on('error', () => server.close());
        setTimeout(() => client.destroy(), 200);
      });
    });
  });
  return heard!;
}

async function figures(agent?: Agent): Promise<Record<string, number>> {
  const { text } = await ask(own, '/metrics', { ...(agent && { agent }) });
  return Object.fromEntries(
    [...text.matchAll(/^aiot_connections(?:\{state="(\w+)"\}|(_dropped)_total) (\d+)$/gm)].map(
      ([, state, dropped, value]) => [state ?? dropped!.slice(1), Number(value)],
    ),
  );
}

describe.each(['http', 'mqtts'] as const)('a connection to %s', (listener) => {
  it('is closed at the timeout without a complete ClientHello, even if bytes trickle in', async () => {
    await start({ connectionLimits: { helloMs: 1000 }, brokerLimits: { connectMs: 1000 } });
    const bytes = await hello();
    // The platform measures from the moment at which it accepts a connection.
    const began = performance.now();
    const silent = await stranger(listener);
    const slow = await stranger(listener);
    const ended = Promise.all([whenClosed(silent), whenClosed(slow)]);
    let sent = 0;
    const trickle = setInterval(() => {
      if (!slow.destroyed) slow.write(bytes.subarray(sent, ++sent));
    }, 50);
    silent.resume();
    slow.resume();
    await ended;
    clearInterval(trickle);
    expect(performance.now() - began).toBeGreaterThan(900);
    expect(performance.now() - began).toBeLessThan(5000);
  });

  it('is closed immediately if it starts with another protocol', async () => {
    await start({});
    const other = await stranger(listener);
    other.resume();
    other.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await whenClosed(other);
    expect(await figures()).toMatchObject({ silent: 0, waiting: 0 });
  });

  it('succeeds if its ClientHello arrives in pieces', async () => {
    await start({});
    const raw = await stranger(listener);
    const client: TLSSocket = connectTls({ socket: raw, ca: own.ca, servername: 'localhost' });
    await once(client, 'secureConnect');
    const pieces = await stranger(listener);
    const bytes = await hello();
    const answered = once(pieces, 'data');
    for (let at = 0; at < bytes.length; at += 100) {
      pieces.write(bytes.subarray(at, at + 100));
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    const [answer] = (await answered) as [Buffer];
    // A handshake record with the ServerHello.
    expect(answer[0]).toBe(0x16);
    client.destroy();
  });

  it('keeps its slot while one address opens more silent connections than allowed', async () => {
    await start({ connectionLimits: { strangers: 20 } });
    const other = await stranger(listener, '127.0.0.9');
    const crowd = await many(60, listener);
    await expect.poll(() => closed(crowd)).toBe(41);
    expect(other.destroyed).toBe(false);
    // The metrics request itself is another connection from the busy address.
    expect(await figures()).toMatchObject({ silent: 19, dropped: 42 });
    const client = connectTls({ socket: other, ca: own.ca, servername: 'localhost' });
    await once(client, 'secureConnect');
    client.destroy();
  });
});

describe('the slots for clients that have started TLS', () => {
  it('are shared among addresses: an address that uses all of them loses one to a new address', async () => {
    await start({ connectionLimits: { unproven: 5, patienceMs: 60_000 } });
    const bytes = await hello();
    await figures(kept);
    const stalled = await many(12, 'http', '127.0.0.7');
    for (const socket of stalled) {
      socket.resume();
      socket.write(bytes);
    }
    // Other connections from the same address wait for a slot.
    await expect.poll(() => figures(kept)).toMatchObject({ waiting: 7, unproven: 5 });
    expect(closed(stalled)).toBe(0);
    expect((await ask(own, '/api/v1/status')).status).toBe(200);
    const user = await connect(own.platform.urls.mqtts, { ca: own.ca, username: 'u', password: own.token });
    await user.endAsync();
  });

  it('are given up after a while if others from the same address wait', async () => {
    await start({ connectionLimits: { unproven: 5, patienceMs: 500 } });
    const bytes = await hello();
    await figures(kept);
    const began = performance.now();
    const stalled = await many(5, 'mqtts');
    for (const socket of stalled) {
      socket.resume();
      socket.write(bytes);
    }
    await expect.poll(() => figures(kept)).toMatchObject({ unproven: 5 });
    expect((await ask(own, '/api/v1/status')).status).toBe(200);
    expect(performance.now() - began).toBeGreaterThanOrEqual(500);
    expect(closed(stalled)).toBeGreaterThan(0);
  });

  it('are freed by clients that authenticate', async () => {
    await start({ connectionLimits: { unproven: 3 } });
    const out = `${own.folder}/pump`;
    await provisionDevice({ client: own.client, name: 'pump', type: 'virtual', out });
    const users = [];
    for (let i = 0; i < 8; i++) {
      users.push(await connect(own.platform.urls.mqtts, { ca: own.ca, username: 'u', password: own.token }));
      users.push(await connectDevice(own.platform.urls.mqtts, out, { clientId: `pump-${i}` }));
    }
    expect((await figures()).known).toBeGreaterThanOrEqual(16);
    await Promise.all(users.map((user) => user.endAsync(true)));
  });
});

describe('connections at the limit', () => {
  it('are closed for unauthenticated clients first, while known clients stay connected', async () => {
    await start({ connectionLimits: { open: 12, strangers: 10 } });
    const user = await connect(own.platform.urls.mqtts, { ca: own.ca, username: 'u', password: own.token });
    const crowd = await many(30, 'http', '127.0.0.7');
    await expect.poll(() => closed(crowd)).toBeGreaterThanOrEqual(20);
    expect((await ask(own, '/api/v1/status')).status).toBe(200);
    expect(user.connected).toBe(true);
    await user.endAsync();
  });

  it('are rejected if every open connection is authenticated', async () => {
    await start({ connectionLimits: { open: 6 } });
    const users = [];
    const one = () => connect(own.platform.urls.mqtts, { ca: own.ca, username: 'u', password: own.token });
    // One connection belongs to the client that created the trust root.
    for (let i = 0; i < 5; i++) users.push(await one());
    // That client's connection may have been idle for so long that it was closed.
    await own.client.status();
    await expect(one()).rejects.toThrow();
    expect(users.every(({ connected }) => connected)).toBe(true);
    await users.pop()?.endAsync(true);
    await expect.poll(async () => (await ask(own, '/api/v1/status').catch(() => null))?.status).toBe(200);
    await Promise.all(users.map((user) => user.endAsync(true)));
  });
});

it.each([
  [256, 192],
  [1024, 896],
  [20_000, 17_500],
  [1_048_576, 1_040_384],
])('of %i file descriptors, %i are available for connections', async (descriptors, connections) => {
  await start({});
  const { open: most, strangers, unproven } = limitsFor(descriptors);
  expect(most).toBe(connections);
  expect(strangers).toBeLessThanOrEqual(most / 2);
  expect(unproven).toBeLessThanOrEqual(most / 4);
});

it('a crowd tracks its busiest address and its order as members come and go', async () => {
  await start({});
  const crowd = new Crowd<string>();
  const things = new Map<string, string>();
  let state = 7;
  const random = (below: number) => {
    state = (state * 1103515245 + 12345) % 2 ** 31;
    return Math.floor((state / 2 ** 31) * below);
  };
  for (let i = 0; i < 5000; i++) {
    if (random(2) === 0 || things.size === 0) {
      const address = `a${random(20)}`;
      things.set(`t${i}`, address);
      crowd.add(address, `t${i}`);
    } else {
      const [thing, address] = [...things][random(things.size)]!;
      things.delete(thing);
      crowd.delete(address, thing);
    }
    const counts = new Map<string, number>();
    for (const address of things.values()) counts.set(address, (counts.get(address) ?? 0) + 1);
    const most = Math.max(0, ...counts.values());
    expect(crowd.size).toBe(things.size);
    if (most > 0) expect(counts.get(crowd.busiest()!)).toBe(most);
    const oldest = [...things].find(([, address]) => address === crowd.busiest())?.[0];
    expect(crowd.oldestOfBusiest()).toBe(oldest);
  }
  expect([...crowd.inOrder()]).toEqual([...things.keys()]);
});

import { createHash } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { createServer as createHttps, type Server as HttpsServer } from 'node:https';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pino from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { WebSocket } from 'ws';
import * as z from 'zod';
import { writeContexts } from '../../src/lib/core/contexts.js';
import { RemoteAccess } from '../../src/lib/platform/devices/remote.js';
import { RemotePeers } from '../../src/lib/platform/devices/remote-peers.js';
import { eventsIn } from '../../src/lib/platform/events/events.js';
import { Liveness, type OtherReplica } from '../../src/lib/platform/replicas.js';
import { openStore, type Store } from '../../src/lib/platform/store/database.js';
import { type Authority, openAuthority } from '../../src/lib/provision/authority.js';
import { runCli } from '../support/cli.js';

let folder: string;
let store: Store;
let authority: Authority;
let others: OtherReplica[] = [];
let servers: (Server | HttpsServer)[] = [];
let sockets: Socket[] = [];
const now = () => Date.now();
const log = pino({ level: 'silent' });

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-remote-peers-'));
  store = await openStore(join(folder, 'state.db'));
  authority = await openAuthority(folder, now);
  [others, servers, sockets] = [[], [], []];
});
afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  for (const server of servers) server.close();
  await store.destroy();
  await rm(folder, { recursive: true, force: true });
});

function peersOf(limits = { answerMs: 1000, silenceMs: 400 }) {
  const engine = { store, changes: { shared: true } as never };
  const replicas = { id: 'replica_own', others: async () => others };
  return new RemotePeers({ engine, authority, replicas, url: () => 'https://127.0.0.1:1', now, limits });
}

/** Another replica, which handles requests as described. @returns its address */
async function replicaWith(server: Server | HttpsServer): Promise<string> {
  servers.push(server);
  server.on('connection', (socket: Socket) => sockets.push(socket));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
const httpsReplica = async (answer: (request: IncomingMessage) => { status: number; body: unknown }) => {
  const { key, certificate: cert } = await authority.server(['127.0.0.1']);
  return createHttps({ key, cert }, (request, reply) => {
    const { status, body } = answer(request);
    reply.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  });
};
/** A replica that is stopped: it accepts connections, and never responds. */
const hangingReplica = () => replicaWith(createServer());

describe('requests to other replicas', () => {
  const schema = z.object({ sessions: z.array(z.string()) });

  it('also reach replicas without agents, and name those that are missing', async () => {
    others = [
      {
        replica: 'good',
        url: await replicaWith(await httpsReplica(() => ({ status: 200, body: { sessions: ['s'] } }))),
      },
      { replica: 'hanging', url: await hangingReplica() },
      { replica: 'rejecting', url: await replicaWith(await httpsReplica(() => ({ status: 403, body: {} }))) },
      { replica: 'earlier', url: null },
      { replica: 'earlier-without-sessions', url: null },
    ];
    await store
      .insertInto('remoteSessions')
      .values({ session: 'x', replica: 'earlier', record: '{}' })
      .execute();
    const { answers, missing } = await peersOf().ask('/api/v1/remote-sessions', {}, schema);
    expect(answers).toEqual([{ sessions: ['s'] }]);
    expect(missing.sort()).toEqual(['earlier', 'hanging', 'rejecting']);
  });

  it('use the address of an agent if the replica does not report its own', async () => {
    const url = await replicaWith(await httpsReplica(() => ({ status: 200, body: { sessions: ['s'] } })));
    others = [{ replica: 'earlier', url: null }];
    const agent = { device: 'd', replica: 'earlier', url, agent: 'a', connected: 1 };
    await store.insertInto('remoteAgents').values(agent).execute();
    expect(await peersOf().ask('/', {}, schema)).toEqual({ answers: [{ sessions: ['s'] }], missing: [] });
  });

  it('do not wait for a hanging replica if another one has the recording', async () => {
    const [url, without] = [
      await replicaWith(await httpsReplica(() => ({ status: 200, body: { sessions: ['s'] } }))),
      await replicaWith(await httpsReplica(() => ({ status: 404, body: {} }))),
    ];
    const hanging = { replica: 'hanging', url: await hangingReplica() };
    others = [hanging, { replica: 'without', url: without }, { replica: 'good', url }];
    const slow = peersOf({ answerMs: 20_000, silenceMs: 400 });
    expect(await slow.first('GET', '/', {}, schema)).toMatchObject({ answer: { sessions: ['s'] } });
    others = [hanging, { replica: 'without', url: without }];
    expect(await peersOf().first('GET', '/', {}, schema)).toEqual({ answer: null, missing: ['hanging'] });
  });
});

it('aiot device sessions list names the replicas that do not respond', async () => {
  let missing = ['replica_1', 'replica_2'];
  const url = await replicaWith(await httpsReplica(() => ({ status: 200, body: { sessions: [], missing } })));
  const before = process.env.AIOT_CONFIG_DIR;
  process.env.AIOT_CONFIG_DIR = join(folder, 'config');
  try {
    await writeContexts({
      current: 'lab',
      contexts: { lab: { url, ca: authority.file, token: `aiot_${'a'.repeat(43)}` } },
    });
    const warned = await runCli(['device', 'sessions', 'list', '--json']);
    expect(warned).toMatchObject({ code: 0, json: [] });
    expect(warned.stderr).toContain(
      'the sessions of these replicas are missing, because they do not respond: replica_1, replica_2',
    );
    missing = [];
    expect((await runCli(['device', 'sessions', 'list'])).stderr).not.toContain('missing');
  } finally {
    if (before === undefined) delete process.env.AIOT_CONFIG_DIR;
    else process.env.AIOT_CONFIG_DIR = before;
  }
});

describe('a forwarded WebSocket', () => {
  const key = 'dGhlIHNhbXBsZSBub25jZQ==';
  /** A replica that answers the handshake with these headers, and then sends nothing. */
  const upgrading = async (...headers: string[]) => {
    const server = await httpsReplica(() => ({ status: 500, body: {} }));
    server.on('upgrade', (_request, socket) => {
      socket.write(
        ['HTTP/1.1 101 Switching Protocols', 'Connection: Upgrade', ...headers, '', ''].join('\r\n'),
      );
    });
    return replicaWith(server);
  };
  const open = (url: string) =>
    peersOf().open(url, {
      ...{ path: '/', headers: {}, signal: new AbortController().signal },
      handshake: { 'sec-websocket-key': key, 'sec-websocket-version': '13' },
    });
  const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');

  it('is opened only if the other replica confirms the handshake', async () => {
    // The example of RFC 6455, section 1.3.
    expect(accept).toBe('s3pPLMBiTxaQ9kYGzzhZRbK+xOo=');
    const wrong = {
      code: 'AIOT_DEVICE_OFFLINE',
      message: expect.stringContaining('did not open a WebSocket'),
    };
    for (const headers of [
      ['Upgrade: websocket'],
      ['Upgrade: websocket', 'Sec-WebSocket-Accept: AAAA'],
      ['Upgrade: h2c', `Sec-WebSocket-Accept: ${accept}`],
    ])
      await expect(open(await upgrading(...headers))).rejects.toMatchObject(wrong);
    await open(await upgrading('Upgrade: websocket', `Sec-WebSocket-Accept: ${accept}`));
  });

  it('ends if one side is silent, even while the other one sends', async () => {
    const pass = await open(await upgrading('Upgrade: websocket', `Sec-WebSocket-Accept: ${accept}`));
    const client = createServer((socket) => {
      sockets.push(socket);
      pass(socket, Buffer.alloc(0));
    });
    const { port } = new URL(await replicaWith(client));
    const user = connect(Number(port), '127.0.0.1');
    user.on('error', () => {}).resume();
    const sending = setInterval(() => user.write('x'), 50);
    const began = performance.now();
    await once(user, 'close');
    clearInterval(sending);
    expect(performance.now() - began).toBeGreaterThan(300);
  });
});

/** The platform's end of a WebSocket. */
class FakeSocket extends EventEmitter {
  readonly OPEN = 1;
  readonly CLOSED = 3;
  readyState = 1;
  close(code = 1000, reason = '') {
    if (this.readyState === this.CLOSED) return;
    this.readyState = this.CLOSED;
    this.emit('close', code, Buffer.from(reason));
  }
  terminate() {
    this.close(1006);
  }
  pause() {}
  resume() {}
  ping() {}
  sent: string[] = [];
  send(text: string) {
    this.sent.push(text);
  }
}

function remoteOf(events = eventsIn(store, now), peers = peersOf()) {
  const devices = { authenticated: () => ({ name: 'd' }), record: () => ({}) } as never;
  const sessions = { begin: () => () => {} } as never;
  const remote = new RemoteAccess({ dataDir: folder, store, peers, devices, events, sessions, log, now });
  const agent = (socket = new FakeSocket()) => {
    remote.connect({ device: 'd', fingerprint: 'f' }, socket as unknown as WebSocket);
    return socket;
  };
  return { remote, agent };
}
const recorded = () => store.selectFrom('remoteAgents').select('agent').execute();

it('an agent that disconnects while it is being recorded does not stay recorded', async () => {
  const peers = peersOf();
  const announce = peers.announce.bind(peers);
  let begun = 0;
  peers.announce = async (...given) => {
    begun++;
    await delay(100);
    await announce(...given);
  };
  const { remote, agent } = remoteOf(undefined, peers);
  const socket = agent();
  await expect.poll(() => begun).toBe(1);
  socket.close();
  await remote.close();
  expect(await recorded()).toEqual([]);
});

it('an agent that is being recorded is newer than one at another replica', async () => {
  await store
    .insertInto('remoteAgents')
    .values({ device: 'd', replica: 'other', url: 'https://127.0.0.1:1', agent: 'old', connected: 1 })
    .execute();
  const peers = peersOf();
  const announce = peers.announce.bind(peers);
  let release = () => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  peers.announce = async (...given) => {
    await held;
    await announce(...given);
  };
  const { remote, agent } = remoteOf(undefined, peers);
  const socket = agent();
  await remote.recover();
  expect(socket.readyState).toBe(socket.OPEN);
  release();
  await expect.poll(async () => (await recorded())[0]?.agent).not.toBe('old');
  expect(socket.readyState).toBe(socket.OPEN);
  await remote.close();
});

describe('the end of a session', () => {
  /** Events of which the database rejects the first `failures` ends. */
  const failing = (failures: number) => {
    const events = eventsIn(store, now);
    const record = events.record.bind(events);
    let left = failures;
    events.record = async (event, transaction) => {
      if (event.type === 'device.remote-ended' && left-- > 0) throw new Error('the database is unavailable');
      await record(event, transaction);
    };
    return events;
  };
  const opened = async (events: ReturnType<typeof failing>) => {
    const { remote, agent } = remoteOf(events);
    const socket = agent();
    const user = {
      kind: 'user',
      role: 'operator',
      scopes: null,
      reach: null,
      token: 't',
      name: 'ada',
    } as const;
    const asking = remote.ask(
      'd',
      { kind: 'copy', direction: 'to', path: '/x', forMs: 60_000 },
      user,
      new AbortController().signal,
    );
    await expect.poll(() => socket.sent.length).toBe(1);
    const { open: session } = JSON.parse(socket.sent[0] ?? '') as { open: string };
    remote.join('d', session, new FakeSocket() as unknown as WebSocket);
    const side = new FakeSocket();
    (await asking).connect(side as unknown as WebSocket);
    return { remote, side, session };
  };
  const reasons = async () =>
    (await store.selectFrom('events').select('data').where('type', '=', 'device.remote-ended').execute()).map(
      ({ data }) => JSON.parse(data).reason,
    );

  it('is recorded once the database is available again, with its reason', async () => {
    const { remote, side } = await opened(failing(2));
    side.close();
    await expect.poll(reasons, { timeout: 5000 }).toEqual(['the user closed it']);
    await remote.close();
  });

  it('follows if another replica has recorded it, because this one was stalled', async () => {
    const { remote, side, session } = await opened(failing(0));
    await remote.recover();
    expect(side.readyState).toBe(side.OPEN);
    await store.deleteFrom('remoteSessions').where('session', '=', session).execute();
    await expect.poll(() => side.readyState, { timeout: 5000 }).toBe(side.CLOSED);
    expect(remote.list(null)).toEqual([]);
    await remote.close();
    expect(await reasons()).toEqual([]);
  });

  it('is also recorded if the platform is stopping', async () => {
    const { remote } = await opened(failing(2));
    await remote.close();
    expect(await reasons()).toEqual(['the platform is stopping']);
  });
});

describe('other replicas', () => {
  let at = 0;
  const liveness = () => {
    at = 0;
    return new Liveness(() => at);
  };
  const running = (of: Liveness, seen: number) => of.observe([{ replica: 'r', seen }]).running.length === 1;

  it('are running while their reports change, whatever their clocks show', () => {
    const observer = liveness();
    for (const seen of [9e12, 5, 6, -1, 7]) {
      expect(running(observer, seen)).toBe(true);
      at += 10_000;
    }
    // From here on, the replica is silent.
    for (; at < 70_000; at += 10_000) expect([at, running(observer, 7)]).toEqual([at, at < 70_000]);
    expect(running(observer, 7)).toBe(false);
    expect(running(observer, 8)).toBe(true);
  });

  it('get time to report again after none could be observed', () => {
    const observer = liveness();
    expect(running(observer, 1)).toBe(true);
    at += 60_000;
    expect(running(observer, 1)).toBe(true);
  });
});

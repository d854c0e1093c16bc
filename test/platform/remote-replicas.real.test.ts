import { randomUUID } from 'node:crypto';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect as connectTo, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createClient, type RegistryClient } from '../../src/lib/api/client.js';
import { openSocket } from '../../src/lib/api/remote.js';
import { generateKeyPair, publicKeyOf } from '../../src/lib/core/crypto.js';
import { AiotError } from '../../src/lib/core/errors.js';
import { systemClock } from '../../src/lib/core/time.js';
import { readIdentity } from '../../src/lib/device/identity/identity.js';
import { type AgentEvent, runAgent } from '../../src/lib/device/remote/agent.js';
import {
  copyFile,
  type ForwardEvent,
  forwardPort,
  forwardPortsOf,
  remoteShell,
} from '../../src/lib/device/remote/operate.js';
import { trustRootOf } from '../../src/lib/formats/manifest/envelope.js';
import type { Platform } from '../../src/lib/platform/options.js';
import { startPlatform } from '../../src/lib/platform/start.js';
import type { Store } from '../../src/lib/platform/store/database.js';
import { openEngine } from '../../src/lib/platform/store/engine.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { type Postgres, startPostgres } from '../support/postgres.js';
import { describeReal } from '../support/real.js';

describeReal('postgres', 'remote access with three replicas on one database', () => {
  let server: Postgres;
  let folder: string;
  let database: string;
  let store: Store;
  let token = '';
  let ca = '';
  let echo: Server;
  let echoPort = 0;
  const laterMs = 0;
  const platforms = new Map<string, Platform>();
  const clients: RegistryClient[] = [];
  const agents: { stop: () => Promise<void> }[] = [];
  const clock = { ...systemClock, now: () => Date.now() + laterMs };

  const start = async (name: string) => {
    const platform = await startPlatform({
      ...{ dataDir: join(folder, name), httpPort: 0, mqttPort: 0, clock, recordShells: true, drainMs: 200 },
      ...{ engines: { database }, secret: 'shared by all', log: () => {} },
    });
    platforms.set(name, platform);
    return platform;
  };
  const urlOf = (name: string) => platforms.get(name)!.urls.http;
  const at = (name: string, as = token) => {
    const client = createClient({ url: urlOf(name), ca, token: as });
    clients.push(client);
    return client;
  };
  /** The identity of a device, with the address of one replica, as after the choice of a load balancer. */
  const identityAt = async (device: string, replica: string) => {
    const out = join(folder, `${device}-${replica}`);
    await rm(out, { recursive: true, force: true });
    await cp(join(folder, device), out, { recursive: true });
    const file = join(out, 'device.json');
    const known = JSON.parse(await readFile(file, 'utf8'));
    known.urls = { ...known.urls, http: urlOf(replica) };
    await writeFile(file, JSON.stringify(known));
    return out;
  };
  const startAgent = async (device: string, replica: string) => {
    const events: AgentEvent[] = [];
    const ending = new AbortController();
    const agent = runAgent({
      identityDir: await identityAt(device, replica),
      allow: ['shell', `forward=${echoPort}`, `copy=${folder}`],
      onEvent: (event) => events.push(event),
      signal: ending.signal,
    });
    const ended = agent.then(
      () => null,
      (error: AiotError) => error.code,
    );
    await expect.poll(() => events.some(({ event }) => event === 'connected')).toBe(true);
    // Other replicas know of the agent only once it is recorded.
    const { id } = (await at(replica).status()).replicas.find(({ self }) => self) ?? {};
    await expect.poll(async () => (await recordedAgents()).get(device), { timeout: 10_000 }).toBe(id);
    const running = {
      ...{ events, ended },
      stop: async () => {
        ending.abort();
        await ended;
      },
    };
    agents.push(running);
    return running;
  };
  /** Device → the replica with its agent. */
  const recordedAgents = async () => {
    const rows = await store.selectFrom('remoteAgents').select(['device', 'replica']).execute();
    return new Map(rows.map((row) => [row.device, row.replica]));
  };
  const shell = (client: RegistryClient, device: string) => {
    const [stdin, stdout] = [new PassThrough(), new PassThrough()];
    const shown = { text: '' };
    stdout.on('data', (data: Buffer) => {
      shown.text += data.toString('utf8');
    });
    const ending = new AbortController();
    const result = remoteShell({
      ...{ client, device, forMs: 60_000, stdin, stdout, stderr: new PassThrough(), collect: false },
      signal: ending.signal,
    });
    const failure = result.then(
      () => null,
      ({ code, message }: AiotError) => ({ code, message }),
    );
    return {
      stdin,
      shown,
      result,
      failure,
      stop: () => ending.abort(new AiotError('AIOT_INTERRUPTED', 'stopped')),
    };
  };
  const runningShell = async (client: RegistryClient, device: string) => {
    const opened = shell(client, device);
    opened.stdin.write('echo ready\n');
    await expect.poll(() => opened.shown.text, { timeout: 10_000 }).toContain('ready');
    return opened;
  };
  const audited = async (device: string, type: 'device.remote' | 'device.remote-ended') =>
    (await at('a').events.page({ types: [type], subject: device, limit: 1000 })).events;
  const reasonsAt = async (device: string) =>
    (await audited(device, 'device.remote-ended')).map(({ data }) => data.reason);

  beforeAll(async () => {
    server = await startPostgres();
    database = await server.database();
    folder = await mkdtemp(join(tmpdir(), 'aiot-remote-replicas-'));
    echo = createServer((socket) => socket.on('error', () => {}).pipe(socket));
    await new Promise<void>((resolve) => echo.listen(0, '127.0.0.1', resolve));
    echoPort = (echo.address() as { port: number }).port;
    const first = await start('a');
    token = first.token ?? '';
    ca = await readFile(first.ca, 'utf8');
    ({ store } = await openEngine('', database));
    await Promise.all([start('b'), start('c')]);
    await at('a').trust.put(trustRootOf(publicKeyOf(generateKeyPair().privatePem)));
    for (const name of ['pi-1', 'pi-2', 'pi-3', 'pi-4', 'pi-5'])
      await provisionDevice({ client: at('a'), name, type: 'pi', out: join(folder, name) });
    for (const name of ['b', 'c'])
      for (let known = 0; known < 5; await delay(100)) known = (await at(name).devices.list()).length;
  }, 90_000);
  afterAll(async () => {
    for (const agent of agents) await agent.stop();
    for (const client of clients) await client.close();
    for (const platform of platforms.values()) await platform.stop();
    echo?.close();
    await store?.destroy();
    await server?.stop();
    if (folder) await rm(folder, { recursive: true, force: true });
  }, 60_000);

  it('a shell at any replica reaches an agent at another one, and is audited once', async () => {
    await startAgent('pi-1', 'b');
    for (const name of ['a', 'b', 'c']) {
      const opened = shell(at(name), 'pi-1');
      opened.stdin.end(`echo from ${name}; exit 3\n`);
      expect(await opened.result).toMatchObject({ device: 'pi-1', exit: 3 });
      expect(opened.shown.text).toContain(`from ${name}`);
    }
    await expect.poll(async () => (await audited('pi-1', 'device.remote-ended')).length).toBe(3);
    const opened = (await audited('pi-1', 'device.remote')).map(({ data }) => data.session);
    const ended = (await audited('pi-1', 'device.remote-ended')).map(({ data }) => data.session);
    expect(new Set(opened).size).toBe(3);
    expect([...ended].sort()).toEqual([...opened].sort());
    const recording = await at('c').remoteSessions.recording(String(opened[0]));
    expect(recording.cast).toContain('from a');
  }, 60_000);

  it('forwarded ports and copies pass any bytes between two replicas', async () => {
    const client = at('c');
    const events: ForwardEvent[] = [];
    const ending = new AbortController();
    const forwarding = forwardPort({
      ...{ client, device: 'pi-1', ports: forwardPortsOf(`0:${echoPort}`), forMs: 60_000 },
      ...{ onEvent: (event: ForwardEvent) => events.push(event), signal: ending.signal },
    });
    forwarding.catch(() => {});
    await expect.poll(() => events.at(-1)?.event, { timeout: 10_000 }).toBe('listening');
    const bytes = Buffer.from(Array.from({ length: 3 << 20 }, (_, i) => (i * 13 + (i >> 9)) & 255));
    const received: Buffer[] = [];
    const socket = connectTo(Number(events[0]!.from.split(':')[1]), '127.0.0.1');
    socket.on('data', (data) => received.push(data));
    socket.end(bytes);
    await new Promise((resolve) => socket.once('close', resolve));
    expect(Buffer.concat(received).equals(bytes)).toBe(true);
    const source = join(folder, 'source.bin');
    await writeFile(source, bytes);
    const target = join(folder, 'target.bin');
    await copyFile({
      ...{ client, from: source, to: `pi-1:${target}`, forMs: 30_000, signal: ending.signal },
    });
    expect((await readFile(target)).equals(bytes)).toBe(true);
    ending.abort();
    await forwarding.catch(() => {});
  }, 60_000);

  it('the agent may accept a session at a third replica', async () => {
    const identity = await readIdentity(await identityAt('pi-2', 'b'));
    const access = (replica: string) => ({
      ...{ url: urlOf(replica), ca: identity.ca, cert: identity.certificate, key: identity.key },
    });
    const agent = await openSocket(access('b'), '/remote/agent');
    await expect.poll(async () => (await recordedAgents()).has('pi-2')).toBe(true);
    const asked = new Promise<string>((resolve) =>
      agent.once('message', (data) => resolve(JSON.parse(String(data)).open)),
    );
    agent.resume();
    const user = openSocket({ url: urlOf('a'), ca, token }, '/api/v1/devices/pi-2/remote?kind=shell&tty=no');
    user.catch(() => {});
    const session = await asked;
    // Another device cannot accept the session, and no one can without the ticket of a replica.
    const other = await readIdentity(await identityAt('pi-3', 'c'));
    await expect(
      openSocket(
        { url: urlOf('c'), ca: other.ca, cert: other.certificate, key: other.key },
        `/remote/agent/${session}`,
      ),
    ).rejects.toMatchObject({ code: 'AIOT_NOT_FOUND' });
    await expect(
      openSocket({ url: urlOf('b'), ca, token }, `/remote/replica/${session}`),
    ).rejects.toMatchObject({ code: 'AIOT_NOT_ALLOWED' });
    const accepted = await openSocket(access('c'), `/remote/agent/${session}`);
    const socket = await user;
    const first = new Promise((resolve) =>
      socket.once('message', (data) => resolve(JSON.parse(String(data)))),
    );
    socket.resume();
    expect(await first).toMatchObject({ session });
    const heard = new Promise<string>((resolve) => accepted.once('message', (data) => resolve(String(data))));
    accepted.resume();
    socket.send('through three replicas');
    expect(await heard).toBe('through three replicas');
    const closed = new Promise((resolve) => socket.once('close', resolve));
    accepted.close(1000, 'done');
    expect(await closed).toBe(1000);
    agent.close();
  }, 60_000);

  it('lists and closes sessions at any replica', async () => {
    const { failure } = await runningShell(at('a'), 'pi-1');
    for (const name of ['a', 'b', 'c']) {
      const sessions = await at(name).remoteSessions.list();
      expect(sessions.map(({ device, kind }) => [device, kind])).toEqual([['pi-1', 'shell']]);
    }
    const [session] = await at('c').remoteSessions.list();
    expect(await at('c').remoteSessions.close(session!.id)).toMatchObject({ device: 'pi-1' });
    expect(await failure).toMatchObject({
      ...{ code: 'AIOT_REMOTE_ENDED', message: expect.stringContaining('closed by operator') },
    });
    await expect(at('a').remoteSessions.close(session!.id)).rejects.toMatchObject({ code: 'AIOT_NOT_FOUND' });
  }, 60_000);

  it.each([
    ['the token is revoked', (id: string) => at('c').tokens.revoke(id), 'the token was revoked'],
    [
      "the user's devices are narrowed",
      () => at('c').users.change('narrow', { selector: 'name=pi-1' }),
      'its rights changed',
    ],
    [
      'the device is suspended',
      () => at('c').devices.act('pi-3', 'suspend'),
      "the device's certificate is no longer",
    ],
  ] as const)(
    'a session through two replicas ends when, at the third one, %s',
    async (_what, act, reason) => {
      const owner = reason === 'its rights changed' ? 'narrow' : undefined;
      if (owner) await at('a').users.add({ name: owner, role: 'operator' });
      const made = await at('c').tokens.create({ name: 'remote', role: 'operator', owner });
      await startAgent('pi-3', 'b');
      const { failure } = await runningShell(at('a', made.token), 'pi-3');
      const began = performance.now();
      await act(made.id);
      expect(await failure).toMatchObject({
        code: 'AIOT_REMOTE_ENDED',
        message: expect.stringContaining(reason),
      });
      expect(performance.now() - began).toBeLessThan(5000);
      await expect.poll(async () => (await reasonsAt('pi-3')).at(-1)).toContain(reason);
    },
    60_000,
  );

  it('only the newest agent of a device is connected, at whichever replica', async () => {
    const older = await startAgent('pi-4', 'a');
    await startAgent('pi-4', 'c');
    expect(await older.ended).toBe('AIOT_REMOTE_ENDED');
    const opened = shell(at('b'), 'pi-4');
    opened.stdin.end('echo newest\n');
    await opened.result;
    expect(opened.shown.text).toContain('newest');
  }, 60_000);

  it('a device without an agent is offline at every replica', async () => {
    for (const name of ['a', 'b'])
      expect(await shell(at(name), 'pi-5').failure).toMatchObject({ code: 'AIOT_DEVICE_OFFLINE' });
  });

  it('records the end of a session once, by another replica, if its replica dies', async () => {
    const record = {
      ...{ session: 'lost', device: 'pi-5', who: 'ada', kind: 'shell', target: 'terminal' },
      ...{ opened: Date.now() - 5000, until: Date.now() },
    };
    const replica = 'replica_gone';
    await store
      .insertInto('replicas')
      .values({ replica, seen: Date.now() - 25_000, facts: '{}' })
      .execute();
    await store
      .insertInto('remoteSessions')
      .values({ session: 'lost', replica, record: JSON.stringify(record) })
      .execute();
    await delay(3000);
    expect(await reasonsAt('pi-5')).toEqual([]);
    // It may still be running, and have any session.
    await expect(at('b').remoteSessions.close(randomUUID())).rejects.toMatchObject({
      ...{ code: 'AIOT_REPLICA_UNREACHABLE', retryable: true },
      message: `no replica that responded has this session; these did not respond: ${replica}`,
    });
    await expect
      .poll(() => reasonsAt('pi-5'), { timeout: 40_000 })
      .toEqual(['the platform stopped unexpectedly']);
    await delay(5000);
    expect(await reasonsAt('pi-5')).toHaveLength(1);
  }, 90_000);

  it('a forwarded port resumes at the remaining replicas after the replica of the agent has stopped', async () => {
    await startAgent('pi-2', 'a');
    const events: ForwardEvent[] = [];
    const ending = new AbortController();
    const forwarding = forwardPort({
      ...{ client: at('b'), device: 'pi-2', ports: forwardPortsOf(`0:${echoPort}`), forMs: 60_000 },
      ...{ onEvent: (event: ForwardEvent) => events.push(event), signal: ending.signal },
    });
    forwarding.catch(() => {});
    await expect.poll(() => events.at(-1)?.event, { timeout: 10_000 }).toBe('listening');
    await platforms.get('a')!.stop();
    platforms.delete('a');
    await startAgent('pi-2', 'c');
    await expect.poll(() => events.at(-1)?.event, { timeout: 30_000 }).toBe('resumed');
    const socket = connectTo(Number(events[0]!.from.split(':')[1]), '127.0.0.1');
    const heard = new Promise<string>((resolve) => socket.once('data', (data) => resolve(String(data))));
    socket.write('again');
    expect(await heard).toBe('again');
    socket.destroy();
    ending.abort();
    await forwarding.catch(() => {});
  }, 90_000);
});

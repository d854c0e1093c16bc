import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { request as httpsRequest } from 'node:https';
import { connect as connectTo, createServer, type Server } from 'node:net';
import { dirname, join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import * as z from 'zod';
import { createClient, type RegistryClient } from '../../src/lib/api/client.js';
import { remoteSessionSchema } from '../../src/lib/api/contract/devices.js';
import { openSocket, type RemoteQuery } from '../../src/lib/api/remote.js';
import { writeContexts } from '../../src/lib/core/contexts.js';
import { AiotError } from '../../src/lib/core/errors.js';
import { systemClock } from '../../src/lib/core/time.js';
import { readIdentity } from '../../src/lib/device/identity/identity.js';
import { type AgentEvent, type AgentOptions, runAgent } from '../../src/lib/device/remote/agent.js';
import {
  copiedSchema,
  copyFile,
  type ForwardEvent,
  forwardPort,
  forwardPortsOf,
  remoteShell,
  remoteShellSchema,
  type ShellOptions,
} from '../../src/lib/device/remote/operate.js';
import { RemotePeers } from '../../src/lib/platform/devices/remote-peers.js';
import { describeCertificate, openAuthority } from '../../src/lib/provision/authority.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { runCli } from '../support/cli.js';
import { fixedPorts, type TestPlatform, testPlatform } from '../support/platform.js';
import { ok, refusal } from '../support/up.js';

let own: TestPlatform;
/** A folder on the device from which files may be copied. */
let shared: string;
let echo: Server;
let echoPort: number;
let stopAgent: () => Promise<void>;
let agentEvents: AgentEvent[];
/** How far the platform's clock is ahead, ms. */
let laterMs = 0;
afterEach(() => {
  laterMs = 0;
});

beforeAll(async () => {
  own = await testPlatform({
    ...(await fixedPorts()),
    clock: { ...systemClock, now: () => Date.now() + laterMs },
  });
  process.env.AIOT_CONFIG_DIR = join(own.folder, 'config');
  await writeContexts({
    current: 'lab',
    contexts: { lab: { url: own.platform.urls.http, ca: own.platform.ca, token: own.token } },
  });
  for (const name of ['pi-1', 'pi-2'])
    await provisionDevice({ client: own.client, name, type: 'pi', out: join(own.folder, name) });
  shared = join(own.folder, 'shared');
  await mkdir(shared);
  echo = createServer((socket) => socket.on('error', () => {}).pipe(socket));
  await new Promise<void>((resolve) => echo.listen(0, '127.0.0.1', resolve));
  echoPort = (echo.address() as { port: number }).port;
}, 30_000);
afterAll(async () => {
  echo.close();
  await own.stop();
});
beforeEach(async () => {
  ({ stop: stopAgent, events: agentEvents } = await startAgent());
});
afterEach(() => stopAgent());

/** Starts the agent of pi-1; resolves once it is connected. */
async function startAgent(more: Partial<AgentOptions> = {}) {
  const events: AgentEvent[] = [];
  const ending = new AbortController();
  const agent = runAgent({
    identityDir: join(own.folder, 'pi-1'),
    allow: ['shell', `forward=${echoPort}`, `copy=${shared}`],
    onEvent: (event) => events.push(event),
    signal: ending.signal,
    ...more,
  });
  agent.catch(() => {});
  await expect.poll(() => events.some(({ event }) => event === 'connected')).toBe(true);
  return {
    events,
    agent,
    stop: async () => {
      ending.abort();
      await agent.catch(() => {});
    },
  };
}

/** A shell without a terminal whose stdin stays open until `input` ends. */
function shell(more: Partial<ShellOptions> = {}) {
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
  const ending = new AbortController();
  const shown = { text: '' };
  stdout.on('data', (data: Buffer) => {
    shown.text += data.toString('utf8');
  });
  const result = remoteShell({
    ...{ client: own.client, device: 'pi-1', forMs: 60_000, stdin, stdout, stderr, collect: false },
    signal: ending.signal,
    ...more,
  });
  result.catch(() => {});
  return {
    stdin,
    stderr,
    shown,
    result,
    stop: () => ending.abort(new AiotError('AIOT_INTERRUPTED', 'stopped')),
  };
}
/** A shell that has shown that it runs. */
async function runningShell(more: Partial<ShellOptions> = {}) {
  const opened = shell(more);
  opened.stdin.write('echo ready $$\n');
  await expect.poll(() => opened.shown.text).toMatch(/ready \d+/);
  const pid = Number(/ready (\d+)/.exec(opened.shown.text)?.[1]);
  return { ...opened, pid };
}
const isAlive = (pid: number) => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};
const codeOf = (answer: Promise<unknown>) =>
  answer.then(
    () => null,
    (error: { code?: string }) => error.code,
  );
const messageOf = (answer: Promise<unknown>) =>
  answer.then(
    () => '',
    (error: Error) => error.message,
  );
const eventsOf = async (
  type: 'device.remote' | 'device.remote-ended' | 'device.remote-refused',
  name = 'pi-1',
) => (await own.client.events.page({ types: [type], subject: name, limit: 1000 })).events;
const lastEnd = async () => (await eventsOf('device.remote-ended')).at(-1);
const clientWith = (token: string) => createClient({ url: own.platform.urls.http, ca: own.ca, token });
/** A client whose token is created, and closed at the end. */
async function withToken(
  more: Partial<Parameters<RegistryClient['tokens']['create']>[0]>,
  work: (client: RegistryClient, id: string) => Promise<void>,
) {
  const made = await own.client.tokens.create({ name: 'remote', role: 'operator', ...more });
  const client = clientWith(made.token);
  try {
    await work(client, made.id);
  } finally {
    await client.close();
  }
}
const copy = (from: string, to: string) =>
  copyFile({ client: own.client, from, to, forMs: 30_000, signal: new AbortController().signal });

describe('a shell', () => {
  it('runs commands from stdin, and returns their output and exit code', async () => {
    const { stdin, stderr, shown, result } = shell();
    stdin.end('echo out; echo err >&2; exit 7\n');
    expect(await result).toMatchObject({ device: 'pi-1', exit: 7, signal: null });
    expect(shown.text).toBe('out\n');
    expect(String(stderr.read())).toBe('err\n');
  });

  it('passes any bytes in both directions without changing them', async () => {
    const bytes = Buffer.from(Array.from({ length: 1 << 20 }, (_, i) => (i * 7 + (i >> 8)) & 255));
    const stdout = new PassThrough();
    const received: Buffer[] = [];
    stdout.on('data', (data: Buffer) => received.push(data));
    await stopAgent();
    const { stop } = await startAgent({ shell: ['cat'] });
    const { stdin, result } = shell({ stdout });
    stdin.end(bytes);
    await result;
    await stop();
    expect(Buffer.concat(received).equals(bytes)).toBe(true);
  });

  it('has none of the agent’s environment variables', async () => {
    process.env.AIOT_TOKEN = 'secret-of-the-agent';
    const { stdin, shown, result } = shell();
    stdin.end('env\n');
    await result;
    delete process.env.AIOT_TOKEN;
    expect(shown.text).toContain('TERM=');
    expect(shown.text).not.toContain('secret-of-the-agent');
  });

  it.skipIf(!existsSync('/usr/bin/script'))(
    'is a terminal with the right size, if the user has one',
    async () => {
      const stdin = Object.assign(new PassThrough(), { isTTY: true, setRawMode: () => {} });
      const stdout = Object.assign(new PassThrough(), { isTTY: true, rows: 31, columns: 97 });
      const shown = { text: '' };
      stdout.on('data', (data: Buffer) => {
        shown.text += data.toString('utf8');
      });
      const { result } = shell({ stdin, stdout });
      stdin.write('tty; stty size\n');
      await expect.poll(() => shown.text).toContain('31 97');
      expect(shown.text).toContain('/dev/pts/');
      Object.assign(stdout, { rows: 50, columns: 120 }).emit('resize');
      // A program on the device sets the size, and may do so after the shell has read this line.
      await expect
        .poll(() => {
          stdin.write('stty size\n');
          return shown.text;
        })
        .toContain('50 120');
      stdin.write('exit 3\n');
      expect(await result).toMatchObject({ exit: 3 });
    },
  );

  it.skipIf(!existsSync('/usr/bin/script'))(
    'stops the terminal’s programs when the user disconnects',
    async () => {
      const stdin = Object.assign(new PassThrough(), { isTTY: true, setRawMode: () => {} });
      const stdout = Object.assign(new PassThrough(), { isTTY: true, rows: 24, columns: 80 });
      const shown = { text: '' };
      stdout.on('data', (data: Buffer) => {
        shown.text += data.toString('utf8');
      });
      const { result, stop } = shell({ stdin, stdout });
      stdin.write('sh -c \'echo "pid:$$"; sleep 300\'\n');
      await expect.poll(() => shown.text).toMatch(/pid:\d+/);
      const pid = Number(/pid:(\d+)/.exec(shown.text)?.[1]);
      stop();
      expect(await codeOf(result)).toBe('AIOT_INTERRUPTED');
      await expect.poll(() => isAlive(pid)).toBe(false);
    },
  );

  it('is recorded in the audit log, with who, when and what', async () => {
    const { stdin, result } = shell();
    stdin.end('true\n');
    const { session } = await result;
    const [began] = (await eventsOf('device.remote')).slice(-1);
    expect(began).toMatchObject({ subject: 'pi-1', data: { session, kind: 'shell', target: 'commands' } });
    expect(began?.who).toMatch(/^operator [0-9a-f]+$/);
    await expect
      .poll(lastEnd)
      .toMatchObject({ who: began?.who, data: { session, reason: 'the user closed it' } });
    // The file of an open session is removed after its end has been recorded.
    await expect.poll(() => readdir(join(own.folder, 'data', 'remote'))).toEqual([]);
  });

  it('ends when its time is over, and its programs stop', async () => {
    const { result, pid } = await runningShell();
    laterMs = 61_000;
    expect(await messageOf(result)).toContain('its time is over');
    await expect.poll(() => isAlive(pid)).toBe(false);
  });

  it('stops its programs when the user disconnects', async () => {
    const { result, pid, stop } = await runningShell();
    stop();
    expect(await codeOf(result)).toBe('AIOT_INTERRUPTED');
    await expect.poll(() => isAlive(pid)).toBe(false);
  });
});

describe('a session ends', () => {
  it('when its token is revoked', async () => {
    await withToken({}, async (client, id) => {
      const { result, pid } = await runningShell({ client });
      await own.client.tokens.revoke(id);
      expect(await messageOf(result)).toContain('the token was revoked');
      await expect.poll(() => isAlive(pid)).toBe(false);
    });
  });

  it('when its user is disabled', async () => {
    await own.client.users.add({ name: 'ada', role: 'operator' });
    await withToken({ owner: 'ada' }, async (client) => {
      const { result } = await runningShell({ client });
      await own.client.users.act('ada', 'disable');
      expect(await codeOf(result)).toBe('AIOT_REMOTE_ENDED');
    });
  });

  it('when the device leaves the limits of the token', async () => {
    const tag = (site: string) =>
      own.client.devices.change(['pi-1'], { action: 'tag', set: { site }, remove: [] }, false);
    await tag('hall-3');
    await withToken({ selector: 'site=hall-3' }, async (client) => {
      const { result } = await runningShell({ client });
      await tag('hall-4');
      expect(await messageOf(result)).toContain('no longer among the devices of the token');
      expect(await codeOf(shell({ client }).result)).toBe('AIOT_NOT_ALLOWED');
    });
  });

  it('when the device is suspended, and the agent returns once it is resumed', async () => {
    const { result } = await runningShell();
    await own.client.devices.change(['pi-1'], { action: 'suspend' }, false);
    expect(await codeOf(result)).toBe('AIOT_REMOTE_ENDED');
    expect(await codeOf(shell().result)).toBe('AIOT_DEVICE_OFFLINE');
    await own.client.devices.change(['pi-1'], { action: 'resume' }, false);
    await expect
      .poll(() => agentEvents.filter(({ event }) => event === 'connected').length, { timeout: 10_000 })
      .toBe(2);
  });

  it('when the platform stops, and the agent reconnects to it', async () => {
    const { result, pid } = await runningShell();
    await own.restart();
    expect(await codeOf(result)).toBe('AIOT_REMOTE_ENDED');
    await expect.poll(() => isAlive(pid)).toBe(false);
    expect(await lastEnd()).toMatchObject({ data: { reason: 'the platform is stopping' } });
    await expect
      .poll(() => agentEvents.filter(({ event }) => event === 'connected').length, { timeout: 10_000 })
      .toBe(2);
    const next = shell();
    next.stdin.end('echo back\n');
    await next.result;
    expect(next.shown.text).toBe('back\n');
  });

  it('if the connection of its user cannot become a WebSocket', async () => {
    const status = await new Promise((resolve, reject) => {
      const request = httpsRequest(
        new URL('/api/v1/devices/pi-1/remote?kind=shell&tty=no', own.platform.urls.http),
        // Without a key, the handshake is invalid, which is noticed only after the device has accepted the session.
        {
          ca: own.ca,
          headers: { authorization: `Bearer ${own.token}`, connection: 'Upgrade', upgrade: 'websocket' },
        },
      );
      request.once('response', (response) => resolve(response.resume().statusCode)).once('error', reject);
      request.end();
    });
    expect(status).toBe(400);
    const [began] = (await eventsOf('device.remote')).slice(-1);
    await expect
      .poll(lastEnd)
      .toMatchObject({ data: { session: began?.data.session, reason: 'the user disconnected' } });
    expect(agentEvents.filter(({ event }) => event === 'accepted')).toHaveLength(1);
    await expect.poll(() => agentEvents.at(-1)?.event).toBe('ended');
  });

  it('in the audit log too, if the platform was killed', async () => {
    const record = {
      ...{ session: 'lost', device: 'pi-1', who: 'ada', kind: 'shell', target: 'terminal' },
      ...{ opened: Date.now() - 5000, until: Date.now() },
    };
    await mkdir(join(own.folder, 'data', 'remote'), { recursive: true });
    await writeFile(join(own.folder, 'data', 'remote', 'lost.json'), JSON.stringify(record));
    await own.restart();
    await expect.poll(lastEnd).toMatchObject({
      ...{ who: 'ada', subject: 'pi-1' },
      data: { session: 'lost', reason: 'the platform stopped unexpectedly', bytesFrom: null },
    });
    expect(await readdir(join(own.folder, 'data', 'remote'))).toEqual([]);
  });
});

describe('who may open a session', () => {
  it('is an operator whose token has no scopes, or the scope remote:open', async () => {
    for (const [more, code] of [
      [{ role: 'viewer' }, 'AIOT_NOT_ALLOWED'],
      [{ role: 'ci' }, 'AIOT_NOT_ALLOWED'],
      [{ scopes: ['devices:write'] }, 'AIOT_NOT_ALLOWED'],
      [{ selector: 'name=pi-2' }, 'AIOT_NOT_ALLOWED'],
      [{ role: 'ci', scopes: ['remote:open'] }, 'AIOT_NOT_ALLOWED'],
      [{ scopes: ['remote:open'] }, null],
      [{ selector: 'name=pi-1' }, null],
    ] as const)
      await withToken(more as object, async (client) => {
        const opened = shell({ client });
        opened.stdin.end('true\n');
        expect(await codeOf(opened.result), JSON.stringify(more)).toBe(code);
      });
  });

  it('does not depend on whether the device exists, for a limited token', async () => {
    await withToken({ selector: 'name=pi-2' }, async (client) => {
      const [known, unknown] = [shell({ client }).result, shell({ client, device: 'pi-9' }).result];
      expect((await messageOf(known)).replace('pi-1', 'X')).toBe(
        (await messageOf(unknown)).replace('pi-9', 'X'),
      );
    });
  });

  it('is decided by the device too, and its refusals are recorded', async () => {
    const query = (more: object) => openRefused({ ...more } as RemoteQuery);
    const openRefused = (asked: RemoteQuery) => messageOf(own.client.openRemote('pi-1', asked));
    expect(await query({ kind: 'forward', port: 22 })).toBe(
      'pi-1: its agent runs without --allow forward=22',
    );
    expect(await query({ kind: 'forward', port: echoPort, host: '10.0.0.1' })).toContain(
      '--allow forward=10.0.0.1',
    );
    expect(await query({ kind: 'copy', direction: 'from', path: '/etc/passwd' })).toContain('--allow copy');
    expect((await eventsOf('device.remote-refused')).at(-1)).toMatchObject({
      data: { kind: 'copy', target: 'from /etc/passwd' },
    });
    expect(agentEvents.filter(({ event }) => event === 'refused')).toHaveLength(3);
  });

  it('is decided by a program on the device, if it has one', async () => {
    await stopAgent();
    const program = join(own.folder, 'consent.sh');
    const asked = join(own.folder, 'asked.json');
    await writeFile(program, `#!/bin/sh\ncat >${asked}\ngrep -q '"kind":"copy"' ${asked}\n`, { mode: 0o755 });
    const { stop } = await startAgent({ consent: program });
    await writeFile(join(shared, 'note'), 'hello');
    expect(await codeOf(shell().result)).toBe('AIOT_REMOTE_REFUSED');
    expect(JSON.parse(await readFile(asked, 'utf8'))).toMatchObject({ kind: 'shell', target: 'commands' });
    await copy(`pi-1:${shared}/note`, join(own.folder, 'note'));
    await stop();
  });

  it('is nobody if the agent is not running', async () => {
    await stopAgent();
    await expect.poll(() => codeOf(shell().result)).toBe('AIOT_DEVICE_OFFLINE');
  });

  it('is limited to eight sessions per device', async () => {
    const open = await Promise.all(Array.from({ length: 8 }, () => runningShell()));
    expect(await codeOf(shell().result)).toBe('AIOT_RATE_LIMITED');
    for (const { stop } of open) stop();
    await Promise.all(open.map(({ result }) => result.catch(() => {})));
    // The platform may receive the request for another session before it sees that those connections are closed.
    await expect
      .poll(() => {
        const next = shell();
        next.stdin.end('true\n');
        return next.result.catch(() => null);
      })
      .toMatchObject({ exit: 0 });
  });

  it('is not a device, and users cannot act as an agent', async () => {
    const identity = await readIdentity(join(own.folder, 'pi-2'));
    const device = { url: own.platform.urls.http, ca: own.ca, cert: identity.certificate, key: identity.key };
    const path = '/api/v1/devices/pi-1/remote?kind=shell&tty=no';
    expect(await codeOf(openSocket(device, path))).toBe('AIOT_NOT_ALLOWED');
    const user = { url: own.platform.urls.http, ca: own.ca, token: own.token };
    expect(await codeOf(openSocket(user, '/remote/agent'))).toBe('AIOT_NOT_ALLOWED');
    expect(await codeOf(openSocket(device, '/remote/agent/other-session'))).toBe('AIOT_NOT_FOUND');
  });

  it('must describe the session exactly', async () => {
    for (const query of [
      { kind: 'shell' },
      { kind: 'shell', tty: 'yes', term: 'x; reboot' },
      { kind: 'forward', port: 0 },
      { kind: 'copy', direction: 'from', path: 'relative' },
      { kind: 'shell', tty: 'no', forMs: 10 ** 9 },
    ])
      expect(await codeOf(own.client.openRemote('pi-1', query as RemoteQuery))).toBe('AIOT_REQUEST_INVALID');
  });

  it('is only the newest agent of a device', async () => {
    const second = await startAgent();
    await expect.poll(() => agentEvents.length).toBeGreaterThan(0);
    const opened = shell();
    opened.stdin.end('true\n');
    await opened.result;
    expect(second.events.some(({ event }) => event === 'accepted')).toBe(true);
    await second.stop();
  });
});

describe('a device that breaks the protocol', () => {
  /** Connects pi-2 without the real agent; it accepts each session and then does what it is told. */
  const hostile = async (behave: (socket: WebSocket) => void) => {
    const identity = await readIdentity(join(own.folder, 'pi-2'));
    const { certificate: cert, key } = identity;
    const access = { url: own.platform.urls.http, ca: own.ca, cert, key };
    const control = await openSocket(access, '/remote/agent');
    control.on('message', async (data) => {
      const { open } = JSON.parse(String(data));
      const socket = await openSocket(access, `/remote/agent/${open}`);
      socket.resume();
      behave(socket);
    });
    control.resume();
    return control;
  };
  const frame = (type: number, channel: number, payload = Buffer.alloc(0)) => {
    const head = Buffer.alloc(5);
    head.writeUInt8(type, 0);
    head.writeUInt32BE(channel, 1);
    return Buffer.concat([head, payload]);
  };

  it.each([
    ['sends frames that are too short', (socket: WebSocket) => socket.send(Buffer.from([0, 1]))],
    ['opens channels', (socket: WebSocket) => socket.send(frame(1, 1000))],
    ['sends unknown frames', (socket: WebSocket) => socket.send(frame(77, 1))],
    ['sends notes that are not JSON', (socket: WebSocket) => socket.send('{')],
    ['sends messages that are too long', (socket: WebSocket) => socket.send(Buffer.alloc(70_000))],
    [
      'sends more than was granted',
      (socket: WebSocket) => {
        for (let i = 0; i < 20; i++) socket.send(frame(0, 1, Buffer.alloc(32_000)));
      },
    ],
    ['disappears', (socket: WebSocket) => socket.terminate()],
    // 122 bytes, which exceed the limit of a close frame with the platform's own words.
    ['closes it with a long reason', (socket: WebSocket) => socket.close(4000, 'é'.repeat(61))],
  ])('and %s loses the session', async (_, behave) => {
    const control = await hostile(behave);
    const stdout = new PassThrough({ highWaterMark: 1 }).pause();
    const { result } = shell({ device: 'pi-2', stdout });
    expect(await codeOf(result)).toBe('AIOT_REMOTE_ENDED');
    control.terminate();
  });

  it('cannot refuse or accept the sessions of another device', async () => {
    const control = await hostile(() => {});
    const opened = await runningShell();
    control.send(JSON.stringify({ refuse: 'none', reason: 'x' }));
    opened.stdin.end('echo still here\n');
    await opened.result;
    expect(opened.shown.text).toContain('still here');
    control.send('nonsense');
    await new Promise((resolve) => control.once('close', resolve));
  });
});

describe('a replica that passes on the connection of a device', () => {
  it('vouches for one valid certificate and one session', async () => {
    const authority = await openAuthority(dirname(own.platform.ca), Date.now);
    const replicas = { id: 'other', others: async () => [] };
    const peers = new RemotePeers({
      ...{ engine: {} as never, authority, replicas, url: () => '', now: Date.now },
    });
    const connect = (session: string, headers: Record<string, string>) =>
      new Promise<WebSocket | number | undefined>((resolve, reject) => {
        const url = own.platform.urls.http.replace('https', 'wss');
        const socket = new WebSocket(`${url}/remote/replica/${session}`, { ca: own.ca, headers });
        socket.once('open', () => resolve(socket)).on('error', reject);
        socket.once('unexpected-response', (_request, response) => resolve(response.resume().statusCode));
      });
    const identities = { 'pi-1': join(own.folder, 'pi-1'), 'pi-2': join(own.folder, 'pi-2') };
    const fingerprintOf = async (device: keyof typeof identities) =>
      describeCertificate((await readIdentity(identities[device])).certificate).fingerprint;
    const { certificate: cert, key } = await readIdentity(identities['pi-2']);
    const control = await openSocket({ url: own.platform.urls.http, ca: own.ca, cert, key }, '/remote/agent');
    const asked = new Promise<string>((resolve) =>
      control.once('message', (data) => resolve(JSON.parse(String(data)).open)),
    );
    control.resume();
    const { stdin, result } = shell({ device: 'pi-2' });
    const session = await asked;
    const ticket = { device: 'pi-2', fingerprint: await fingerprintOf('pi-2'), session };
    for (const [rejected, status] of [
      [{ ...ticket, fingerprint: '0'.repeat(64) }, 403],
      [{ ...ticket, fingerprint: await fingerprintOf('pi-1') }, 403],
      [{ ...ticket, session: 'another' }, 404],
    ] as const)
      expect([rejected, await connect(session, peers.asDevice(rejected))]).toEqual([rejected, status]);
    const [[header = '', sealed = ''] = []] = Object.entries(peers.asDevice(ticket));
    const [body = '', seal = ''] = sealed.split('.');
    const forged = Buffer.from(JSON.stringify({ ...ticket, until: 9e15 })).toString('base64url');
    for (const wrong of [`${forged}.${seal}`, `${body}.`, body, ''])
      expect([wrong, await connect(session, { [header]: wrong })]).toEqual([wrong, 403]);
    const accepted = await connect(session, { [header]: sealed });
    if (!(accepted instanceof WebSocket)) throw new Error(`rejected with ${accepted}`);
    accepted.close(1000);
    stdin.end();
    await result.catch(() => {});
    control.terminate();
  });
});

describe('port forwarding', () => {
  it('reads ports, also without a platform, and rejects anything else', () => {
    expect(forwardPortsOf('0:192.168.1.20:502')).toEqual({ local: 0, host: '192.168.1.20', port: 502 });
    expect(forwardPortsOf('8080:80')).toEqual({ local: 8080, host: '127.0.0.1', port: 80 });
    for (const text of ['80', '80:x', '65536:80', '80:0', '80:65536', '80:a b:80', ':80', '80:'])
      expect(() => forwardPortsOf(text), text).toThrow('expected LOCAL:REMOTE');
  });

  const forward = async () => {
    const events: ForwardEvent[] = [];
    const ending = new AbortController();
    const result = forwardPort({
      ...{ client: own.client, device: 'pi-1', ports: forwardPortsOf(`0:${echoPort}`), forMs: 60_000 },
      onEvent: (event) => events.push(event),
      signal: ending.signal,
    });
    result.catch(() => {});
    await expect.poll(() => events[0]?.from).toMatch(/^127\.0\.0\.1:\d+$/);
    return { events, result, port: Number(events[0]?.from.split(':')[1]), stop: () => ending.abort() };
  };
  /** What the device's port echoes. */
  const echoed = async (port: number, data: string | Buffer) => {
    const socket = connectTo(port, '127.0.0.1');
    socket.end(data);
    return text(socket);
  };

  it('carries many connections at once, without changing a byte', async () => {
    const { port, stop, result } = await forward();
    const texts = Array.from({ length: 20 }, (_, i) => `${i}-`.repeat(20_000 + i));
    expect(await Promise.all(texts.map((each) => echoed(port, each)))).toEqual(texts);
    stop();
    await result;
  });

  it('does not delay other connections when one of them is not read', async () => {
    const { port, stop } = await forward();
    const slow = connectTo(port, '127.0.0.1').pause();
    slow.on('error', () => {}).write(Buffer.alloc(4 << 20));
    await delay(300);
    expect(await echoed(port, 'quick')).toBe('quick');
    slow.destroy();
    stop();
  });

  it('resumes for new connections after a restart of the platform', async () => {
    const { port, events, stop, result } = await forward();
    expect(await echoed(port, 'before')).toBe('before');
    await own.restart();
    await expect.poll(() => events.at(-1)?.event, { timeout: 20_000 }).toBe('resumed');
    expect(await echoed(port, 'after')).toBe('after');
    stop();
    await result;
  }, 40_000);

  it('resumes for new connections after a restart of the agent', async () => {
    const { port, events, stop, result } = await forward();
    expect(await echoed(port, 'before')).toBe('before');
    await stopAgent();
    await expect
      .poll(() => events.at(-1))
      .toMatchObject({ event: 'lost', reason: 'the device disconnected' });
    ({ stop: stopAgent } = await startAgent());
    await expect.poll(() => events.at(-1)?.event, { timeout: 20_000 }).toBe('resumed');
    expect(await echoed(port, 'after')).toBe('after');
    stop();
    await result;
  }, 40_000);

  it('ends for good when an operator closes it, and does not resume', async () => {
    const { events, result } = await forward();
    result.catch(() => {});
    const [session] = await own.client.remoteSessions.list();
    await own.client.remoteSessions.close(session?.id ?? '');
    expect(await codeOf(result)).toBe('AIOT_REMOTE_ENDED');
    expect(events.map(({ event }) => event)).not.toContain('lost');
  });

  it('ends when its time is over', async () => {
    const { result } = await forward();
    laterMs = 61_000;
    expect(await codeOf(result)).toBe(null);
    await expect.poll(lastEnd).toMatchObject({ data: { kind: 'forward', reason: 'its time is over' } });
  });

  it('reports ports that nothing listens on', async () => {
    await stopAgent();
    const { stop } = await startAgent({ allow: ['forward=9'] });
    const events: ForwardEvent[] = [];
    const ending = new AbortController();
    const result = forwardPort({
      ...{
        client: own.client,
        device: 'pi-1',
        ports: forwardPortsOf('0:9'),
        forMs: 60_000,
        signal: ending.signal,
      },
      onEvent: (event) => events.push(event),
    });
    await expect.poll(() => events.length).toBe(1);
    await echoed(Number(events[0]?.from.split(':')[1]), 'x').catch(() => {});
    await expect
      .poll(() => events.at(-1))
      .toMatchObject({ event: 'failed', reason: '127.0.0.1:9: ECONNREFUSED' });
    ending.abort();
    await result;
    await stop();
  });
});

describe('copying', () => {
  const bytes = Buffer.from(Array.from({ length: 3_000_000 }, (_, i) => (i * 31 + (i >> 9)) & 255));

  it('transfers a file in both directions, with its permissions', async () => {
    const local = join(own.folder, 'local.bin');
    await writeFile(local, bytes, { mode: 0o640 });
    const sent = await ok(copiedSchema, ['device', 'copy', local, `pi-1:${shared}/there.bin`]);
    expect(sent).toMatchObject({ device: 'pi-1', bytes: bytes.length });
    expect((await readFile(join(shared, 'there.bin'))).equals(bytes)).toBe(true);
    await copy(`pi-1:${shared}/there.bin`, join(own.folder, 'back.bin'));
    expect((await readFile(join(own.folder, 'back.bin'))).equals(bytes)).toBe(true);
    expect((await readdir(shared)).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  it('stays in the allowed folders, also through links', async () => {
    await writeFile(join(own.folder, 'outside'), 'secret');
    await symlink(join(own.folder, 'outside'), join(shared, 'link'));
    await symlink(own.folder, join(shared, 'folder'));
    for (const path of ['link', 'folder/outside', '../outside', 'missing/../../outside'])
      expect(await codeOf(copy(`pi-1:${shared}/${path}`, join(own.folder, 'got'))), path).toBe(
        'AIOT_REMOTE_REFUSED',
      );
    const local = join(own.folder, 'back.bin');
    expect(await codeOf(copy(local, `pi-1:${shared}/folder/new`))).toBe('AIOT_REMOTE_REFUSED');
    expect(existsSync(join(own.folder, 'got'))).toBe(false);
  });

  it('reports files that do not exist, and writes nothing', async () => {
    const target = join(own.folder, 'none');
    expect(await messageOf(copy(`pi-1:${shared}/none`, target))).toBe(`pi-1: ${shared}/none: ENOENT`);
    expect(existsSync(target)).toBe(false);
    expect(await codeOf(copy('a', 'b'))).toBe('AIOT_USAGE');
    expect(await codeOf(copy(join(own.folder, 'absent'), `pi-1:${shared}/x`))).toBe('AIOT_FILE_NOT_FOUND');
  });
});

describe('open sessions', () => {
  const sessionsSchema = z.array(remoteSessionSchema);
  const list = (...argv: string[]) => ok(sessionsSchema, ['device', 'sessions', 'list', ...argv]);

  it('are listed with their users and bytes, and closed by other users', async () => {
    // The last session of an earlier test may end a little later.
    await expect.poll(() => list()).toEqual([]);
    const { pid, result, stdin } = await runningShell();
    const [opened, ...others] = await list('--device', 'pi-1');
    expect(others).toEqual([]);
    expect(opened).toMatchObject({ device: 'pi-1', kind: 'shell', target: 'commands' });
    expect(opened?.bytesFrom).toBeGreaterThan(5);
    expect(opened?.until).toBe((opened?.opened ?? 0) + 60_000);
    expect(await list('--device', 'pi-2')).toEqual([]);
    const { stdout } = await runCli(['device', 'sessions', 'list']);
    expect(stdout).toContain(opened?.id);
    const closed = await ok(remoteSessionSchema, ['device', 'sessions', 'close', opened?.id ?? '']);
    expect(closed).toMatchObject({ id: opened?.id, device: 'pi-1' });
    expect(await messageOf(result)).toMatch(/^the session ended: .*closed by /);
    await expect.poll(() => isAlive(pid)).toBe(false);
    await expect.poll(async () => (await lastEnd())?.data.session).toBe(opened?.id);
    expect((await lastEnd())?.data.reason).toMatch(/^closed by operator /);
    expect(await list()).toEqual([]);
    expect(await refusal(['device', 'sessions', 'close', opened?.id ?? ''])).toMatchObject({
      ...{ code: 'AIOT_NOT_FOUND', exit: 4 },
    });
    stdin.end();
  });

  it('of other devices are hidden from users limited to some devices', async () => {
    const { result, stop } = await runningShell();
    const [opened] = await list();
    const id = opened?.id ?? '';
    await withToken({ role: 'operator', selector: 'pi-2' }, async (client) => {
      expect(await client.remoteSessions.list({})).toEqual([]);
      expect(await codeOf(client.remoteSessions.list({ device: 'pi-1' }))).toBe('AIOT_NOT_ALLOWED');
      for (const each of [id, 'another'])
        expect(await messageOf(client.remoteSessions.close(each))).toBe(
          `no open remote session has the ID ${each}`,
        );
    });
    await withToken({ role: 'viewer', selector: 'pi-1' }, async (client) => {
      expect(await client.remoteSessions.list({})).toMatchObject([{ id }]);
      expect(await codeOf(client.remoteSessions.close(id))).toBe('AIOT_NOT_ALLOWED');
    });
    stop();
    await result.catch(() => {});
  });
});

describe('the commands', () => {
  it('print results as JSON, and errors with their codes', async () => {
    expect((await refusal(['device', 'shell', 'pi-2'])).code).toBe('AIOT_DEVICE_OFFLINE');
    expect((await refusal(['device', 'shell', 'pi-3'])).code).toBe('AIOT_NOT_FOUND');
    expect((await refusal(['device', 'forward', 'pi-1', '80'])).code).toBe('AIOT_USAGE');
    expect((await refusal(['device', 'agent', join(own.folder, 'pi-1'), '--allow', 'all'])).code).toBe(
      'AIOT_USAGE',
    );
    expect(remoteShellSchema.shape.exit.safeParse(0).success).toBe(true);
  });
});

import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { basename, dirname, join } from 'node:path';
import type { Duplex, Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type { WebSocket } from 'ws';
import { mostCopyBytes, type RemoteRequest, remoteCloseCodes } from '../../api/remote.js';
import { systemCode } from '../../core/errors.js';
import { type ChildProcess, runProgram, startProgram, stopProgram } from '../../core/process.js';
import { deferred } from '../../core/tasks.js';
import { placeOf, type RemotePolicy, shellEnvironment } from './policy.js';
import { Tunnel, type TunnelEnd } from './tunnel.js';

type Shell = RemoteRequest & { kind: 'shell' };
type Note = Record<string, unknown>;

/** How long the user's program may take to read the last output before the agent closes the session, ms. */
const partingMs = 10_000;
/** Time between SIGHUP or SIGTERM and SIGKILL, ms. */
const graceMs = 2000;
const connectMs = 10_000;
/** How much later than the platform the device ends a session whose time is over, ms. */
const slackMs = 5000;

export interface ServeOptions {
  request: RemoteRequest;
  policy: RemotePolicy;
  /** The program of a shell without a terminal, and its arguments; default: the user's shell. */
  shell?: readonly string[] | undefined;
}

/** Carries out one session on the device; resolves when it has ended and everything that it started has stopped. */
export async function serveSession(socket: WebSocket, options: ServeOptions): Promise<TunnelEnd> {
  const { request } = options;
  // The device measures the time itself, in case the platform does not end the session.
  const timer = setTimeout(() => {
    socket.close(remoteCloseCodes.expired, 'its time is over');
  }, request.forMs + slackMs);
  try {
    if (request.kind === 'shell') return await serveShell(socket, request, options.shell);
    if (request.kind === 'forward') return await serveForward(socket, request);
    return await serveCopy(socket, request, options.policy);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Runs a shell. The user's program opens a channel for stdin and stdout, then one for stderr. With a terminal, util-linux's `script`
 * provides it, and stderr is unused.
 */
async function serveShell(socket: WebSocket, request: Shell, shell?: readonly string[]): Promise<TunnelEnd> {
  const channels: Duplex[] = [];
  const both = deferred();
  let terminal = '';
  const tunnel = new Tunnel(socket, {
    onChannel(channel) {
      channels.push(channel);
      if (channels.length === 2) both.resolve();
    },
    onNote: (note) => resize(terminal, note),
  });
  if ((await Promise.race([both.promise.then(() => null), tunnel.closed])) !== null) return tunnel.closed;
  const [main, errors] = channels as [Duplex, Duplex];
  const child = startShell(request, shell);
  const named = child.stdio[3] as Readable | null | undefined;
  named?.on('data', (text: Buffer) => {
    terminal = (terminal + text.toString('utf8')).slice(0, 100);
  });
  const gone = new Promise<Note>((resolve) => {
    child.once('error', (error) =>
      resolve({ error: `the shell could not be started (${systemCode(error) ?? error.message})` }),
    );
    child.once('exit', (exit, signal) => resolve({ exit, signal }));
  });
  const ignore = () => {};
  const output = Promise.all([
    pipeline(child.stdout as Readable, main, { end: false }).catch(ignore),
    pipeline(child.stderr as Readable, errors, { end: false }).catch(ignore),
  ]);
  pipeline(main, child.stdin as Writable).catch(ignore);
  const end = await Promise.race([gone, tunnel.closed]);
  if ('code' in end) await stopProgram(child, { group: true, graceMs });
  else {
    await Promise.race([output, quiet(child, channels), tunnel.closed]);
    for (const channel of channels) channel.end();
    await tunnel.note(end);
    endAfter(tunnel, partingMs);
  }
  return tunnel.closed;
}

/**
 * Resolves once there is no more output for a second and all of it has been sent. Programs in the background may keep the streams open
 * forever.
 */
async function quiet({ stdout, stderr }: ChildProcess, channels: readonly Duplex[]): Promise<void> {
  let last = Date.now();
  for (const stream of [stdout, stderr])
    stream?.on('data', () => {
      last = Date.now();
    });
  while (
    Date.now() - last < 1000 ||
    channels.some(({ destroyed, writableLength }) => !destroyed && writableLength > 0)
  )
    await delay(100);
}

function startShell({ tty, rows, columns, term }: Shell, shell?: readonly string[]): ChildProcess {
  const env: NodeJS.ProcessEnv = { ...shellEnvironment(), TERM: term };
  const cwd = env.HOME ?? '/';
  if (tty === 'no' || shell !== undefined) {
    const [program = '/bin/sh', ...args] = shell ?? [];
    return startProgram(program, args, {
      detached: true,
      cwd,
      env,
      stdio: ['pipe', 'pipe', 'pipe', 'ignore'],
    });
  }
  const command = `tty >&3; exec 3>&-; stty rows ${rows} cols ${columns}; exec "\${SHELL:-/bin/sh}" -l`;
  return startProgram('script', ['-qefc', command, '/dev/null'], {
    ...{ detached: true, cwd, env: { ...env, SHELL: env.SHELL ?? '/bin/sh' } },
    stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
  });
}

/** Changes the size of the terminal, which sends SIGWINCH to its programs. */
function resize(terminal: string, { rows, columns }: Note): void {
  const file = /^\/dev\/pts\/[0-9]+$/.exec(terminal.trim())?.[0];
  const isSize = (value: unknown) => Number.isInteger(value) && Number(value) >= 1 && Number(value) <= 1000;
  if (file === undefined || !isSize(rows) || !isSize(columns)) return;
  runProgram('stty', ['-F', file, 'rows', String(rows), 'cols', String(columns)], { timeoutMs: 2000 }).catch(
    () => {},
  );
}

/** Connects each channel to the port. */
async function serveForward(
  socket: WebSocket,
  { host, port }: RemoteRequest & { kind: 'forward' },
): Promise<TunnelEnd> {
  const tunnel = new Tunnel(socket, {
    onChannel(channel) {
      const target = connect({ host, port, allowHalfOpen: true });
      target.setTimeout(connectMs, () => target.destroy(new Error('no connection within 10 s')));
      target.once('connect', () => target.setTimeout(0));
      target.on('error', (error) =>
        channel.destroy(new Error(`${host}:${port}: ${systemCode(error) ?? error.message}`)),
      );
      channel.on('close', () => target.destroy());
      target.pipe(channel);
      channel.pipe(target);
    },
  });
  return tunnel.closed;
}

async function serveCopy(
  socket: WebSocket,
  request: RemoteRequest & { kind: 'copy' },
  policy: RemotePolicy,
): Promise<TunnelEnd> {
  const opened = deferred<Duplex>();
  const sum = deferred<Note>();
  const tunnel = new Tunnel(socket, { onChannel: opened.resolve, onNote: sum.resolve });
  const channel = await Promise.race([opened.promise, tunnel.closed]);
  if ('code' in channel) return channel;
  const place = await placeOf(policy, request);
  let told: Note;
  try {
    if (place === null) throw new Error(`${request.path} is no longer in an allowed folder`);
    told =
      request.direction === 'from'
        ? await sendFile(place, channel, tunnel)
        : await takeFile(place, channel, sum.promise, tunnel);
  } catch (error) {
    told = { error: error instanceof Error ? (systemCode(error) ?? error.message) : String(error) };
  }
  await tunnel.note(told);
  endAfter(tunnel, partingMs);
  return tunnel.closed;
}

async function sendFile(place: string, channel: Duplex, tunnel: Tunnel): Promise<Note> {
  // A named pipe would block the open, and a link may have been placed there since the check.
  const file = await open(place, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const info = await file.stat();
    if (!info.isFile()) throw new Error('it is not a regular file');
    if (info.size > mostCopyBytes) throw new Error(`it is larger than ${mostCopyBytes} bytes`);
    await tunnel.note({ size: info.size, mode: info.mode & 0o777 });
    const hash = createHash('sha256');
    let bytes = 0;
    const read = file.createReadStream({ autoClose: false });
    const counted = async function* (chunks: AsyncIterable<Buffer>) {
      for await (const chunk of chunks) {
        bytes += chunk.length;
        if (bytes > mostCopyBytes) throw new Error(`it is larger than ${mostCopyBytes} bytes`);
        hash.update(chunk);
        yield chunk;
      }
    };
    await pipeline(read, counted, channel, { end: true });
    return { bytes, sha256: hash.digest('hex') };
  } finally {
    await file.close();
  }
}

async function takeFile(place: string, channel: Duplex, sum: Promise<Note>, tunnel: Tunnel): Promise<Note> {
  const draft = join(dirname(place), `.${basename(place).slice(0, 100)}.${process.pid}.aiot-copy`);
  const file = await open(draft, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
  try {
    const hash = createHash('sha256');
    let bytes = 0;
    for await (const chunk of channel as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > mostCopyBytes) throw new Error(`it is larger than ${mostCopyBytes} bytes`);
      hash.update(chunk);
      await file.writeFile(chunk);
    }
    const expected = await Promise.race([sum, tunnel.closed]);
    const sha256 = hash.digest('hex');
    if (!('sha256' in expected) || expected.sha256 !== sha256 || expected.bytes !== bytes)
      throw new Error('the file did not arrive completely');
    const mode = Number(expected.mode);
    if (Number.isInteger(mode)) await file.chmod(mode & 0o777);
    await file.sync();
    await rename(draft, place);
    return { bytes, sha256 };
  } finally {
    await file.close();
    await rm(draft, { force: true });
  }
}

function endAfter(tunnel: Tunnel, ms: number): void {
  const timer = setTimeout(() => tunnel.close(), ms);
  void tunnel.closed.then(() => clearTimeout(timer));
}

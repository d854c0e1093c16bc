import { createHash, randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, rename, rm, stat } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { basename, dirname, join, resolve } from 'node:path';
import { type Duplex, PassThrough, type Readable, type Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as delay } from 'node:timers/promises';
import * as z from 'zod';
import type { RegistryClient } from '../../api/client.js';
import {
  mostCopyBytes,
  type RemoteOpened,
  type RemoteQuery,
  remoteCloseCodes,
  remoteEnded,
  remoteOpenedSchema,
} from '../../api/remote.js';
import { AiotError, hasCode } from '../../core/errors.js';
import { onAbort } from '../../core/tasks.js';
import { backOffMs, withJitter } from '../../core/time.js';
import { Tunnel, type TunnelEnd } from './tunnel.js';

type Client = Pick<RegistryClient, 'openRemote'>;
type Note = Record<string, unknown>;

/** The most output of a shell that is part of the result, characters. */
const mostOutput = 1_000_000;

interface Opened extends RemoteOpened {
  tunnel: Tunnel;
  /** The next note after the first one, in order. */
  next(): Promise<Note>;
}

async function openSession(
  client: Client,
  device: string,
  query: RemoteQuery,
  signal: AbortSignal,
): Promise<Opened> {
  const socket = await client.openRemote(device, query, signal);
  const arrived: Note[] = [];
  const waiting: ((note: Note) => void)[] = [];
  const next = async () => arrived.shift() ?? (await new Promise<Note>((done) => waiting.push(done)));
  const tunnel = new Tunnel(socket, {
    onNote(note) {
      const wakes = waiting.shift();
      if (wakes === undefined) arrived.push(note);
      else wakes(note);
    },
  });
  const gone = tunnel.closed.then((end): never => {
    throw remoteEnded(reasonOf(end));
  });
  gone.catch(() => {});
  const opened = remoteOpenedSchema.parse(await Promise.race([next(), gone]));
  return { ...opened, tunnel, next };
}

const reasonOf = ({ code, reason }: TunnelEnd) =>
  reason !== '' ? reason : code === 1006 ? 'the connection was lost' : `code ${code}`;

export const remoteShellSchema = z.object({
  device: z.string(),
  session: z.string(),
  /** Exit code of the shell; null = a signal ended it. */
  exit: z.int().nullable(),
  signal: z.string().nullable(),
  ms: z.number(),
  /** With --json: the end of the output, and whether earlier output is missing. */
  stdout: z.string().optional(),
  stderr: z.string().optional(),
  cut: z.boolean().optional(),
  /** Whether the platform recorded the session. */
  recorded: z.boolean(),
});
export type RemoteShell = z.output<typeof remoteShellSchema>;

export interface ShellOptions {
  client: Client;
  device: string;
  forMs: number;
  stdin: Readable & { isTTY?: boolean; setRawMode?(raw: boolean): unknown };
  stdout: Writable & { isTTY?: boolean; rows?: number; columns?: number };
  stderr: Writable;
  /** Whether the output becomes part of the result and is not printed. */
  collect: boolean;
  /** Called before the shell starts if the platform records it. */
  onRecorded?: () => void;
  signal: AbortSignal;
}

/**
 * Runs a shell on the device: with a terminal if stdin and stdout are one, otherwise with the commands from stdin.
 * @throws AIOT_DEVICE_OFFLINE, AIOT_REMOTE_REFUSED, AIOT_REMOTE_ENDED, AIOT_REMOTE_FAILED
 */
export async function remoteShell(options: ShellOptions): Promise<RemoteShell> {
  const { client, device, forMs, stdin, stdout, stderr, collect, signal } = options;
  const tty = stdin.isTTY === true && stdout.isTTY === true && !collect;
  const size = () => ({ rows: stdout.rows ?? 24, columns: stdout.columns ?? 80 });
  const term = /^[a-z0-9._+-]{1,40}$/i.test(process.env.TERM ?? '') ? (process.env.TERM as string) : 'xterm';
  const query: RemoteQuery = tty
    ? { kind: 'shell', forMs, tty: 'yes', ...size(), term }
    : { kind: 'shell', forMs, tty: 'no' };
  const began = Date.now();
  const { tunnel, session, recorded, next } = await openSession(client, device, query, signal);
  if (recorded) options.onRecorded?.();
  const ended = next();
  const leave = onAbort(signal, () => tunnel.close());
  const resized = () => void tunnel.note(size());
  const [main, errors] = [tunnel.open(), tunnel.open()];
  const [shownOutput, shownErrors] = [collect ? lastText() : null, collect ? lastText() : null];
  try {
    if (tty) {
      stdin.setRawMode?.(true);
      stdout.on('resize', resized);
    }
    stdin.on('error', () => {});
    pipeInput(stdin, main);
    const output = Promise.all([
      pipeline(main, shownOutput?.stream ?? stdout, { end: collect }).catch(() => {}),
      pipeline(errors, shownErrors?.stream ?? stderr, { end: collect }).catch(() => {}),
    ]);
    const end = await Promise.race([ended, tunnel.closed]);
    signal.throwIfAborted();
    if ('code' in end) throw remoteEnded(reasonOf(end as unknown as TunnelEnd));
    if (typeof end.error === 'string') throw failed(device, end.error);
    await Promise.race([output, tunnel.closed]);
    return {
      ...{ device, session, recorded, ms: Date.now() - began },
      exit: typeof end.exit === 'number' ? end.exit : null,
      signal: typeof end.signal === 'string' ? end.signal : null,
      ...(shownOutput && shownErrors
        ? {
            ...{ stdout: shownOutput.text(), stderr: shownErrors.text() },
            cut: shownOutput.cut() || shownErrors.cut(),
          }
        : {}),
    };
  } finally {
    leave();
    if (tty) stdin.setRawMode?.(false);
    stdout.off('resize', resized);
    stdin.unpipe();
    stdin.pause();
    tunnel.close();
  }
}

function pipeInput(stdin: Readable, main: Duplex): void {
  stdin.pipe(main);
  // `pipe` does not end its destination if the source was at its end before.
  if (stdin.readableEnded) main.end();
}

/** Collects the end of a stream as text. */
function lastText() {
  const stream = new PassThrough();
  let text = '';
  let cut = false;
  stream.setEncoding('utf8').on('data', (more: string) => {
    text += more;
    if (text.length > mostOutput) {
      cut = true;
      text = text.slice(-mostOutput);
    }
  });
  return { stream, text: () => text, cut: () => cut };
}

function failed(device: string, reason: string): AiotError {
  return new AiotError('AIOT_REMOTE_FAILED', `${device}: ${reason}`);
}

export const forwardEventSchema = z.object({
  /** ms since 1970 */
  t: z.number(),
  event: z.enum(['listening', 'lost', 'resumed', 'failed']),
  device: z.string(),
  /** Local address, and address as seen from the device. */
  from: z.string(),
  to: z.string(),
  session: z.string().optional(),
  /** Time at which the session ends, ms since 1970. */
  until: z.number().optional(),
  reason: z.string().optional(),
});
export type ForwardEvent = z.output<typeof forwardEventSchema>;

export interface ForwardPorts {
  /** Port of 127.0.0.1 on this machine; 0 = a free one. */
  local: number;
  /** As seen from the device. */
  host: string;
  port: number;
}

/** Reads `LOCAL:REMOTE` or `LOCAL:HOST:REMOTE`. @throws AIOT_USAGE */
export function forwardPortsOf(text: string): ForwardPorts {
  const [, local = '', host = '127.0.0.1', port = ''] =
    /^(\d{1,5}):(?:([a-z0-9.-]+):)?(\d{1,5})$/i.exec(text) ?? [];
  if (port === '' || Number(local) > 65_535 || Number(port) < 1 || Number(port) > 65_535)
    throw new AiotError('AIOT_USAGE', `expected LOCAL:REMOTE such as 8080:80, got ${text}`);
  return { local: Number(local), host, port: Number(port) };
}

export interface ForwardOptions {
  client: Client;
  device: string;
  ports: ForwardPorts;
  forMs: number;
  onEvent(event: ForwardEvent): void;
  signal: AbortSignal;
}

/**
 * Listens on a local port, and connects each connection to a port as seen from the device, until the time is over or the signal is
 * aborted. If the platform or the device's agent restarts, open connections end, and a new session is opened for further ones.
 * @throws AIOT_PORT_IN_USE, AIOT_DEVICE_OFFLINE, AIOT_REMOTE_REFUSED, AIOT_REMOTE_ENDED
 */
export async function forwardPort(options: ForwardOptions): Promise<void> {
  const { client, device, forMs, onEvent, signal } = options;
  const { local, host, port } = options.ports;
  const until = Date.now() + forMs;
  const opening = (ms: number) =>
    openSession(client, device, { kind: 'forward', forMs: ms, host, port }, signal);
  let current = await opening(forMs);
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    carry(socket, current.tunnel, (reason) => tell('failed', { reason }));
  });
  let from = '';
  const tell = (event: ForwardEvent['event'], more: Partial<ForwardEvent> = {}) =>
    onEvent({ t: Date.now(), event, device, from, to: `${host}:${port}`, ...more });
  const leave = onAbort(signal, () => current.tunnel.close());
  try {
    from = await listen(server, local);
    tell('listening', { session: current.session, until: current.until });
    while (!signal.aborted) {
      const end = await current.tunnel.closed;
      if (signal.aborted || end.code === remoteCloseCodes.expired) return;
      const reason = reasonOf(end);
      // The platform ended the session on purpose.
      if (!transientCodes.has(end.code)) throw remoteEnded(reason);
      tell('lost', { reason });
      current = await reopened(opening, until, signal, reason);
      tell('resumed', { session: current.session, until: current.until });
    }
  } finally {
    leave();
    current.tunnel.close();
    server.close();
    for (const socket of sockets) socket.destroy();
  }
}

/** Close codes after which a new session may succeed: the platform is stopping, or a connection was lost (RFC 6455, section 7.4.1). */
const transientCodes: ReadonlySet<number> = new Set([1001, 1006, remoteCloseCodes.lost]);

/** Opens a new session once the platform and the device are back. @throws AIOT_REMOTE_ENDED if the time is over, and permanent errors */
async function reopened(
  opening: (ms: number) => Promise<Opened>,
  until: number,
  signal: AbortSignal,
  reason: string,
): Promise<Opened> {
  for (let failures = 1; ; failures++) {
    await delay(withJitter(backOffMs(failures, 300, 15_000)), undefined, { signal }).catch(() => {});
    signal.throwIfAborted();
    const left = until - Date.now();
    if (left < 1000) throw remoteEnded(reason);
    try {
      return await opening(left);
    } catch (error) {
      const isAway =
        hasCode(error, 'AIOT_DEVICE_OFFLINE') ||
        hasCode(error, 'AIOT_REMOTE_ENDED') ||
        (error instanceof AiotError && error.retryable);
      if (!isAway) throw error;
    }
  }
}

function carry(socket: Socket, tunnel: Tunnel, failedWith: (reason: string) => void): void {
  const channel = tunnel.open();
  socket.on('error', () => channel.destroy());
  channel.on('error', (error) => {
    failedWith(error.message);
    socket.destroy();
  });
  channel.on('close', () => socket.destroySoon());
  socket.on('close', () => channel.destroy());
  socket.pipe(channel);
  channel.pipe(socket);
}

/** Listens on the loopback address. @throws AIOT_PORT_IN_USE */
function listen(server: Server, port: number): Promise<string> {
  return new Promise((done, reject) => {
    server.once('error', (error) =>
      reject(new AiotError('AIOT_PORT_IN_USE', `127.0.0.1:${port}: ${error.message}`, { cause: error })),
    );
    server.listen(port, '127.0.0.1', () => {
      const address = server.address();
      done(`127.0.0.1:${typeof address === 'object' && address ? address.port : port}`);
    });
  });
}

export const copiedSchema = z.object({
  device: z.string(),
  session: z.string(),
  from: z.string(),
  to: z.string(),
  bytes: z.int(),
  sha256: z.string(),
  ms: z.number(),
});
export type Copied = z.output<typeof copiedSchema>;

export interface CopyOptions {
  client: Client;
  /** A local path, or `DEVICE:/PATH`. Exactly one of them is on the device. */
  from: string;
  to: string;
  forMs: number;
  onProgress?: ((done: number, total: number) => void) | undefined;
  signal: AbortSignal;
}

/**
 * Copies a file from a device or to it. The file appears only once it has arrived completely.
 * @throws AIOT_USAGE, AIOT_FILE_NOT_FOUND, AIOT_DEVICE_OFFLINE, AIOT_REMOTE_REFUSED, AIOT_REMOTE_ENDED, AIOT_REMOTE_FAILED
 */
export async function copyFile(options: CopyOptions): Promise<Copied> {
  const { client, from, to, forMs, signal } = options;
  const [source, target] = [placeOn(from), placeOn(to)];
  if ((source === null) === (target === null))
    throw new AiotError('AIOT_USAGE', `expected one path on a device, DEVICE:/PATH, got ${from} and ${to}`);
  const { device, path } = (source ?? target) as { device: string; path: string };
  const direction = source ? 'from' : 'to';
  const info = source ? null : await localFile(from);
  const began = Date.now();
  const { tunnel, session, next } = await openSession(
    client,
    device,
    { kind: 'copy', forMs, direction, path },
    signal,
  );
  const leave = onAbort(signal, () => tunnel.close());
  try {
    const channel = tunnel.open();
    const work = info
      ? upload(from, info, channel, tunnel, next, options)
      : download(localTarget(to, path), channel, next, options);
    work.catch(() => {});
    const gone = tunnel.closed.then((end): never => {
      signal.throwIfAborted();
      throw remoteEnded(reasonOf(end));
    });
    gone.catch(() => {});
    const { bytes, sha256, error } = await Promise.race([work, gone]);
    if (error !== undefined) throw failed(device, `${path}: ${error}`);
    return { device, session, from, to, bytes, sha256, ms: Date.now() - began };
  } finally {
    leave();
    tunnel.close();
  }
}

interface Transferred {
  bytes: number;
  sha256: string;
  error?: string;
}

async function upload(
  file: string,
  { size, mode }: { size: number; mode: number },
  channel: Duplex,
  tunnel: Tunnel,
  next: () => Promise<Note>,
  { onProgress, signal }: CopyOptions,
): Promise<Transferred> {
  const hash = createHash('sha256');
  let bytes = 0;
  const counted = async function* (chunks: AsyncIterable<Buffer>) {
    for await (const chunk of chunks) {
      bytes += chunk.length;
      hash.update(chunk);
      onProgress?.(bytes, size);
      yield chunk;
    }
  };
  // If the device stops reading, its note has the reason.
  const sending = pipeline(createReadStream(file), counted, channel, { signal }).then(async () => {
    await tunnel.note({ bytes, sha256: hash.copy().digest('hex'), mode });
  });
  sending.catch(() => {});
  const told = await next();
  if (typeof told.error === 'string') return { bytes, sha256: '', error: told.error };
  await sending;
  return { bytes, sha256: String(told.sha256) };
}

async function download(
  file: string,
  channel: Duplex,
  next: () => Promise<Note>,
  { onProgress }: CopyOptions,
): Promise<Transferred> {
  channel.end();
  const first = await next();
  if (typeof first.error === 'string') return { bytes: 0, sha256: '', error: first.error };
  const size = Number(first.size);
  const draft = join(dirname(file), `.${basename(file)}.${randomUUID().slice(0, 8)}`);
  const handle = await open(draft, 'wx', 0o600);
  try {
    const hash = createHash('sha256');
    let bytes = 0;
    for await (const chunk of channel as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > mostCopyBytes) throw new Error('the device sent more than it may');
      hash.update(chunk);
      await handle.writeFile(chunk);
      onProgress?.(bytes, size);
    }
    const last = await next();
    if (typeof last.error === 'string') return { bytes, sha256: '', error: last.error };
    const sha256 = hash.digest('hex');
    if (last.sha256 !== sha256 || last.bytes !== bytes) throw new Error('the file did not arrive completely');
    await handle.chmod(Number(first.mode) & 0o777);
    await handle.sync();
    await rename(draft, file);
    return { bytes, sha256 };
  } finally {
    await handle.close();
    await rm(draft, { force: true });
  }
}

/** `DEVICE:/PATH`; null = a local path. */
function placeOn(text: string): { device: string; path: string } | null {
  const [, device, path] = /^([a-z0-9][a-z0-9_.-]*):(\/.*)$/is.exec(text) ?? [];
  return device === undefined || path === undefined ? null : { device, path };
}

/** The local file; for a path that ends with a slash, the file of the same name in that folder. */
function localTarget(to: string, path: string): string {
  return resolve(to.endsWith('/') || to === '.' ? join(to, basename(path)) : to);
}

/** @throws AIOT_FILE_NOT_FOUND, AIOT_USAGE */
async function localFile(file: string): Promise<{ size: number; mode: number }> {
  const info = await stat(file).catch((error: unknown) => {
    throw new AiotError('AIOT_FILE_NOT_FOUND', `${file} does not exist`, { cause: error });
  });
  if (!info.isFile()) throw new AiotError('AIOT_USAGE', `${file}: expected a regular file`);
  if (info.size > mostCopyBytes)
    throw new AiotError('AIOT_USAGE', `${file}: expected at most ${mostCopyBytes} bytes, got ${info.size}`);
  return { size: info.size, mode: info.mode & 0o777 };
}

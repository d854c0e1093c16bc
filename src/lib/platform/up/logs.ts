import { once } from 'node:events';
import { copyFileSync, createReadStream, statSync, truncateSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import * as z from 'zod';
import { AiotError, systemCode } from '../../core/errors.js';
import { runProgram, startProgram } from '../../core/process.js';
import { onAbort } from '../../core/tasks.js';
import { parsedJson } from '../../core/text.js';
import { platformFolder } from './options.js';

export const logLineSchema = z.object({
  /** ms since 1970; null = the line has no time. */
  time: z.number().nullable(),
  level: z.enum(['debug', 'info', 'warning', 'error']),
  message: z.string(),
  /** The line's other members. */
  detail: z.record(z.string(), z.unknown()),
});

export type LogLine = z.output<typeof logLineSchema>;

interface LogOptions {
  data?: string | undefined;
  /** Whether to continue with new lines. */
  follow: boolean;
  /** Start time, ms since 1970; older lines are omitted. */
  since?: number | undefined;
  /** Number of last lines to yield; all lines when absent. */
  last?: number | undefined;
  signal: AbortSignal;
}

const service = 'aiot-platform';
const lookMs = 250;

/**
 * Yields the log of a folder's platform, from the file of a background process or the system journal of a service.
 * @throws AIOT_FILE_NOT_FOUND if there is neither
 */
export async function* readLogs(options: LogOptions): AsyncGenerator<LogLine> {
  const { follow, since = 0, last, signal } = options;
  const path = join(platformFolder(options.data), 'platform.log');
  const there = await sizeOf(path);
  const kept: LogLine[] = [];
  const own = there !== null;
  if (!own && !(await isService())) throw noLog(path);
  const before = own ? fileLines(path) : journalLines(since, false, signal);
  for await (const text of before) {
    const line = logLineOf(text);
    if (line.time !== null && line.time < since) continue;
    if (last === undefined) yield line;
    else if (kept.push(line) > last) kept.shift();
  }
  yield* kept;
  if (!follow) return;
  const after = own ? grown(path, there, signal) : journalLines(Date.now(), true, signal);
  for await (const text of after) yield logLineOf(text);
}

async function* fileLines(path: string): AsyncGenerator<string> {
  for (const file of [olderLog(path), path]) {
    if ((await sizeOf(file)) !== null) yield* linesOf(createReadStream(file));
  }
}

/** Yields lines after `from` as they are appended; a truncated file is read from the start. */
async function* grown(path: string, from: number, signal: AbortSignal): AsyncGenerator<string> {
  let at = from;
  let rest = '';
  while (!signal.aborted) {
    const size = (await sizeOf(path)) ?? 0;
    if (size < at) [at, rest] = [0, ''];
    if (size > at) {
      const chunks: Buffer[] = [];
      for await (const chunk of createReadStream(path, { start: at, end: size - 1 }))
        chunks.push(chunk as Buffer);
      const lines = (rest + Buffer.concat(chunks).toString('utf8')).split('\n');
      rest = lines.pop() ?? '';
      at = size;
      yield* lines;
    } else await delay(lookMs, undefined, { signal }).catch(() => {});
  }
}

/** Yields lines from `journalctl -o cat`, which prints them unchanged. */
async function* journalLines(since: number, follow: boolean, signal: AbortSignal): AsyncGenerator<string> {
  const from = `--since=@${Math.floor(since / 1000)}`;
  const words = [
    '--unit',
    service,
    '--output=cat',
    '--no-pager',
    from,
    ...(follow ? ['--follow', '--lines=0'] : []),
  ];
  const child = startProgram('journalctl', words, { stdio: ['ignore', 'pipe', 'ignore'] });
  const failed = once(child, 'spawn').then(
    () => undefined,
    (cause: unknown) => {
      const why = systemCode(cause) ?? String(cause);
      return new AiotError('AIOT_PROGRAM_FAILED', `journalctl could not be started (${why})`, { cause });
    },
  );
  const stop = () => child.kill();
  const leave = onAbort(signal, stop);
  try {
    const error = await failed;
    if (error) throw error;
    yield* linesOf(child.stdout);
  } finally {
    leave();
    stop();
  }
}

async function* linesOf(input: Readable): AsyncGenerator<string> {
  for await (const line of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY }))
    if (line !== '') yield line;
}

async function isService(): Promise<boolean> {
  const words = ['--unit', service, '--lines=1', '--output=cat', '--no-pager'];
  const found = await runProgram('journalctl', words, { timeoutMs: 10_000 }).catch(() => null);
  return found?.code === 0 && found.stdout.trim() !== '' && !found.stdout.startsWith('-- No entries');
}

/** Parses a line of the log, with pino's levels (its documentation, "level"). A line that is not JSON comes from Node or a library. */
export function logLineOf(text: string): LogLine {
  const value = jsonOf(text);
  if (!value) return { time: null, level: 'error', message: text, detail: {} };
  const { time, level, msg, ...detail } = value;
  const rank = typeof level === 'number' ? level : 30;
  return {
    time: typeof time === 'number' ? time : null,
    level: rank >= 50 ? 'error' : rank >= 40 ? 'warning' : rank >= 30 ? 'info' : 'debug',
    message: typeof msg === 'string' ? msg : '',
    detail,
  };
}

function jsonOf(text: string): Record<string, unknown> | null {
  const value = parsedJson(text);
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null;
}

async function sizeOf(path: string): Promise<number | null> {
  return (await stat(path).catch(() => null))?.size ?? null;
}

function noLog(path: string): AiotError {
  return new AiotError('AIOT_FILE_NOT_FOUND', `there is no log ${path} and no service ${service}`, {
    next: 'A platform in the foreground logs to its terminal. To keep a log file, use `aiot up --detach`.',
  });
}

/** Size at which the log is rotated, bytes. Together with the previous log, at most twice as much space is used. */
const largestLog = 16 * 1024 ** 2;

const periodMs = 5000;

/** Path of the previous log. */
export const olderLog = (path: string) => `${path}.1`;

/**
 * Prevents the log, to which stderr is redirected, from filling the disk: a log that is too large is copied and
 * truncated. Only this process writes to it, and synchronously, so nothing is lost in between. Returns a function that
 * ends the checks.
 */
export function boundLog(path: string | undefined, largest = largestLog): () => void {
  if (path === undefined) return () => {};
  const look = () => {
    try {
      if (statSync(path).size < largest) return;
      copyFileSync(path, olderLog(path));
      truncateSync(path);
    } catch {
      // The log was moved away, or the disk is full. The next check tries again.
    }
  };
  look();
  const timer = setInterval(look, periodMs);
  timer.unref();
  return () => clearInterval(timer);
}

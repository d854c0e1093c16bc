import * as z from 'zod';
import { AiotError, systemCode } from '../../core/errors.js';
import { startProgram } from '../../core/process.js';
import { onAbort } from '../../core/tasks.js';
import { queryDuration } from '../file/settings.js';
import type { OutgoingMessage, Sink, StreamOptions } from '../message.js';
import { readQuery, type StreamUrl } from '../url.js';
import { createEachSink } from './delivery.js';
import { environmentFor, findProgram, labelOf } from './program.js';

const shape = {
  /** Longest run; default 10 s. */
  timeout: queryDuration.optional(),
  /** Runs at a time; default 1, which keeps the order. */
  parallel: z
    .string()
    .regex(/^([1-9]|[1-5]\d|6[0-4])$/, 'expected 1 to 64')
    .transform(Number)
    .optional(),
};

/** Between being asked to end and being ended. */
const graceMs = 2000;

/** Most that is kept of its stderr. */
const mostSaid = 500;

/** sysexits.h: what failed may succeed later. */
const temporary = 75;

/**
 * `exec:PROGRAM ARGUMENTS`: runs a program for each message, the payload on its stdin, AIOT_LABEL and AIOT_TOPIC in its
 * environment. Exit code 0 means that the message has arrived, 75 that it may be given again, any other that it is refused.
 * @throws AIOT_STREAM_URL, AIOT_PROGRAM_NOT_FOUND; while writing AIOT_PROGRAM_FAILED
 */
export async function openExecSink(url: StreamUrl, options: StreamOptions): Promise<Sink> {
  const { timeout = 10_000, parallel = 1 } = readQuery(url, shape);
  const [name = '', ...args] = wordsOf(url.path);
  const program = await findProgram(name);
  let sent = 0;
  return createEachSink({
    endpoint: `exec:${name}`,
    send: (message, signal) => run({ name, program, args }, message, timeout, signal),
    ...(parallel > 1 ? { parallel, groupOf: () => String(sent++) } : {}),
    ...(options.signal ? { signal: options.signal } : {}),
  });
}

async function run(
  { name, program, args }: { name: string; program: string; args: readonly string[] },
  message: OutgoingMessage,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<void> {
  const label = labelOf(message.payload);
  // A group of its own, so that what it starts ends with it.
  const child = startProgram(program, args, {
    detached: true,
    stdio: ['pipe', 'ignore', 'pipe'],
    env: environmentFor({
      AIOT_TOPIC: message.topic.replaceAll('\0', ''),
      ...(label === undefined || label.includes('\0') ? {} : { AIOT_LABEL: label }),
    }),
  });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-mostSaid);
  });
  // It need not read what it is given.
  child.stdin.on('error', () => {}).end(message.payload);
  let late = false;
  const end = (how: NodeJS.Signals) => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, how);
    } catch {
      // It has ended by itself.
    }
  };
  const timer = setTimeout(() => {
    late = true;
    end('SIGTERM');
  }, timeoutMs);
  let last = setTimeout(() => end('SIGKILL'), timeoutMs + graceMs);
  const abort = () => {
    end('SIGTERM');
    clearTimeout(last);
    last = setTimeout(() => end('SIGKILL'), graceMs);
  };
  const leave = onAbort(signal, abort);
  try {
    const code = await new Promise<number | string>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (exit, by) => resolve(exit ?? by ?? 'a signal'));
    });
    if (code === 0) return;
    const why = late ? `did not end within ${timeoutMs} ms` : `ended with ${code}`;
    const text = said.trim() === '' ? '' : `: ${said.trim().split('\n').at(-1)}`;
    throw failed(name, `${why}${text}`, code === temporary);
  } catch (error) {
    if (error instanceof AiotError) throw error;
    // Too many processes or files, or no memory for one more; arguments and environment may be too long for the system for ever.
    const why = systemCode(error) ?? (error as Error).message;
    throw failed(name, `could not be started (${why})`, why !== 'E2BIG');
  } finally {
    clearTimeout(timer);
    clearTimeout(last);
    leave();
    child.stderr.destroy();
  }
}

function failed(name: string, why: string, retryable: boolean): AiotError {
  return new AiotError('AIOT_PROGRAM_FAILED', `${name} ${why}`, { endpoint: `exec:${name}`, retryable });
}

/**
 * `notify --title "a b"` → program and arguments. Quotes of both kinds keep spaces together and a backslash takes the next
 * character as it is; nothing else means anything, for there is no shell. @throws AIOT_STREAM_URL
 */
function wordsOf(text: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let quote: string | undefined;
  for (let at = 0; at < text.length; at++) {
    const char = text[at]!;
    if (char === '\\' && quote !== "'" && at + 1 < text.length) word = (word ?? '') + text[++at]!;
    else if (quote !== undefined) {
      if (char === quote) quote = undefined;
      else word = (word ?? '') + char;
    } else if (char === '"' || char === "'") {
      quote = char;
      word ??= '';
    } else if (/\s/.test(char)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else word = (word ?? '') + char;
  }
  if (quote !== undefined) throw new AiotError('AIOT_STREAM_URL', `exec: a ${quote} in it is not closed`);
  if (word !== undefined) words.push(word);
  if (words.length === 0 || words[0] === '') {
    throw new AiotError('AIOT_STREAM_URL', 'exec: expected a program, such as exec:/usr/local/bin/alarm');
  }
  return words;
}

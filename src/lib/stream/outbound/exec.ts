import * as z from 'zod';
import { AiotError, systemCode } from '../../core/errors.js';
import { endOfProgram, findProgram } from '../../core/process.js';
import { queryDuration } from '../file/settings.js';
import type { OutgoingMessage, Sink, StreamOptions } from '../message.js';
import { readQuery, type StreamUrl } from '../url.js';
import { createEachSink } from './delivery.js';
import { environmentFor, labelOf } from './program.js';

const shape = {
  /** Maximum run time; default 10 s. */
  timeout: queryDuration.optional(),
  /** Number of concurrent runs; default 1, which preserves the order. */
  parallel: z
    .string()
    .regex(/^([1-9]|[1-5]\d|6[0-4])$/, 'expected 1 to 64')
    .transform(Number)
    .optional(),
};

/** Delay between SIGTERM and SIGKILL, ms. */
const graceMs = 2000;

/** Number of characters of the program's stderr to keep. */
const mostSaid = 500;

/** Exit code for a temporary failure (sysexits.h). */
const temporary = 75;

/**
 * Opens `exec:PROGRAM ARGUMENTS`, which runs a program for each message, with the payload on its stdin, and AIOT_LABEL
 * and AIOT_TOPIC in its environment. Exit code 0 means that the message was delivered, 75 that delivery should be
 * retried, and any other code that the message is rejected.
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
  const end = await endOfProgram(program, args, {
    signal,
    timeoutMs,
    graceMs,
    group: true,
    // Does not wait for the output to end, because processes that the program leaves behind may keep stderr open.
    outputMs: 0,
    input: message.payload,
    reads: ['stderr'],
    mostOutput: mostSaid,
    env: environmentFor({
      AIOT_TOPIC: message.topic.replaceAll('\0', ''),
      ...(label === undefined || label.includes('\0') ? {} : { AIOT_LABEL: label }),
    }),
  }).catch((error: Error) => {
    if (signal.aborted) throw failed(name, 'was killed', false);
    // A lack of processes, files or memory may be temporary. Arguments or an environment too long for the system are a permanent
    // problem.
    const why = systemCode(error) ?? error.message;
    throw failed(name, `could not be started (${why})`, why !== 'E2BIG');
  });
  // A program may complete its work after SIGTERM: exit code 0 still means that the message was delivered.
  if (end.code === 0) return;
  if (end.aborted && end.code !== temporary) throw failed(name, 'was killed', false);
  const why = end.timedOut
    ? `did not finish within ${timeoutMs} ms`
    : `ended with ${end.code ?? end.endedBy ?? 'a signal'}`;
  const said = end.stderr.trim();
  throw failed(name, `${why}${said === '' ? '' : `: ${said.split('\n').at(-1)}`}`, end.code === temporary);
}

function failed(name: string, why: string, retryable: boolean): AiotError {
  return new AiotError('AIOT_PROGRAM_FAILED', `${name} ${why}`, { endpoint: `exec:${name}`, retryable });
}

/**
 * Splits a command such as `notify --title "a b"` into the program and its arguments. Quotes of both kinds group words, and a
 * backslash makes the next character literal. Nothing else is special, because there is no shell. @throws AIOT_STREAM_URL
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
  if (quote !== undefined) throw new AiotError('AIOT_STREAM_URL', `exec: a ${quote} is not closed`);
  if (word !== undefined) words.push(word);
  if (words.length === 0 || words[0] === '') {
    throw new AiotError('AIOT_STREAM_URL', 'exec: expected a program, such as exec:/usr/local/bin/alarm');
  }
  return words;
}

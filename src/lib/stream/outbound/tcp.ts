import { connect } from 'node:net';
import * as z from 'zod';
import { AiotError, systemCode } from '../../core/errors.js';
import { onAbort } from '../../core/tasks.js';
import { queryBytes, queryDuration } from '../file/settings.js';
import type { OutgoingMessage, Sink, StreamOptions } from '../message.js';
import { queryBoolean, readQuery, type StreamUrl } from '../url.js';
import { type Attempt, createEachSink, withRetries } from './delivery.js';

const shape = {
  /**
   * Amount of data to read as the response: the first data (default), a line, everything until the peer closes the
   * connection, or nothing.
   */
  reply: z.enum(['any', 'line', 'close', 'none']).optional(),
  /** How long to wait for the response; default 10 s. */
  wait: queryDuration.optional(),
  /** Maximum length of a response; default 64 KiB. */
  limit: queryBytes.optional(),
  /** Suffix of each payload, such as `\n` (`%0A`); default none. */
  end: z.string().optional(),
  /** Whether to close the sending direction after the payload, for peers that read until the end; default false. */
  close: queryBoolean.optional(),
  /** Destination of responses, as a URL; they are written before the message is considered delivered. */
  replyTo: z.string().min(1).optional(),
};

type Settings = z.output<z.ZodObject<typeof shape>>;

/**
 * For each message, opens a connection, sends the payload, reads the response, and closes the connection. This is the protocol of
 * inference sidecars such as `tcp://127.0.0.1:9898`. A message without a response is considered undelivered, and is resent.
 * @param openReplies opens the sink for responses, which keep the key and headers of their messages
 * @throws AIOT_STREAM_URL; while writing AIOT_STREAM_UNREACHABLE, and the errors of the sink for responses
 */
export async function openTcpSink(
  url: StreamUrl,
  options: StreamOptions,
  openReplies: (url: string) => Promise<Sink>,
): Promise<Sink> {
  const settings = readQuery(url, shape);
  const [, host = '', port] = /^\[?([^\]]*?)\]?:(\d{1,5})$/.exec(url.host) ?? [];
  if (host === '' || port === undefined || Number(port) > 65_535 || url.path !== '') {
    throw new AiotError('AIOT_STREAM_URL', `${url.endpoint}: expected tcp://HOST:PORT`);
  }
  const replies = settings.replyTo === undefined ? undefined : await openReplies(settings.replyTo);
  const send = async (message: OutgoingMessage, signal: AbortSignal) => {
    const attempt = async (): Promise<Attempt<Buffer>> => {
      try {
        return { value: await exchange({ host, port: Number(port) }, message.payload, settings, signal) };
      } catch (error) {
        return { error: unanswered(url.endpoint, error) };
      }
    };
    const reply = await withRetries(attempt, signal);
    options.onReply?.(reply, message);
    if (!replies) return;
    const { key, headers } = message;
    await replies.write([
      { topic: '', payload: reply, ...(key ? { key } : {}), ...(headers ? { headers } : {}) },
    ]);
  };
  return createEachSink({
    endpoint: url.endpoint,
    send,
    ...(options.signal ? { signal: options.signal } : {}),
    close: async () => replies?.close(),
  });
}

/** @throws a system error, or an Error with a readable message */
function exchange(
  to: { host: string; port: number },
  payload: Uint8Array,
  { reply = 'any', wait = 10_000, limit = 64 * 1024, end = '', close = false }: Settings,
  signal: AbortSignal,
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = connect({ ...to, noDelay: true });
    const chunks: Buffer[] = [];
    let bytes = 0;
    const settle = (error?: Error) => {
      clearTimeout(timer);
      leave();
      socket.destroy();
      if (error) reject(error);
      else resolve(Buffer.concat(chunks).subarray(0, limit));
    };
    const timer = setTimeout(() => settle(new Error(`no response within ${wait} ms`)), wait);
    const abort = () => settle(new Error('stopped'));
    const leave = onAbort(signal, abort);
    if (signal.aborted) return abort();
    socket.on('error', settle);
    socket.on('connect', () => {
      const data = end === '' ? payload : Buffer.concat([payload, Buffer.from(end)]);
      socket.write(data, () => {
        if (reply === 'none') settle();
      });
      if (close) socket.end();
    });
    socket.on('data', (chunk) => {
      chunks.push(chunk);
      bytes += chunk.length;
      if (reply === 'any' || bytes >= limit || (reply === 'line' && chunk.includes(10))) settle();
    });
    socket.on('end', () => {
      if (reply === 'close') settle();
      else settle(new Error('the server closed the connection without a response'));
    });
  });
}

function unanswered(endpoint: string, error: unknown): AiotError {
  const reason = systemCode(error) ?? (error instanceof Error ? error.message : String(error));
  return new AiotError('AIOT_STREAM_UNREACHABLE', `${endpoint}: ${reason}`, {
    cause: error,
    endpoint,
    retryable: true,
  });
}

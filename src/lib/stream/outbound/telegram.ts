import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { parsedJson } from '../../core/text.js';
import type { OutgoingMessage, Sink, StreamOptions } from '../message.js';
import { queryBoolean, readQuery, type StreamUrl } from '../url.js';
import { contentTypeOf } from './content-type.js';
import { type Attempt, createEachSink, withRetries } from './delivery.js';
import { attemptOf, createTransport, excerpt, type HttpAnswer, unreachable } from './transport.js';

const shape = {
  /** Format of the text: HTML, Markdown, or plain by default. */
  format: z.enum(['html', 'markdown']).optional(),
  /** Whether to send without a notification sound. */
  silent: queryBoolean.optional(),
  /** ID of a topic within the group, for groups with topics. */
  thread: z.string().regex(/^\d+$/).optional(),
  /** Another Bot API server, such as a self-hosted one. */
  base: z.url({ protocol: /^https?$/ }).optional(),
};

/** Maximum length of a text and of a picture's caption, characters (Bot API: sendMessage, sendPhoto). */
const textLimit = 4096;

const captionLimit = 1024;
const parseModes = { html: 'HTML', markdown: 'MarkdownV2' } as const;

/**
 * Sends messages to a Telegram chat as a bot. Pictures are sent with sendPhoto with the topic as the caption;
 * everything else is sent as text with sendMessage, truncated to 4096 characters. The URL is
 * `telegram://BOT_TOKEN@api.telegram.org/CHAT`, or `telegram:///CHAT` with the token as a credential. After a 429, the
 * sink waits as long as Telegram requests.
 * @throws AIOT_STREAM_URL; while writing AIOT_STREAM_UNREACHABLE, AIOT_STREAM_REFUSED, AIOT_BROKER_REFUSED; the token
 * is never part of an error
 */
export async function openTelegramSink(url: StreamUrl, options: StreamOptions): Promise<Sink> {
  const settings = readQuery(url, shape);
  const token = tokenOf(url, options);
  const chat = url.path.replace(/\/$/, '');
  if (!/^(-?\d+|@\w+)$/.test(chat)) {
    throw new AiotError(
      'AIOT_STREAM_URL',
      `${url.endpoint}: expected a chat such as -1001234 or @channel after the host, got "${chat}"`,
    );
  }
  const base = (settings.base ?? `https://${url.host || 'api.telegram.org'}`).replace(/\/$/, '');
  const endpoint = `telegram://${new URL(base).host}`;
  const transport = await createTransport(endpoint, options);
  const common = {
    chat_id: chat,
    ...(settings.format ? { parse_mode: parseModes[settings.format] } : {}),
    ...(settings.silent ? { disable_notification: 'true' } : {}),
    ...(settings.thread ? { message_thread_id: settings.thread } : {}),
  };

  const send = async (message: OutgoingMessage, signal: AbortSignal) => {
    const request = requestOf(message, common);
    const attempt = async (): Promise<Attempt<HttpAnswer>> => {
      try {
        const call = { url: `${base}/bot${token}/${request.method}`, method: 'POST' as const, signal };
        return outcome(
          await transport.call({ ...call, headers: request.headers, body: request.body }),
          endpoint,
        );
      } catch (error) {
        return { error: error instanceof AiotError ? error : unreachable(error, endpoint) };
      }
    };
    await withRetries(attempt, signal);
  };
  return createEachSink({
    endpoint,
    send,
    ...(options.signal ? { signal: options.signal } : {}),
    close: () => transport.close(),
  });
}

/** The token for the Bot API. In a URL, a token such as `123456:letters` is parsed as a user name and a password. */
function tokenOf(url: StreamUrl, options: StreamOptions): string {
  const { username, password } = url;
  const token =
    username === undefined ? options.token : password === undefined ? username : `${username}:${password}`;
  if (token !== undefined && /^\d+:[\w-]+$/.test(token)) return token;
  throw new AiotError(
    'AIOT_STREAM_URL',
    `${url.endpoint}: expected a bot token, such as 123456:ABC…, ${token === undefined ? 'got none' : 'got another value'}`,
    {
      next: 'Get one from @BotFather. Put it before the @ of the address, or in a file: --token-file FILE',
    },
  );
}

/** The outcome of a request. Telegram's response contains the error and how long to wait. */
function outcome(answer: HttpAnswer, endpoint: string): Attempt<HttpAnswer> {
  const said = answered.safeParse(parsedJson(answer.body)).data;
  const result = attemptOf(answer, endpoint, said?.description ?? excerpt(answer.body));
  const seconds = said?.parameters?.retry_after;
  return 'error' in result && seconds !== undefined ? { ...result, retryAfterMs: seconds * 1000 } : result;
}

const answered = z.object({
  description: z.string().optional(),
  parameters: z.object({ retry_after: z.number().optional() }).optional(),
});

interface BotRequest {
  method: 'sendMessage' | 'sendPhoto';
  headers: Record<string, string>;
  body: Uint8Array | string;
}

function requestOf(message: OutgoingMessage, common: Record<string, string>): BotRequest {
  const type = contentTypeOf(message.payload, message.headers);
  if (['image/png', 'image/jpeg', 'image/webp', 'image/gif'].includes(type))
    return photo(message, common, type);
  const { buffer, byteOffset, length } = message.payload;
  const text = Buffer.from(buffer, byteOffset, length).toString('utf8').replace(/\0+$/, '');
  // Our own text is sent without a format, because MarkdownV2 would reject its parentheses.
  const said = text.trim() === '' ? { ...unmarked(common), text: '(empty)' } : { ...common, text };
  return {
    method: 'sendMessage',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ ...said, text: cut(said.text, textLimit) }),
  };
}

/** Builds a multipart/form-data request (RFC 7578) that contains the picture's bytes unchanged. */
function photo(message: OutgoingMessage, common: Record<string, string>, type: string): BotRequest {
  const boundary = `aiot-${crypto.randomUUID()}`;
  // The topic is the caption. It is not markup, so it is sent without a format.
  const fields = {
    ...unmarked(common),
    ...(message.topic === '' ? {} : { caption: cut(message.topic, captionLimit) }),
  };
  const parts = Object.entries(fields).map(
    ([name, value]) => `--${boundary}\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`,
  );
  const file = `--${boundary}\r\ncontent-disposition: form-data; name="photo"; filename="picture.${type.slice('image/'.length)}"\r\ncontent-type: ${type}\r\n\r\n`;
  return {
    method: 'sendPhoto',
    headers: { 'content-type': `multipart/form-data; boundary=${boundary}` },
    body: Buffer.concat([
      Buffer.from(parts.join('') + file),
      message.payload,
      Buffer.from(`\r\n--${boundary}--\r\n`),
    ]),
  };
}

function unmarked({ parse_mode: _, ...plain }: Record<string, string>): Record<string, string> {
  return plain;
}

function cut(text: string, limit: number): string {
  return text.length <= limit ? text : `${text.slice(0, limit - 1).replace(/[\ud800-\udbff]$/, '')}…`;
}

import { AiotError } from '../../core/errors.js';
import type { OutgoingMessage, Sink, StreamOptions } from '../message.js';
import { contentTypeOf } from '../outbound/content-type.js';
import { type Attempt, createEachSink, withRetries } from '../outbound/delivery.js';
import { attemptOf, createTransport, excerpt, type HttpAnswer } from '../outbound/transport.js';
import type { StreamUrl } from '../url.js';
import { newWebhookId, outgoingHeaders, ownHeaders, signatureHeaders } from './headers.js';
import { httpSinkSettings } from './settings.js';

/**
 * Sends each message as the body of a POST, signed if there is a secret (Standard Webhooks); a 2xx means that the
 * message has arrived. Network failures, 5xx, 408, 425 and 429 are retried, not before the time in Retry-After. Any
 * other status rejects the message. All attempts for one message carry the same `webhook-id`.
 * @throws AIOT_STREAM_URL; while writing AIOT_STREAM_UNREACHABLE, AIOT_STREAM_REFUSED, AIOT_BROKER_REFUSED (401, 403)
 */
export async function openHttpSink(url: StreamUrl, options: StreamOptions): Promise<Sink> {
  const { method, parallel, headers, secret } = httpSinkSettings(url, options);
  const target = targetOf(url);
  const authorization = authorizationOf(url, options);
  const transport = await createTransport(url.endpoint, options);
  const ids = new WeakMap<OutgoingMessage, string>();

  const send = async (message: OutgoingMessage, signal: AbortSignal) => {
    const id = ids.get(message) ?? newWebhookId();
    ids.set(message, id);
    const { payload } = message;
    const attempt = async (): Promise<Attempt<HttpAnswer>> => {
      try {
        const answer = await transport.call({
          url: target,
          method,
          body: payload,
          headers: {
            'user-agent': 'aiot',
            ...outgoingHeaders(message.headers),
            ...(headers ? ownHeaders(message) : {}),
            'content-type': contentTypeOf(payload, message.headers),
            ...(authorization ? { authorization } : {}),
            ...(secret ? signatureHeaders(secret, payload, id) : { 'webhook-id': id }),
          },
          signal,
        });
        return attemptOf(answer, url.endpoint, excerpt(answer.body));
      } catch (error) {
        if (error instanceof AiotError) return { error };
        throw error;
      }
    };
    await withRetries(attempt, signal);
  };
  return createEachSink({
    endpoint: url.endpoint,
    send,
    ...(parallel > 1 ? { parallel, groupOf } : {}),
    ...(options.signal ? { signal: options.signal } : {}),
    close: () => transport.close(),
  });
}

/**
 * Group of a message. Messages of one group keep their order: messages with the same key or, without a key, the same
 * topic.
 */
function groupOf({ key, topic }: OutgoingMessage): string {
  return key ? `key ${Buffer.from(key).toString('latin1')}` : `topic ${topic}`;
}

/** The URL of the request, without credentials and settings. @throws AIOT_STREAM_URL */
function targetOf(url: StreamUrl): string {
  const target = `${url.scheme}://${url.host}/${url.path}`;
  if (url.host !== '' && URL.canParse(target)) return target;
  throw new AiotError('AIOT_STREAM_URL', `${url.endpoint}: expected ${url.scheme}://HOST[:PORT]/PATH`);
}

function authorizationOf(url: StreamUrl, options: StreamOptions): string | undefined {
  const { username = options.username, password = options.password ?? '' } = url;
  if (username !== undefined) return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
  return options.token === undefined ? undefined : `Bearer ${options.token}`;
}

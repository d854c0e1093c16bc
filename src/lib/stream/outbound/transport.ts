import type { Readable } from 'node:stream';
import type { Dispatcher } from 'undici';
import { AiotError, isUntrusted, systemCode } from '../../core/errors.js';
import { httpAgent } from '../../core/http-agent.js';
import { retryAfterMs } from '../../core/time.js';
import type { StreamOptions } from '../message.js';
import type { Attempt } from './delivery.js';

interface HttpCall {
  url: string;
  method: Dispatcher.HttpMethod;
  headers: Record<string, string>;
  body?: Uint8Array | string;
  signal?: AbortSignal;
}

export interface HttpAnswer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: Buffer;
}

export interface HttpStream {
  status: number;
  headers: HttpAnswer['headers'];
  body: Readable;
}

export interface HttpTransport {
  /** Returns any response. @throws AIOT_STREAM_UNREACHABLE */
  call(call: HttpCall): Promise<HttpAnswer>;
  /**
   * Like `call`, but returns the body as a stream. The caller must read the stream to its end or destroy it.
   * @throws AIOT_STREAM_UNREACHABLE
   */
  open(call: HttpCall): Promise<HttpStream>;
  close(): Promise<void>;
}

/** Default size limit of a response, bytes; S3 objects are larger. */
const answerBytes = 1024 * 1024;

/** @param endpoint address for errors, without path and credentials @param mostBytes size limit of a response */
export async function createTransport(
  endpoint: string,
  options: StreamOptions,
  mostBytes = answerBytes,
): Promise<HttpTransport> {
  const { request } = await import('undici');
  const { ca, cert, key, connectTimeoutMs = 10_000 } = options;
  const agent = await httpAgent({
    connect: { timeout: connectTimeoutMs, ...(ca ? { ca } : {}), ...(cert && key ? { cert, key } : {}) },
    headersTimeout: 60_000,
    bodyTimeout: 60_000,
  });
  const ask = ({ url, method, headers, body, signal }: HttpCall) =>
    request(url, {
      method,
      headers,
      dispatcher: agent,
      ...(body === undefined ? {} : { body }),
      ...(signal ? { signal } : {}),
    });
  const told = (error: unknown, url: string) =>
    unreachable(error, endpoint, url.startsWith('https:') && !cert);
  return {
    async open(call) {
      try {
        const { statusCode, headers, body } = await ask(call);
        return { status: statusCode, headers, body };
      } catch (error) {
        throw told(error, call.url);
      }
    },
    async call(call) {
      try {
        const answer = await ask(call);
        const chunks: Buffer[] = [];
        let bytes = 0;
        for await (const chunk of answer.body as AsyncIterable<Buffer>) {
          bytes += chunk.length;
          if (bytes > mostBytes) {
            answer.body.destroy();
            break;
          }
          chunks.push(chunk);
        }
        return { status: answer.statusCode, headers: answer.headers, body: Buffer.concat(chunks) };
      } catch (error) {
        throw told(error, call.url);
      }
    },
    close: () => agent.destroy(),
  };
}

/** Error codes for a connection closed by the peer. In TLS 1.3, a missing client certificate has the same effect. */
const closed = new Set(['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE']);

/** The error for a connection that failed or broke. @param nameless whether the connection used TLS without a client certificate */
export function unreachable(error: unknown, endpoint: string, nameless = false): AiotError {
  const inner = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const code = systemCode(inner) ?? systemCode(error);
  const untrusted = code !== undefined && isUntrusted(code);
  // A TLS alert is sent by the peer when our certificate is missing, unknown, or revoked.
  if (code?.startsWith('ERR_SSL_') && code.includes('ALERT')) {
    return new AiotError('AIOT_BROKER_REFUSED', `${endpoint} rejected the connection (${code})`, {
      cause: error,
      endpoint,
      next: 'Provide the certificate that it requires: --cert FILE --key FILE',
      retryable: true,
    });
  }
  const reason = code ?? (error instanceof Error ? error.message : String(error));
  return new AiotError('AIOT_STREAM_UNREACHABLE', `${endpoint}: no response (${reason})`, {
    cause: error,
    endpoint,
    retryable: !untrusted,
    ...(untrusted ? { next: 'Specify the CA that signed its certificate: --ca FILE' } : {}),
    ...(nameless && code !== undefined && closed.has(code)
      ? {
          next: 'The server closed the connection. It may require a client certificate: --cert FILE --key FILE',
        }
      : {}),
  });
}

/** Whether a later attempt may succeed: 401, 408 (timeout), 423 (locked), 425 (too early), 429 (too many requests), and server errors. */
function mayPassLater(status: number): boolean {
  return [401, 408, 423, 425, 429].includes(status) || status >= 500;
}

/** Converts a response to the result of an attempt; a 2xx status is success. `told` is the response text for errors, without secrets. */
export function attemptOf(
  answer: HttpAnswer,
  endpoint: string,
  told: string,
  nextWhenDenied = 'Check the token, or the user name and password.',
): Attempt<HttpAnswer> {
  const { status, headers } = answer;
  if (status >= 200 && status < 300) return { value: answer };
  const wait = retryAfterMs(headers['retry-after']);
  const denied = status === 401 || status === 403;
  const error = new AiotError(
    denied ? 'AIOT_BROKER_REFUSED' : 'AIOT_STREAM_REFUSED',
    `${endpoint} responded with ${status}${told === '' ? '' : `: ${told}`}`,
    {
      endpoint,
      retryable: mayPassLater(status),
      ...(denied ? { next: nextWhenDenied } : {}),
      ...(status >= 300 && status < 400
        ? { next: 'The server redirects to another address: use that one.' }
        : {}),
    },
  );
  return { error, ...(wait === undefined ? {} : { retryAfterMs: wait }) };
}

/** The beginning of a response, on one line. */
export function excerpt(body: Uint8Array): string {
  const text = Buffer.from(body.subarray(0, 300)).toString('utf8');
  return text
    .replace(/[\s\p{Cc}]+/gu, ' ')
    .trim()
    .slice(0, 200);
}

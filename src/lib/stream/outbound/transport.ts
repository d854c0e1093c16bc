import type { Readable } from 'node:stream';
import type { Dispatcher } from 'undici';
import { AiotError, systemCode } from '../../core/errors.js';
import { httpAgent, isUntrusted } from '../../core/http-agent.js';
import type { StreamOptions } from '../message.js';
import { type Attempt, retryAfterMs } from './delivery.js';

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
  /** Any answer. @throws AIOT_STREAM_UNREACHABLE */
  call(call: HttpCall): Promise<HttpAnswer>;
  /** The same, its body still to come: it must be read to its end or destroyed. @throws AIOT_STREAM_UNREACHABLE */
  open(call: HttpCall): Promise<HttpStream>;
  close(): Promise<void>;
}

/** Longest answer that is read, bytes; the objects of S3 are larger. */
const answerBytes = 1024 * 1024;

/** @param endpoint for errors: without path and credentials @param mostBytes of an answer */
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

/** How a connection ends that the far side closes; in TLS 1.3 that is also how it says that it wants a certificate. */
const closed = new Set(['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE']);

/** A connection that could not be made, or broke. @param nameless over TLS, and without a certificate of ours */
export function unreachable(error: unknown, endpoint: string, nameless = false): AiotError {
  const inner = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const code = systemCode(inner) ?? systemCode(error);
  const untrusted = code !== undefined && isUntrusted(code);
  // The far side's word: our certificate is missing, unknown, or was revoked.
  if (code?.startsWith('ERR_SSL_') && code.includes('ALERT')) {
    return new AiotError('AIOT_BROKER_REFUSED', `${endpoint} did not let us in (${code})`, {
      cause: error,
      endpoint,
      next: 'Give it the certificate that it wants: --cert FILE --key FILE',
      retryable: true,
    });
  }
  const reason = code ?? (error instanceof Error ? error.message : String(error));
  return new AiotError('AIOT_STREAM_UNREACHABLE', `${endpoint}: no answer (${reason})`, {
    cause: error,
    endpoint,
    retryable: !untrusted,
    ...(untrusted ? { next: 'Name the CA that signed its certificate: --ca FILE' } : {}),
    ...(nameless && code !== undefined && closed.has(code)
      ? { next: 'It closed the connection: it may want a certificate of us, --cert FILE --key FILE.' }
      : {}),
  });
}

/** Statuses that pass: not ready, too early, too many, a lock, and what the server says of itself. */
function mayPassLater(status: number): boolean {
  return [401, 408, 423, 425, 429].includes(status) || status >= 500;
}

/** An answer as an attempt: 2xx is what was wanted. `told` is what it says in words, which must hold no secret. */
export function attemptOf(
  answer: HttpAnswer,
  endpoint: string,
  told: string,
  nextWhenDenied = 'Check the token, or the name and password, that it is shown.',
): Attempt<HttpAnswer> {
  const { status, headers } = answer;
  if (status >= 200 && status < 300) return { value: answer };
  const wait = retryAfterMs(headers['retry-after']);
  const denied = status === 401 || status === 403;
  const error = new AiotError(
    denied ? 'AIOT_BROKER_REFUSED' : 'AIOT_STREAM_REFUSED',
    `${endpoint} answered ${status}${told === '' ? '' : `: ${told}`}`,
    {
      endpoint,
      retryable: mayPassLater(status),
      ...(denied ? { next: nextWhenDenied } : {}),
      ...(status >= 300 && status < 400
        ? { next: 'It wants us elsewhere: give the address that it names.' }
        : {}),
    },
  );
  return { error, ...(wait === undefined ? {} : { retryAfterMs: wait }) };
}

/** The beginning of an answer, on one line. */
export function excerpt(body: Uint8Array): string {
  const text = Buffer.from(body.subarray(0, 300)).toString('utf8');
  return text
    .replace(/[\s\p{Cc}]+/gu, ' ')
    .trim()
    .slice(0, 200);
}

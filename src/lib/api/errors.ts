import type { ErrorCode } from '../core/catalogue.js';
import { AiotError, isUntrusted, systemCode } from '../core/errors.js';
import { retryAfterMs } from '../core/time.js';
import { errorOfProblem } from './problem.js';

const byStatus: Record<number, ErrorCode> = {
  400: 'AIOT_REQUEST_INVALID',
  401: 'AIOT_TOKEN_INVALID',
  403: 'AIOT_NOT_ALLOWED',
  404: 'AIOT_NOT_FOUND',
  412: 'AIOT_PRECONDITION_FAILED',
  413: 'AIOT_REQUEST_TOO_LARGE',
  429: 'AIOT_RATE_LIMITED',
  507: 'AIOT_DISK_FULL',
};

/**
 * Converts the server's problem back into the original error; other responses are converted by status.
 * @param retryAfter header of the response
 */
export function errorOfAnswer(
  status: number,
  body: string,
  endpoint: string,
  retryAfter?: string | string[],
): AiotError {
  const retryable = status === 429 || (status >= 500 && status !== 507);
  const details = { endpoint, retryable, retryAfterMs: retryAfterMs(retryAfter) };
  const told = errorOfProblem(jsonOrUndefined(body), details);
  if (told) return told;
  const code = byStatus[status] ?? 'AIOT_PLATFORM_FAILED';
  return new AiotError(code, `${endpoint} responded with status ${status}`, details);
}

/** Converts an error of undici that occurred before there was a response. `endpoint` contains no credentials. */
export function errorOfTransport(error: unknown, endpoint: string): AiotError {
  if (error instanceof AiotError) return error;
  const code = systemCode(error) ?? 'unknown error';
  if (isUntrusted(code)) {
    return new AiotError('AIOT_PLATFORM_UNTRUSTED', `${endpoint} is not trusted (${code})`, {
      cause: error,
      endpoint,
    });
  }
  return new AiotError('AIOT_PLATFORM_UNREACHABLE', `no response from ${endpoint} (${code})`, {
    cause: error,
    endpoint,
    retryable: true,
  });
}

/** Replaces the error's next step with the advice for its code, if there is any. */
export function withAdvice(error: AiotError, advice: Partial<Record<ErrorCode, string>> = {}): AiotError {
  const next = advice[error.code];
  if (next === undefined) return error;
  const { endpoint, retryable, retryAfterMs: waitMs, cause } = error;
  return error.reworded(error.message, {
    ...{ next, retryable, retryAfterMs: waitMs, cause },
    ...(endpoint === undefined ? {} : { endpoint }),
  });
}

/** Yields a response body as it arrives. @throws as errorOfTransport if it breaks off */
export async function* bodyOf(
  { body }: { body: AsyncIterable<Uint8Array> },
  endpoint: string,
): AsyncGenerator<Uint8Array> {
  try {
    yield* body;
  } catch (error) {
    throw errorOfTransport(error, endpoint);
  }
}

function jsonOrUndefined(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

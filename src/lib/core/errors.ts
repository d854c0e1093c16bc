import { type CatalogueEntry, catalogue, type ErrorCode } from './catalogue.js';

export interface ErrorDetails {
  /** Overrides the catalogue's next step where a better one is known. */
  next?: string;
  /** The far side, for errors of the outside world: a URL, host:port, or file. Never with credentials in it. */
  endpoint?: string;
  /** Whether the same call may succeed later. */
  retryable?: boolean;
  cause?: unknown;
}

/** The one error type that commands show. `message` is one sentence that says what is wrong with what. */
export class AiotError extends Error {
  readonly code: ErrorCode;
  readonly exit: CatalogueEntry['exit'];
  readonly family: CatalogueEntry['family'];
  readonly next: string;
  readonly endpoint: string | undefined;
  readonly retryable: boolean;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    const entry: CatalogueEntry = catalogue[code];
    this.name = 'AiotError';
    this.code = code;
    this.exit = entry.exit;
    this.family = entry.family;
    this.next = details.next ?? entry.next;
    this.endpoint = details.endpoint;
    this.retryable = details.retryable ?? false;
  }

  toJSON() {
    return { code: this.code, message: this.message, next: this.next, exit: this.exit };
  }
}

/** Node's system error codes (ENOENT, EACCES, …), or undefined for any other thrown value. */
export function systemCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

/** All codes, in order. */
export function listCodes(): { code: ErrorCode; about: string }[] {
  return (Object.keys(catalogue) as ErrorCode[]).map((code) => ({ code, about: catalogue[code].about }));
}

/** The catalogue's entry for a code, however it is written. @throws AIOT_USAGE with the nearest codes */
export function explainCode(code: string): CatalogueEntry & { code: ErrorCode } {
  const wanted = code.toUpperCase().replace(/:$/, '').replaceAll('-', '_');
  const names = Object.keys(catalogue) as ErrorCode[];
  const found = names.find((name) => name === wanted || name === `AIOT_${wanted}`);
  if (found) return { code: found, ...catalogue[found] };
  const part = wanted.replace(/^AIOT_/, '').split('_')[0] ?? '';
  const near = part === '' ? [] : names.filter((name) => name.includes(part)).slice(0, 5);
  throw new AiotError('AIOT_USAGE', `no error has the code ${code}`, {
    next: near.length > 0 ? `aiot explain ${near.join(', or ')}` : 'aiot explain lists all codes.',
  });
}

export function hasCode(error: unknown, code: ErrorCode): error is AiotError {
  return error instanceof AiotError && error.code === code;
}

/** The promise's value; undefined where it fails with this code, which no JSON value is. Other errors are thrown on. */
export async function unless<T>(code: ErrorCode, promise: Promise<T>): Promise<T | undefined> {
  try {
    return await promise;
  } catch (error) {
    if (hasCode(error, code)) return undefined;
    throw error;
  }
}

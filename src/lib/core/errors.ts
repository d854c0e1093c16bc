import { type CatalogueEntry, catalogue, type ErrorCode } from './catalogue.js';
import { nearest } from './text.js';

export interface ErrorDetails {
  /** Overrides the catalogue's next step if a better one is known. */
  next?: string;
  /**
   * The kind of object that the error concerns, if the code covers several, such as a device, a run or a CSV file. One of the catalogue's
   * `subjects`.
   */
  subject?: string | undefined;
  /** Path of the invalid value in the input, such as `report.everyS`, if a form can show the error beside its field. */
  field?: string | undefined;
  /** Address of the peer, for errors in the `outside` family: a URL, host:port, or file. Never includes credentials. */
  endpoint?: string;
  /** Whether the same call may succeed if it is retried later. */
  retryable?: boolean;
  /** Delay that the peer asks for before a retry, ms. */
  retryAfterMs?: number | undefined;
  cause?: unknown;
}

/**
 * The one error type that commands show. `message` is one sentence that states the problem and names the affected file, field or
 * object.
 */
export class AiotError extends Error {
  readonly code: ErrorCode;
  readonly exit: CatalogueEntry['exit'];
  readonly family: CatalogueEntry['family'];
  readonly next: string;
  readonly subject: string | undefined;
  readonly field: string | undefined;
  readonly endpoint: string | undefined;
  readonly retryable: boolean;
  readonly retryAfterMs: number | undefined;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    const entry: CatalogueEntry = catalogue[code];
    this.name = 'AiotError';
    this.code = code;
    this.exit = entry.exit;
    this.family = entry.family;
    this.subject = details.subject;
    this.field = details.field;
    this.next = details.next ?? entry.subjects?.[details.subject ?? ''] ?? entry.next;
    this.endpoint = details.endpoint;
    this.retryable = details.retryable ?? false;
    this.retryAfterMs = details.retryAfterMs;
  }

  /** Returns the same error with another message, for example if the caller knows which file the error concerns. */
  reworded(message: string, details: ErrorDetails = {}): AiotError {
    return new AiotError(this.code, message, {
      subject: this.subject,
      field: this.field,
      cause: this,
      ...details,
    });
  }

  toJSON() {
    const { code, message, next, exit, subject } = this;
    return { code, message, next, exit, ...(subject === undefined ? {} : { subject }) };
  }
}

/**
 * Returns a factory for errors of one code, for a source file that rejects its input for many reasons: `const unfit =
 * errorMaker('AIOT_MODEL_UNFIT')`, then `throw unfit('its last layer has no weights')`.
 * @param about prefix of each message
 */
export function errorMaker(code: ErrorCode, about = '', common: ErrorDetails = {}) {
  return (message: string, details?: ErrorDetails): AiotError =>
    new AiotError(code, about + message, { ...common, ...details });
}

/** Node's system error codes (ENOENT, EACCES, …), or undefined for any other thrown value. */
export function systemCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

/** Node's names for OpenSSL's verification errors (node:tls, "X509 certificate error codes"), and Node's own errors. */
const untrusted = /^ERR_TLS_|CERT|SELF_SIGNED|ISSUER|UNABLE_TO_VERIFY/;

/** Whether a system error code means that the peer's certificate cannot be trusted. */
export function isUntrusted(code: string): boolean {
  return untrusted.test(code);
}

/** All codes, in order. */
export function listCodes(): { code: ErrorCode; about: string }[] {
  return (Object.keys(catalogue) as ErrorCode[]).map((code) => ({ code, about: catalogue[code].about }));
}

type ExitCode = 0 | CatalogueEntry['exit'];

const exitMeanings: Record<ExitCode, { about: string; next: string }> = {
  0: { about: 'Done.', next: 'Nothing.' },
  1: { about: 'Failed.', next: 'Read the error, which includes a code and a next step.' },
  2: {
    about: 'The command line, or a file that it names, is invalid. Nothing was changed.',
    next: 'Correct the argument, flag or file named in the error. To see the arguments and flags, add --help.',
  },
  3: { about: 'Partly failed.', next: 'Read the result, which lists the failures.' },
  4: { about: 'Not found.', next: "Check the name. The topic's list command shows all names." },
  5: { about: 'Not allowed.', next: 'Use a token with a sufficient role or scope, or ask an operator.' },
  6: {
    about:
      'A check or gate failed. The program worked, but the data, model, device or messages do not meet a requirement.',
    next: 'Read the result, which names the failed check.',
  },
  124: {
    about: 'Timed out.',
    next: 'Allow more time with --timeout, or check the resource that the command waited for.',
  },
  130: { about: 'Interrupted by Ctrl-C or SIGTERM.', next: 'Run the command again.' },
};

/** Explains an exit code of this program, and lists the errors that cause it. @throws AIOT_USAGE */
export function explainExit(exit: number): {
  exit: number;
  about: string;
  next: string;
  codes: ErrorCode[];
} {
  const meaning = Object.entries(exitMeanings).find(([code]) => Number(code) === exit)?.[1];
  if (!meaning)
    throw new AiotError('AIOT_USAGE', `${exit} is not an exit code of aiot`, {
      next: `Use one of ${Object.keys(exitMeanings).join(', ')}.`,
    });
  const codes = (Object.keys(catalogue) as ErrorCode[]).filter((code) => catalogue[code].exit === exit);
  return { exit, ...meaning, codes };
}

/** Finds the catalogue's entry for a code, regardless of its capitalization and prefix. @throws AIOT_USAGE with the nearest codes */
export function explainCode(code: string): CatalogueEntry & { code: ErrorCode } {
  const wanted = code.toUpperCase().replace(/:$/, '').replaceAll('-', '_');
  const names = Object.keys(catalogue) as ErrorCode[];
  const found = names.find((name) => name === wanted || name === `AIOT_${wanted}`);
  if (found) return { code: found, ...catalogue[found] };
  const part = wanted.replace(/^AIOT_/, '').split('_')[0] ?? '';
  const closest = nearest(wanted.startsWith('AIOT_') ? wanted : `AIOT_${wanted}`, names, 3);
  const near = closest
    ? [closest as string]
    : part === ''
      ? []
      : names.filter((name) => name.includes(part)).slice(0, 5);
  const hint = near.length > 0 ? `. Did you mean ${near.join(' or ')}?` : '';
  throw new AiotError('AIOT_USAGE', `unknown error code ${code}${hint}`, {
    next: near.length === 1 ? `aiot error ${near[0]}` : 'To list all codes, run `aiot error`.',
  });
}

/** Whether an error has this code and, if given, this subject. */
export function hasCode(error: unknown, code: ErrorCode, subject?: string): error is AiotError {
  return (
    error instanceof AiotError && error.code === code && (subject === undefined || error.subject === subject)
  );
}

/** The promise's value, or undefined (which is not a JSON value) if it fails with this code. Other errors are rethrown. */
export async function unless<T>(code: ErrorCode, promise: Promise<T>): Promise<T | undefined> {
  try {
    return await promise;
  } catch (error) {
    if (hasCode(error, code)) return undefined;
    throw error;
  }
}

import type { Contract, Input, Output, ParamsOf, Problem } from '../../src/lib/api/index.js';
import { size } from './text.js';

/** The endpoints of the platform. Only the types of the API contract are imported, so browsers load none of its code. */
type Endpoints = { [Noun in keyof Contract]: Contract[Noun][keyof Contract[Noun]] }[keyof Contract];
type EndpointOf<Route> = Extract<Endpoints, { route: Route }>;
export type Route = Endpoints['route'];
export type Reads = Extract<Route, `GET ${string}`>;

/** Response type of an endpoint. */
export type AnswerOf<R> = Output<NonNullable<EndpointOf<R>['result']>>;

/** An endpoint with its path parameters and query. */
export interface Place<R extends Route = Route> {
  route: R;
  /** Path of the request, relative to /api/v1. */
  path: string;
}

/** Builds a request: `at('GET /devices/:name', { name })`. Undefined query values are omitted. */
export function at<R extends Route>(
  route: R,
  params: ParamsOf<EndpointOf<R>>,
  query: Record<string, string | number | undefined> = {},
): Place<R> {
  const values: Record<string, unknown> = params;
  const path = route.split(' ')[1]?.replace(/:(\w+)/g, (_, name) => encodeURIComponent(String(values[name])));
  const given = Object.entries(query).flatMap(([key, value]): [string, string][] =>
    value === undefined ? [] : [[key, String(value)]],
  );
  return { route, path: `${path}${given.length === 0 ? '' : `?${new URLSearchParams(given)}`}` };
}

/** An error response of the platform, with its message. */
export class ApiError extends Error {
  constructor(
    readonly code: string,
    message: string,
    /** The suggested next step. */
    readonly next?: string,
    readonly status = 0,
    /** Path of the invalid value, such as `report.everyS`, if it is known. */
    readonly field?: string,
  ) {
    super(message);
  }
}

let csrf = '';
let onLoggedOut = () => {};

/** Sets the CSRF token, which proves that changes come from this page, and the callback for an expired session. */
export function useSession(token: string, loggedOut: () => void): void {
  csrf = token;
  onLoggedOut = loggedOut;
}

/** Fetches JSON. @throws ApiError */
export function get<R extends Reads>(place: Place<R>, signal?: AbortSignal): Promise<AnswerOf<R>> {
  return call('GET', place.path, undefined, signal);
}

/**
 * Fetches text, such as CSV, piece by piece. The request ends with the loop over the pieces.
 * @param mostBytes a longer text is an error @throws ApiError
 */
export async function* getPieces<R extends Reads>(
  { path }: Place<R>,
  { signal, mostBytes }: { signal: AbortSignal; mostBytes: number },
): AsyncGenerator<string> {
  const reader = (await answered('GET', path, undefined, signal)).body?.getReader();
  const decoder = new TextDecoder();
  let bytes = 0;
  try {
    for (;;) {
      const read = await reader?.read().catch((error: unknown) => {
        if (signal.aborted) throw error;
        throw new ApiError('AIOT_PLATFORM_UNREACHABLE', 'The download was interrupted.', 'aiot status');
      });
      if (!read?.value) break;
      bytes += read.value.length;
      if (bytes > mostBytes)
        throw new ApiError(
          'AIOT_REQUEST_TOO_LARGE',
          `The text is longer than ${size(mostBytes)}, the most that this page reads.`,
        );
      yield decoder.decode(read.value, { stream: true });
    }
  } finally {
    await reader?.cancel().catch(() => {});
  }
}

/** Sends a change. @param key the request's Idempotency-Key @param signal cancels the request @throws ApiError */
export function send<R extends Exclude<Route, Reads>>(
  { route, path }: Place<R>,
  body?: Input<EndpointOf<R>['body']>,
  key?: string,
  signal?: AbortSignal,
): Promise<AnswerOf<R>> {
  return call(route.split(' ')[0] ?? '', path, body, signal, key);
}

/**
 * Reads all entries of a list page by page. @param noun name of the entries in a response @param page a function that is called with the
 * entries so far
 */
export async function getAll<R extends Reads, Noun extends keyof AnswerOf<R>>(
  { path }: Place<R>,
  noun: Noun,
  { signal, page }: { signal?: AbortSignal; page?: (sofar: AnswerOf<R>[Noun]) => void } = {},
): Promise<AnswerOf<R>[Noun]> {
  const all: unknown[] = [];
  for (let after: string | null = null; ; ) {
    const query: URLSearchParams = new URLSearchParams({
      limit: '1000',
      ...(after === null ? {} : { after }),
    });
    const place: string = `${path}${path.includes('?') ? '&' : '?'}${query}`;
    const answer: Record<string, unknown> = await call('GET', place, undefined, signal);
    all.push(...(answer[noun as string] as unknown[]));
    page?.(all as AnswerOf<R>[Noun]);
    after = (answer.next as string | null | undefined) ?? null;
    if (after === null) return all as AnswerOf<R>[Noun];
  }
}

/** Size of the parts of a download, which the browser can move to its disk, bytes. */
const partBytes = 8 * 1024 ** 2;

/**
 * Sends a request whose response is a file. Nothing is returned before the file is complete.
 * @param onBytes called with the number of bytes so far @param mostBytes a larger file is an error @throws ApiError
 */
export async function download<R extends Exclude<Route, Reads>>(
  { route, path }: Place<R>,
  body: Input<EndpointOf<R>['body']>,
  {
    signal,
    onBytes,
    mostBytes,
  }: { signal: AbortSignal; onBytes: (bytes: number) => void; mostBytes: number },
): Promise<Blob> {
  const response = await answered(route.split(' ')[0] ?? '', path, body, signal);
  const parts: Blob[] = [];
  let chunks: Uint8Array<ArrayBuffer>[] = [];
  let [bytes, loose] = [0, 0];
  const reader = response.body?.getReader();
  for (;;) {
    const read = await reader?.read().catch((error: unknown) => {
      if (signal.aborted) throw error;
      throw new ApiError('AIOT_PLATFORM_UNREACHABLE', 'The download was interrupted.', 'aiot status');
    });
    if (!read?.value) break;
    bytes += read.value.length;
    if (bytes > mostBytes) {
      await reader?.cancel();
      throw new ApiError(
        'AIOT_REQUEST_INVALID',
        `The file is larger than ${size(mostBytes)}, the most that this page saves.`,
        'Use the command that the page shows.',
      );
    }
    chunks.push(read.value);
    loose += read.value.length;
    if (loose >= partBytes) {
      parts.push(new Blob(chunks));
      [chunks, loose] = [[], 0];
    }
    onBytes(bytes);
  }
  return new Blob([...parts, ...chunks]);
}

/** Uploads a file as a blob, and returns its digest. @throws ApiError */
export async function upload(file: File, signal: AbortSignal): Promise<string> {
  const bytes = await file.arrayBuffer().catch((): never => {
    throw new ApiError('AIOT_FILE_NOT_READABLE', `The browser cannot read ${file.name}.`, 'Choose it again.');
  });
  const sha256 = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  const digest = `sha256:${[...sha256].map((byte) => byte.toString(16).padStart(2, '0')).join('')}`;
  await answered('PUT', `/blobs/${digest}`, new Blob([bytes]), signal);
  return digest;
}

async function call<T>(
  method: string,
  path: string,
  body?: unknown,
  signal?: AbortSignal,
  key?: string,
): Promise<T> {
  return (await (await answered(method, path, body, signal, key)).json()) as T;
}

/** @throws ApiError */
async function answered(
  method: string,
  path: string,
  body?: unknown,
  signal?: AbortSignal,
  key?: string,
): Promise<Response> {
  const response = await fetch(`/api/v1${path}`, {
    method,
    credentials: 'same-origin',
    headers: {
      accept: 'application/json',
      ...(body === undefined
        ? {}
        : { 'content-type': body instanceof Blob ? 'application/octet-stream' : 'application/json' }),
      ...(method === 'GET' ? {} : { 'x-aiot-csrf': csrf }),
      ...(key === undefined ? {} : { 'idempotency-key': key }),
    },
    body: body === undefined || body instanceof Blob ? (body ?? null) : JSON.stringify(body),
    signal: signal ?? null,
  }).catch((error: unknown) => {
    if (signal?.aborted) throw error;
    throw new ApiError('AIOT_PLATFORM_UNREACHABLE', 'The platform is unreachable.', 'aiot status');
  });
  if (response.ok) return response;
  const problem = (await response.json().catch(() => null)) as Problem | null;
  if (response.status === 401) onLoggedOut();
  throw new ApiError(
    problem?.code ?? 'AIOT_PLATFORM_FAILED',
    problem?.detail ?? `The platform responded with HTTP status ${response.status}.`,
    problem?.next,
    response.status,
    problem?.field,
  );
}

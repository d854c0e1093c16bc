import type { Problem } from '../../src/lib/registry/index.js';

/** What the platform answered instead of what was asked for, in its own words. */
export class ApiError extends Error {
  constructor(
    readonly code: string,
    message: string,
    /** What to do. */
    readonly next?: string,
    readonly status = 0,
  ) {
    super(message);
  }
}

let csrf = '';
let onLoggedOut = () => {};

/** Who is told that the session is over, and what changes are to show that they come from this page. */
export function useSession(token: string, loggedOut: () => void): void {
  csrf = token;
  onLoggedOut = loggedOut;
}

/** GET, as JSON. Paths are below /api/v1. @throws ApiError */
export function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return call<T>('GET', path, undefined, signal);
}

/** What changes something. @throws ApiError */
export function send<T>(
  method: 'POST' | 'PUT' | 'PATCH' | 'DELETE',
  path: string,
  body?: unknown,
): Promise<T> {
  return call<T>(method, path, body);
}

/** All entries of a list, page by page; `noun` names them in each answer. `page` sees them as they come. */
export async function getAll<T>(
  path: string,
  noun: string,
  { signal, page }: { signal?: AbortSignal; page?: (sofar: T[]) => void } = {},
): Promise<T[]> {
  const all: T[] = [];
  for (let after: string | null = null; ; ) {
    const query = new URLSearchParams({ limit: '1000', ...(after === null ? {} : { after }) });
    const answer: Record<string, unknown> = await get(
      `${path}${path.includes('?') ? '&' : '?'}${query}`,
      signal,
    );
    all.push(...(answer[noun] as T[]));
    page?.(all);
    after = (answer.next as string | null | undefined) ?? null;
    if (after === null) return all;
  }
}

async function call<T>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  const response = await fetch(`/api/v1${path}`, {
    method,
    credentials: 'same-origin',
    headers: {
      accept: 'application/json',
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(method === 'GET' ? {} : { 'x-aiot-csrf': csrf }),
    },
    body: body === undefined ? null : JSON.stringify(body),
    signal: signal ?? null,
  }).catch((error: unknown) => {
    if (signal?.aborted) throw error;
    throw new ApiError('AIOT_PLATFORM_UNREACHABLE', 'The platform does not answer.', 'aiot status');
  });
  if (response.ok) return (await response.json()) as T;
  const problem = (await response.json().catch(() => null)) as Problem | null;
  if (response.status === 401) onLoggedOut();
  throw new ApiError(
    problem?.code ?? 'AIOT_PLATFORM_FAILED',
    problem?.detail ?? `The platform answered ${response.status}.`,
    problem?.next,
    response.status,
  );
}

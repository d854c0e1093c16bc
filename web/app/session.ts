import { signal } from '@preact/signals';
import type { Login, Session } from '../../src/lib/api/index.js';
import { ApiError, at, get, send, useSession } from './api.js';

/** The current user; undefined = not known yet, null = not logged in. */
export const user = signal<Session['user'] | undefined>(undefined);
export const version = signal('');

/** Host of the platform's login provider; null = it has none. */
export const provider = signal<string | null>(null);

/** Error of the login after which the provider has just redirected the browser back. */
export const providerFailure = signal<ApiError | undefined>(undefined);

/** Key of a login's secret in session storage while the browser is at the provider. Other tabs and sites cannot read the secret. */
const loginKey = 'aiot-login';

/** Checks whether this browser has a session. */
export async function loadSession(): Promise<void> {
  take(await get(at('GET /session', {})));
}

/** @throws ApiError for a used link, or an invalid token */
export async function logIn(login: Login): Promise<void> {
  take(await send(at('POST /session', {}), login));
}

/** Ends the session. Before that, the page is removed, which cancels its requests; they would fail without a session. */
export async function logOut(): Promise<void> {
  const before = user.value;
  user.value = undefined;
  await new Promise((resolve) => setTimeout(resolve));
  try {
    take(await send(at('DELETE /session', {})));
  } catch (error) {
    user.value = before;
    throw error;
  }
}

/** Sends the browser to the login provider, which sends it back to this page. @throws ApiError */
export async function goToProvider(): Promise<void> {
  const redirectUri = `${location.origin}/`;
  const { login, url } = await send(at('POST /session/logins', {}), { kind: 'browser', redirectUri });
  sessionStorage.setItem(loginKey, login);
  location.assign(url);
}

/** Completes the login if the provider has sent the browser here; otherwise checks whether this browser has a session. */
export async function openSession(): Promise<void> {
  const response = location.search.slice(1);
  if (!new URLSearchParams(response).has('state')) return loadSession();
  // The code in the address works only once.
  history.replaceState(null, '', '/');
  const login = sessionStorage.getItem(loginKey) ?? '';
  sessionStorage.removeItem(loginKey);
  try {
    await logIn({ login, response });
  } catch (error) {
    await loadSession();
    if (user.value === null && error instanceof ApiError) providerFailure.value = error;
  }
}

/** Whether the rights of the current user are limited to some devices. */
export function isLimited(): boolean {
  return typeof user.value?.selector === 'string';
}

/** Whether the current user may make changes. */
export function mayChange(): boolean {
  return user.value?.role === 'operator';
}

/** Whether the current user may publish models. */
export function mayPush(): boolean {
  return mayChange() || user.value?.role === 'ci';
}

/** Whether the current user may request pipeline runs, and cancel them. */
export function mayRun(): boolean {
  const scopes = user.value?.scopes ?? null;
  return mayPush() && !isLimited() && (scopes === null || scopes.includes('pipelines:run'));
}

/** Whether the current user may read, or change, what concerns the whole platform. @param noun of the scopes (src/lib/platform/http/auth.ts) */
export function mayManage(noun: 'users' | 'devices' | 'webhooks', action: 'read' | 'write'): boolean {
  const scopes = user.value?.scopes ?? null;
  const wanted = action === 'read' ? [`${noun}:read`, `${noun}:write`] : [`${noun}:write`];
  return mayChange() && !isLimited() && (scopes === null || wanted.some((scope) => scopes.includes(scope)));
}

/** Whether this browser's login has the rights of this token, and ends with it. The session's name contains the token's id. */
export function isOwnToken(id: string): boolean {
  return user.value?.name.endsWith(id.slice('tok_'.length)) ?? false;
}

/** Whether this browser is logged in as this user. */
export function isOwnUser(name: string): boolean {
  return user.value?.name.startsWith(`user ${name} `) ?? false;
}

function take(session: Session): void {
  version.value = session.version;
  provider.value = session.provider;
  useSession(session.user?.csrf ?? '', () => {
    user.value = null;
  });
  user.value = session.user;
}

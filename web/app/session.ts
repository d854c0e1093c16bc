import { signal } from '@preact/signals';
import type { Login, Session } from '../../src/lib/registry/index.js';
import { get, send, useSession } from './api.js';

/** Who is logged in; undefined = not known yet, null = nobody. */
export const user = signal<Session['user'] | undefined>(undefined);
export const version = signal('');

/** Looks whether this browser has a session. */
export async function loadSession(): Promise<void> {
  take(await get<Session>('/session'));
}

/** @throws ApiError for a link that was used, or a token that is not good */
export async function logIn(login: Login): Promise<void> {
  take(await send<Session>('POST', '/session', login));
}

export async function logOut(): Promise<void> {
  take(await send<Session>('DELETE', '/session'));
}

/** Whether who is logged in may change things. */
export function mayChange(): boolean {
  return user.value?.role === 'operator';
}

function take(session: Session): void {
  version.value = session.version;
  useSession(session.user?.csrf ?? '', () => {
    user.value = null;
  });
  user.value = session.user;
}

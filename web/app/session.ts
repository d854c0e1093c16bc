import { signal } from '@preact/signals';
import type { Login, Session } from '../../src/lib/api/index.js';
import { at, get, send, useSession } from './api.js';

/** The current user; undefined = not known yet, null = not logged in. */
export const user = signal<Session['user'] | undefined>(undefined);
export const version = signal('');

/** Checks whether this browser has a session. */
export async function loadSession(): Promise<void> {
  take(await get(at('GET /session', {})));
}

/** @throws ApiError for a used link, or an invalid token */
export async function logIn(login: Login): Promise<void> {
  take(await send(at('POST /session', {}), login));
}

export async function logOut(): Promise<void> {
  take(await send(at('DELETE /session', {})));
}

/** Whether the current user may make changes. */
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

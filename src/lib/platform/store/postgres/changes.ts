import { setTimeout as delay } from 'node:timers/promises';
import type { Changed, Changes } from '../changes.js';
import type { Store } from '../database.js';
import type { Address } from './address.js';
import { deviceChangesIn } from './device-changes.js';
import { openSession, type Session } from './session.js';

const all: readonly Changed[] = ['devices', 'events', 'rollouts'];
const [againMs, aliveEveryMs, aliveWithinMs] = [250, 2_000, 2_000];

/**
 * Hears of changes by LISTEN, on a connection of its own that is made anew when it is lost. What was missed meanwhile is
 * made up for: then all is said to have changed.
 */
export function postgresChanges(
  address: Address,
  store: Store,
): {
  changes: Changes;
  /** Whether changes are heard of just now. */
  listening(): boolean;
  /** Resolves when it hears for the first time, or cannot. */
  ready: Promise<void>;
  close(): Promise<void>;
} {
  const listeners = new Map<Changed, Set<() => void>>(all.map((what) => [what, new Set()]));
  const tell = (what: Changed) => {
    for (const listener of listeners.get(what) ?? []) listener();
  };
  const stop = new AbortController();
  let heard = false;
  let current: Session | undefined;
  let settle = () => {};
  const ready = new Promise<void>((resolve) => {
    settle = resolve;
  });

  const listen = async () => {
    const session = await openSession(address, { query_timeout: aliveWithinMs });
    current = session;
    try {
      session.client.on('notification', ({ payload }) => tell(payload as Changed));
      await session.query('LISTEN aiot');
      heard = true;
      settle();
      for (const what of all) tell(what);
      while (!session.lost.aborted) {
        await delay(aliveEveryMs, undefined, { signal: session.lost }).catch(() => {});
        if (!session.lost.aborted) await session.query('SELECT 1');
      }
    } finally {
      heard = false;
      await session.close();
    }
  };
  const running = (async () => {
    while (!stop.signal.aborted) {
      await listen().catch(() => {});
      settle();
      await delay(againMs, undefined, { signal: stop.signal }).catch(() => {});
    }
  })();

  return {
    listening: () => heard,
    ready,
    changes: {
      shared: true,
      followDevices: () => deviceChangesIn(store),
      on(what, listener) {
        listeners.get(what)?.add(listener);
        return () => listeners.get(what)?.delete(listener);
      },
    },
    async close() {
      stop.abort();
      await current?.close();
      await running;
    },
  };
}

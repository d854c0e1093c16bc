import { AiotError, type Clock } from '../../core/index.js';
import type { RouteState } from '../../stream/index.js';

/** One run of a route: resolves when it was told to end, or its sources have no more. */
export type RunRoute = (options: {
  signal: AbortSignal;
  onOpen: () => void;
  onState: (states: readonly RouteState[]) => void;
}) => Promise<unknown>;

export interface Supervised {
  /** When it first reads and writes, or has ended of itself. @throws what it can never be started with */
  readonly ready: Promise<void>;
  readonly state: 'starting' | 'running' | 'failing' | 'ended';
  /** Writes what was read, then ends. */
  stop(): Promise<void>;
}

/** Waits between two runs of a route that failed, ms. */
const firstWaitMs = 500;
const longestWaitMs = 30_000;

/**
 * Keeps a route running: one that fails is started again, later and later. What an error says that is no news of the outside
 * world (a setting, a file that cannot be) ends it, when it comes before the route was ever open.
 */
export function supervise(options: {
  name: string;
  run: RunRoute;
  clock: Clock;
  say: (line: string) => void;
}): Supervised {
  const { name, run, clock, say } = options;
  const ending = new AbortController();
  const { signal } = ending;
  let state: Supervised['state'] = 'starting';
  let opened = false;
  const sides = new Map<string, string>();
  const watch = ([own]: readonly RouteState[]) => {
    for (const { endpoint, state: now, error } of [...(own?.from ?? []), ...(own?.to ?? [])]) {
      if (sides.get(endpoint) === now) continue;
      const before = sides.get(endpoint);
      sides.set(endpoint, now);
      if (now === 'failing') say(`route ${name}: ${endpoint} fails${error ? `: ${error}` : ''}`);
      if (now === 'connected' && before === 'failing') say(`route ${name}: ${endpoint} is there again`);
    }
  };

  let ready: () => void = () => {};
  let refuse: (error: unknown) => void = () => {};
  const started = new Promise<void>((resolve, reject) => {
    [ready, refuse] = [resolve, reject];
  });
  started.catch(() => {});

  const keep = async () => {
    let wait = firstWaitMs;
    for (;;) {
      const onOpen = () => {
        if (opened) say(`route ${name} runs again`);
        opened = true;
        wait = firstWaitMs;
        state = 'running';
        ready();
      };
      try {
        await run({ signal, onOpen, onState: watch });
        if (!signal.aborted) say(`route ${name} has ended: its source has no more`);
        break;
      } catch (error) {
        if (signal.aborted) break;
        if (!opened && !worthAgain(error)) {
          refuse(error);
          break;
        }
        state = 'failing';
        const why = error instanceof Error ? error.message : String(error);
        say(`route ${name} failed and is started again in ${wait / 1000} s: ${why}`);
        await clock.sleep(wait, signal).catch(() => {});
        if (signal.aborted) break;
        wait = Math.min(2 * wait, longestWaitMs);
      }
    }
    state = 'ended';
    ready();
  };
  const kept = keep();
  return {
    ready: started,
    get state() {
      return state;
    },
    async stop() {
      ending.abort();
      await kept;
    },
  };
}

/** Whether the same may succeed later. */
function worthAgain(error: unknown): boolean {
  return error instanceof AiotError && error.retryable;
}

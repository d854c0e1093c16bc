import { cacheFolder } from '../../core/folders.js';
import type { Project } from '../../core/project.js';
import { type Clock, systemClock } from '../../core/time.js';
import type { TrustRoot } from '../../formats/manifest/envelope.js';
import type { Delegate, ModelEvent } from '../types.js';

export interface ModelOptions {
  /**
   * A .aiot file, or a model in the registry's notation: `NAME@STAGE`, `NAME@VERSION`, `NAME@latest`. If absent: the project's
   * build/model.aiot, else its model in production on the current platform, else (`simulate`) one trained into the cache.
   */
  reference?: string | undefined;
  /** The stream's contract; null = the requirements of the first model. */
  project: Project | null;
  /** If there is neither model nor platform, train the project's model into the cache folder. */
  simulate?: boolean | undefined;
  delegate?: Delegate | undefined;
  /** Platform context; default: the current one. */
  context?: string | undefined;
  /** Trusted keys; null = the keys in the platform's trust root. */
  trust?: TrustRoot | null | undefined;
  /** The machine's clock, even if the loop runs in simulated time, because it determines when the platform is polled. */
  clock?: Clock | undefined;
  signal?: AbortSignal | undefined;
  onEvent?: ((event: ModelEvent) => void) | undefined;
  /** Progress of a long operation, in a few words. */
  onStep?: ((text: string) => void) | undefined;
  /** Polling interval of the platform, ms. */
  pollMs?: number | undefined;
  /** Cache folder; default: the user's cache folder. */
  cache?: string | undefined;
  /** How a delegate's packages are imported. */
  importPackage?: ((name: string) => Promise<Record<string, unknown>>) | undefined;
}

/** Model options with all defaults filled in. */
export type Settings = ReturnType<typeof settingsOf>;

/** Options with their defaults: the CPU, no trust root, the real clock, a registry check every 15 s. */
export function settingsOf(options: ModelOptions) {
  return {
    ...options,
    delegate: options.delegate ?? 'cpu',
    trust: options.trust ?? null,
    clock: options.clock ?? systemClock,
    pollMs: options.pollMs ?? 15_000,
    cache: options.cache ?? cacheFolder(),
    tell: (kind: ModelEvent['kind'], text: string) => options.onEvent?.({ kind, text }),
  };
}

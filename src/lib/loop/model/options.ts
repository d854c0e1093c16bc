import { cacheFolder } from '../../core/folders.js';
import type { Project } from '../../core/project.js';
import { type Clock, systemClock } from '../../core/time.js';
import type { TrustRoot } from '../../formats/manifest/envelope.js';
import type { ModelEvent } from '../types.js';

export interface ModelOptions {
  /**
   * A .aiot file, or as the registry names models: `NAME@STAGE`, `NAME@VERSION`, `NAME@latest`. Without one: the project's
   * build/model.aiot, else its model in production on the platform in use, else (`simulate`) one trained into the cache.
   */
  reference?: string | undefined;
  /** What the stream is like; null = whatever the first model asks for. */
  project: Project | null;
  /** Where there is neither model nor platform, train the project's model into the cache folder. */
  simulate?: boolean | undefined;
  delegate?: 'cpu' | 'coral' | undefined;
  /** Of the platform; the one in use unless told. */
  context?: string | undefined;
  /** Whose signatures count; null = whom the platform trusts. */
  trust?: TrustRoot | null | undefined;
  /** This machine's time, also where the loop runs in a simulated one: platforms are asked at this pace. */
  clock?: Clock | undefined;
  signal?: AbortSignal | undefined;
  onEvent?: ((event: ModelEvent) => void) | undefined;
  /** What is being done while it takes long, in a few words. */
  onStep?: ((text: string) => void) | undefined;
  /** How often the platform is asked, ms. */
  pollMs?: number | undefined;
  /** Instead of the user's cache folder. */
  cache?: string | undefined;
  /** How the packages of a delegate are imported. */
  importPackage?: ((name: string) => Promise<Record<string, unknown>>) | undefined;
}

/** The same with nothing left open. */
export type Settings = ReturnType<typeof settingsOf>;

/** Options with their defaults: the CPU, no trust root, the real clock, a look at the registry each 15 s. */
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

import type { RolloutDevice, RolloutState } from './rollout.js';

/** Where rollouts live. */
export interface RolloutStore {
  /**
   * Resolves when the state is on disk: only then may its effects be carried out. `changed`: devices to write. `who` changed it.
   * Its revision is one above that of what it was made from: of two that were made from the same, one is refused.
   */
  save(rollout: RolloutState, changed: RolloutDevice[], who: string): Promise<void>;
  get(id: string): Promise<RolloutState | null>;
  count(): Promise<number>;
  /** Newest first, at most so many of those that are older than `after` (its id). */
  list(page: { after?: string | undefined; limit: number }): Promise<RolloutState[]>;
  /** `known`: what was read before; of these only what has changed since is read, and what has not is given as it was. */
  running(known: ReadonlyMap<string, RolloutState>): Promise<RolloutState[]>;
}

import type { RolloutState } from './rollout.js';

/** Where rollouts live. `save` resolves when the state is on disk: only then may its effects be carried out. */
export interface RolloutStore {
  save(rollout: RolloutState): Promise<void>;
  get(id: string): Promise<RolloutState | null>;
  /** Newest first. */
  list(): Promise<RolloutState[]>;
  running(): Promise<RolloutState[]>;
}

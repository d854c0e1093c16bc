import type { RolloutDevice, RolloutState } from './rollout.js';

/** Where rollouts live. */
export interface RolloutStore {
  /** Resolves when the state is on disk: only then may its effects be carried out. `changed`: devices to write. */
  save(rollout: RolloutState, changed: RolloutDevice[]): Promise<void>;
  get(id: string): Promise<RolloutState | null>;
  count(): Promise<number>;
  /** Newest first. */
  list(): Promise<RolloutState[]>;
  running(): Promise<RolloutState[]>;
}

import type { BoardRow } from '../flash/index.js';
import type { EpochFigures } from '../model/index.js';
import type { Rollout } from '../registry/index.js';

/** How far a piece of long work is. What all tasks tell in the same way. */
interface Step {
  /** What is being done now, in a few words for people. */
  step: string;
  /** How much of `total` is done, in `unit`; null where it is not counted. */
  done: number | null;
  total: number | null;
  unit: 'bytes' | 'epochs' | 'devices' | null;
}

/** A board being written; with several at once, `board.port` tells them apart. */
export interface FlashProgress extends Step {
  task: 'flash';
  board: BoardRow;
}

/** Something that only hands can do at a board: press RESET, hold BOOT. `step` says it. */
export interface FlashAsk extends Step {
  task: 'flash-ask';
}

export interface TrainProgress extends Step {
  task: 'train';
  /** The epoch that has just ended; null between epochs. */
  epoch: EpochFigures | null;
}

export interface QuantizeProgress extends Step {
  task: 'quantize';
}

/** `done` counts devices that have committed. */
export interface RolloutProgress extends Step {
  task: 'rollout';
  rollout: Rollout;
}

export type Progress = FlashProgress | FlashAsk | TrainProgress | QuantizeProgress | RolloutProgress;

/** Of a task that takes long. */
export interface Watched<P extends Progress> {
  /** Called in order, and not waited for; what it throws ends the work. */
  onProgress?: ((progress: P) => void) | undefined;
  /** Stops the work as Ctrl-C does: what was begun is cleaned up, then AIOT_INTERRUPTED or the signal's own reason is thrown. */
  signal?: AbortSignal | undefined;
}

/** A step that is not counted. */
export type Uncounted = Pick<Step, 'done' | 'total' | 'unit'>;
export const uncounted: Uncounted = { done: null, total: null, unit: null };

import type { EpochFigures } from '../../model/train/types.js';
import { epochText } from '../render/training.js';
import type { ProgressState } from './progress.js';

/** Outputs for epochs: JSON events for programs, a progress line for people. */
interface EpochWatch {
  event: (value: object) => void;
  update: (state: ProgressState) => void;
  /** Clock in milliseconds; `performance.now` by default. */
  now?: () => number;
}

/** Returns a function that reports each finished epoch with the estimated remaining time. */
export function watchEpochs({ event, update, now = () => performance.now() }: EpochWatch) {
  /**
   * The first epoch after the start, which is not necessarily epoch 1. Excluded from the pace, because its time includes loading.
   */
  let first: { epoch: number; at: number } | undefined;
  return (figures: EpochFigures): void => {
    const { epoch, epochs } = figures;
    first ??= { epoch, at: now() };
    const passed = epoch - first.epoch;
    const leftMs = passed === 0 ? null : ((now() - first.at) / passed) * (epochs - epoch);
    event({ event: 'epoch', ...figures, secondsLeft: leftMs === null ? null : Math.round(leftMs) / 1000 });
    update({ text: epochText(figures, leftMs), done: epoch, total: epochs, counted: true });
  };
}

import type { EpochFigures } from '../../model/train/types.js';
import { epochText } from '../render/training.js';
import type { ProgressState } from './progress.js';

/** Where epochs are told: to programs as JSON, to people as progress. */
interface EpochWatch {
  event: (value: object) => void;
  update: (state: ProgressState) => void;
  /** Milliseconds; performance.now unless told. */
  now?: () => number;
}

/** Takes epochs as they end, and tells them with the time that is left by the pace so far. */
export function watchEpochs({ event, update, now = () => performance.now() }: EpochWatch) {
  /** The pace is of the epochs after the first one seen: what comes before it is loading. A training that goes on begins later. */
  let first: { epoch: number; at: number } | undefined;
  return (figures: EpochFigures): void => {
    const { epoch, epochs } = figures;
    first ??= { epoch, at: now() };
    const passed = epoch - first.epoch;
    const leftMs = passed === 0 ? null : ((now() - first.at) / passed) * (epochs - epoch);
    event({ event: 'epoch', ...figures, secondsLeft: leftMs === null ? null : Math.round(leftMs) / 1000 });
    update({ text: epochText(figures, leftMs), done: epoch, total: epochs });
  };
}

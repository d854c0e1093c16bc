import type { Recording } from '../../data/index.js';
import { windowFeatures } from '../../signal/index.js';
import type { BundleInfo } from '../bundle/types.js';
import { checkNumbers, columnsFor } from '../train/examples/examples.js';

/** A window of a recording whose class is known. */
export interface LabelledWindow {
  /** Before standardization. */
  features: Float32Array;
  class: number;
  recording: string;
}

/** What a model is taught with. */
export interface Lesson {
  /** What it learned before; none = it is not on this machine. */
  old: LabelledWindow[];
  /** What was marked on the spot. */
  taught: LabelledWindow[];
  /** Held out of both: what the new model is measured by, beside the old one. */
  heldOut: LabelledWindow[];
}

/** Index of the class that a recorded label, or a class's own name, stands for; null = the model has no such class. */
export function classOfLabel({ classes, labels }: BundleInfo, label: string): number | null {
  const named = classes.findIndex((name) => labels[name]?.includes(label));
  const found = named >= 0 ? named : classes.indexOf(label);
  return found >= 0 ? found : null;
}

/**
 * The windows of one recording as the model sees them; none where its label is none of the model's.
 * @throws AIOT_TRAINING_DATA_UNFIT (another rate, a field missing, a sample that is no number)
 */
export function labelledWindows(info: BundleInfo, recording: Recording): LabelledWindow[] {
  const known = recording.label === null ? null : classOfLabel(info, recording.label);
  if (known === null) return [];
  checkNumbers(recording);
  return windowFeatures(info.signal, columnsFor(recording, info.signal)).map((features) => ({
    features,
    class: known,
    recording: recording.id,
  }));
}

/** Of a class's weight, what was marked on the spot has at least so much. */
const taughtShare = 1 / 3;

/** How much each window counts: each class as much as any other, so that teaching one does not make the others rarer. */
export function weightsOf(old: readonly LabelledWindow[], taught: readonly LabelledWindow[]): Float64Array {
  const count = new Map<number, [number, number]>();
  for (const [side, windows] of [old, taught].entries()) {
    for (const { class: c } of windows) {
      const both = count.get(c) ?? [0, 0];
      both[side as 0 | 1]++;
      count.set(c, both);
    }
  }
  const weightOf = (c: number, side: 0 | 1) => {
    const both = count.get(c)!;
    const own = both[1] / (both[0] + both[1]);
    const share = both[0] === 0 || both[1] === 0 ? own : Math.max(own, taughtShare);
    return (side === 1 ? share : 1 - share) / both[side] / count.size;
  };
  const of = (windows: readonly LabelledWindow[], side: 0 | 1) =>
    windows.map((window) => weightOf(window.class, side));
  return Float64Array.from([...of(old, 0), ...of(taught, 1)]);
}

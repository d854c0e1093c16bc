import type { Graph } from '../../formats/index.js';
import type { Built } from '../built.js';
import { unfit } from '../train/examples/examples.js';
import { chooseGolden, chooseGoldenRows, rowsTried, vectorsPerClass } from './choose-golden.js';
import { goldenVector, type Take } from './golden.js';
import type { BundleInfo, GoldenVector } from './types.js';

/**
 * Golden vectors of a built model, some a class: of what it was evaluated on first, then of what only chose the epoch.
 * @throws AIOT_TRAINING_DATA_UNFIT when a class has no window of its own
 */
export function goldenOf(graph: Graph, info: BundleInfo, built: Built): GoldenVector[] {
  const takes = built.rows ? takesOfRows(info, built) : takesOfRecordings(info, built);
  return takes.map((take) => goldenVector(graph, info, take));
}

function takesOfRecordings(info: BundleInfo, { training, dataset }: Built): Take[] {
  const { test, validation } = training.split;
  const heldOut = [...test, ...validation].flatMap((id) => dataset.recordings.filter((r) => r.id === id));
  // A split by window has no recording of which nothing was trained on.
  const recordings = heldOut.length > 0 ? heldOut : dataset.recordings;
  if (info.classes.length === 0) {
    const chosen = chooseGolden(recordings, info, 2 * vectorsPerClass);
    if (chosen.length === 0) throw unfit('no held-out recording is as long as one window');
    return chosen;
  }
  const missing: string[] = [];
  const takes = info.classes.flatMap((name) => {
    const own = recordings.filter(({ label }) => label !== null && info.labels[name]?.includes(label));
    const chosen = chooseGolden(own, info);
    if (chosen.length === 0) missing.push(name);
    return chosen;
  });
  if (takes.length > 0 && info.answer.kind === 'reconstruction') return takes;
  // Who learns what is normal may have recorded nothing else, and labelled none of it.
  if (info.answer.kind === 'reconstruction') return chooseGolden(recordings, info, 2 * vectorsPerClass);
  if (missing[0]) throw unfit(`class ${missing[0]} has no held-out recording as long as one window`);
  return takes;
}

/** A row is a sample where the signal is made of the table's columns; otherwise it is the features of a window. */
function takesOfRows(info: BundleInfo, built: Built): Take[] {
  const { windowSamples, features, fields } = info.signal;
  const byClass = info.classes.length > 0;
  const groups = heldOutRows(built, byClass ? info.classes.length : 1, byClass);
  const width = groups.find((rows) => rows.length > 0)?.[0]?.inputs.length;
  const sampled = windowSamples === 1 && features === 'raw' && fields.length === width;
  const wanted = byClass ? vectorsPerClass : 2 * vectorsPerClass;
  return groups.flatMap((rows) => chooseGoldenRows(rows, info, sampled, wanted));
}

/** The first rows of each class (or of all together), as many as are looked at: of what was evaluated on, then of what chose the epoch. */
function heldOutRows(built: Built, groups: number, byClass: boolean) {
  const found = Array.from({ length: groups }, (): { name: string; inputs: Float32Array }[] => []);
  for (const part of ['test', 'validation'] as const) {
    for (const { inputs, inputSize, classes, recordings } of built.part(part).pieces()) {
      classes.forEach((c, row) => {
        const own = found[byClass ? c : 0]!;
        if (own.length === rowsTried) return;
        own.push({ name: recordings[row]!, inputs: inputs.slice(row * inputSize, (row + 1) * inputSize) });
      });
      if (found.every((rows) => rows.length === rowsTried)) return found;
    }
  }
  return found;
}

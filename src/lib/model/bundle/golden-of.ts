import type { Graph } from '../../formats/index.js';
import type { Built } from '../built.js';
import { unfit } from '../train/examples.js';
import type { Examples } from '../train/types.js';
import { chooseGolden, chooseGoldenRows, vectorsPerClass } from './choose-golden.js';
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
  const rows = [...heldOutRows(built.examples('test')), ...heldOutRows(built.examples('validation'))];
  const { windowSamples, features, fields } = info.signal;
  const sampled = windowSamples === 1 && features === 'raw' && fields.length === rows[0]?.inputs.length;
  if (info.classes.length === 0) return chooseGoldenRows(rows, info, sampled, 2 * vectorsPerClass);
  return info.classes.flatMap((_, c) =>
    chooseGoldenRows(
      rows.filter((row) => row.class === c),
      info,
      sampled,
    ),
  );
}

function heldOutRows({ inputs, inputSize, classes, recordings }: Examples) {
  return recordings.map((name, row) => ({
    name,
    class: classes[row]!,
    inputs: inputs.slice(row * inputSize, (row + 1) * inputSize),
  }));
}

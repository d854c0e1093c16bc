import type { Built } from '../built.js';
import { partLetters } from '../train/rows/split.js';
import type { Worst } from './judge.js';
import type { WorstWindow } from './result.js';

/** Windows that are drawn, and points of each curve. */
const most = 6;
const points = 120;

/**
 * Where the rows that a network is most wrong about come from, with their samples to be drawn.
 * @param groups what each row of the test part belongs to; null where rows of a table stand for themselves
 */
export function worstWindows(
  worst: readonly Worst[],
  groups: readonly string[] | null,
  built: Built,
): WorstWindow[] {
  return worst.slice(0, most).map(({ row, truth, predicted, score }) => {
    const recording = groups ? groups[row - 1]! : rowName(built, row);
    const inOrder = built.rows === null && built.training.split.by !== 'window';
    const window = inOrder && groups ? row - 1 - groups.indexOf(recording) : null;
    const place = window === null ? null : samplesOf(built, recording, window);
    const startS = place?.startS ?? null;
    return { recording, window, startS, truth, predicted, score, samples: place?.samples ?? null };
  });
}

/** What a row of the test part is called, by its place in the file. @param row of the part, from 1 */
function rowName({ training: { source } }: Built, row: number): string {
  const parts = source.kind === 'table' ? source.parts : '';
  let place = -1;
  for (let seen = 0; seen < row; seen++) place = parts.indexOf(partLetters.test, place + 1);
  return `row ${place + 1}`;
}

/** The raw samples that a window was made of. */
function samplesOf({ dataset, training: { signal } }: Built, id: string, window: number) {
  const recording = dataset.recordings.find((one) => one.id === id);
  if (!recording) return null;
  const perSample = signal.rateHz / signal.resampleHz;
  const start = Math.round(window * signal.strideSamples * perSample);
  const length = Math.round(signal.windowSamples * perSample);
  const step = Math.max(1, Math.ceil(length / points));
  const values = signal.fields.map((field) => {
    const column = recording.columns[recording.fields.indexOf(field)] ?? new Float64Array();
    const taken = column.subarray(start, start + length);
    return Array.from({ length: Math.ceil(taken.length / step) }, (_, i) =>
      Number(taken[i * step]!.toPrecision(5)),
    );
  });
  return {
    startS: start / signal.rateHz,
    samples: { fields: [...signal.fields], seconds: length / signal.rateHz, values },
  };
}

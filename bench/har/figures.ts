import { bootstrapInterval } from '../../src/lib/model/evaluate/intervals.js';
import { classFigures, confusionOf, macroF1Of } from '../../src/lib/model/evaluate/metrics.js';
import type { ClassFigures } from '../../src/lib/model/evaluate/result.js';
import { voteAll } from '../../src/lib/model/vote.js';
import type { Material } from './material.js';

/** Metrics over windows, each predicted once by a model that was not trained on the window's recording. */
export interface Score {
  windows: number;
  recordings: number;
  accuracy: number;
  macroF1: number;
  /** 95 % confidence interval, by resampling recordings. */
  interval: [number, number] | null;
  perClass: ClassFigures[];
  confusion: number[][];
}

export interface Scores {
  window: Score;
  voted: Score;
}

/** @param predicted classes of the windows at `places`, in time order within a recording */
export function scoresOf(
  material: Material,
  places: number[],
  predicted: ArrayLike<number>,
  vote: string,
): Scores {
  const truth = places.map((place) => material.truth[place]!);
  const groups = places.map((place) => material.recordings[place]!);
  const ballotOf = (place: number) => ({ index: predicted[place]!, scores: [] });
  const voted = voteAll(groups, ballotOf, { vote, answer: { kind: 'classes' } });
  return {
    window: score(truth, predicted, groups, material.classes),
    voted: score(truth, voted, groups, material.classes),
  };
}

function score(truth: number[], predicted: ArrayLike<number>, groups: string[], classes: string[]): Score {
  const count = classes.length;
  const confusion = confusionOf(truth, predicted, count);
  const right = truth.filter((c, i) => c === predicted[i]).length;
  return {
    windows: truth.length,
    recordings: new Set(groups).size,
    accuracy: right / truth.length,
    macroF1: macroF1Of(confusion),
    interval: bootstrapInterval(truth.length, groups, (weights) =>
      macroF1Of(confusionOf(truth, predicted, count, weights)),
    ),
    perClass: classFigures(confusion, classes),
    confusion,
  };
}

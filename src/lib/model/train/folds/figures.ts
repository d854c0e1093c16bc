import {
  bootstrapInterval,
  confusionOf,
  macroF1Of,
  metricsOf,
  proportionOf,
  valueFigures,
} from '../../evaluate/metrics.js';
import type { Answers } from '../answers.js';
import type { Examples } from '../types.js';

export interface FoldFigures {
  accuracy: number | null;
  macroF1: number | null;
  rmse: number | null;
}

/** Figures of answers to examples; macro-F1 where there is more than one class among them. */
export function foldFigures(
  truth: Pick<Examples, 'classes' | 'values'>,
  answers: Answers,
  classes: number,
): FoldFigures {
  if (truth.values)
    return { accuracy: null, macroF1: null, rmse: valueFigures(truth.values, answers.values).rmse };
  const { accuracy, macroF1 } = metricsOf(truth.classes, answers.classes, classes);
  return { accuracy, macroF1: new Set(truth.classes).size > 1 ? macroF1 : null, rmse: null };
}

interface Pooled {
  value: number;
  interval: [number, number] | null;
}

/** The same over all tested examples together. The accuracy's interval is `proportionOf`'s; the others come from drawing groups again. */
export function pooledFigures(
  truth: Pick<Examples, 'classes' | 'values' | 'recordings'>,
  answers: Answers,
  classes: number,
): Record<keyof FoldFigures, Pooled | null> {
  const groups = truth.recordings;
  const { accuracy, macroF1, rmse } = foldFigures(truth, answers, classes);
  const of = (value: number | null, statistic: (weights: Float64Array) => number | null): Pooled | null =>
    value === null ? null : { value, interval: bootstrapInterval(groups.length, groups, statistic) };
  const confusion = (weights: Float64Array) => confusionOf(truth.classes, answers.classes, classes, weights);
  return {
    accuracy:
      accuracy === null
        ? null
        : {
            value: accuracy,
            interval: proportionOf(
              groups.length,
              (row) => truth.classes[row] === answers.classes[row],
              groups,
            ).interval,
          },
    macroF1: of(macroF1, (weights) => macroF1Of(confusion(weights))),
    rmse: of(rmse, (weights) => valueFigures(truth.values!, answers.values, weights).rmse),
  };
}

import type { ModelVersion } from '../../../src/lib/api/index.js';
import { shareText } from '../../../src/lib/core/figures.js';

type Metrics = NonNullable<ModelVersion['metrics']>;
export type Figures = Metrics['int8'];

/** A share is shown in percent, and a score with three decimals, as on the command line and in reports. */
export type Format = 'share' | 'score' | 'number';

/** A metric. Whether a model has it depends on the model's kind of prediction. */
interface Figure {
  key: string;
  title: string;
  format: Format;
  /** Whether a lower value is better. */
  less?: boolean;
}

export const figures: readonly Figure[] = [
  { key: 'accuracy', title: 'accuracy', format: 'share' },
  { key: 'macroF1', title: 'macro-F1', format: 'score' },
  { key: 'auc', title: 'AUC', format: 'score' },
  { key: 'calibrationError', title: 'calibration error', format: 'score', less: true },
  { key: 'mae', title: 'mean absolute error', format: 'number', less: true },
  { key: 'rmse', title: 'RMSE', format: 'number', less: true },
  { key: 'r2', title: 'R²', format: 'score' },
];

/** The value of a metric; undefined if it was not measured, or does not exist for this kind of prediction. */
export function figureOf(of: Figures | null | undefined, key: string): number | undefined {
  const value = of?.[key];
  return typeof value === 'number' ? value : undefined;
}

/** The 95 % interval of the quantized model's metric, if the evaluation computed it. */
export function intervalOf(of: Figures | null | undefined, key: string): [number, number] | undefined {
  const all = of?.intervals as Record<string, unknown> | undefined;
  const isMain = key === 'accuracy' || (key === 'mae' && figureOf(of, 'accuracy') === undefined);
  const found = isMain ? of?.interval : all?.[key];
  return Array.isArray(found) && found.length === 2 ? (found as [number, number]) : undefined;
}

/** The accuracy as worded by `aiot model evaluate`; null for models without classes. */
export function accuracyText(of: Figures): string | null {
  const share = figureOf(of, 'accuracy');
  if (share === undefined) return null;
  const groups = typeof of.groups === 'number' ? of.groups : null;
  const interval = intervalOf(of, 'accuracy') ?? null;
  return shareText({ share, cases: of.windows, unit: 'window', groups, interval });
}

/** A metric as text: `97.3 %` for a share, `0.973` for a score, otherwise a number with four significant digits. */
export function written(value: number | undefined | null, format: Format = 'number'): string {
  if (value === undefined || value === null) return '–';
  if (format === 'share') return `${(value * 100).toFixed(1)} %`;
  return format === 'score' ? value.toFixed(3) : String(Number(value.toPrecision(4)));
}

/** The metric shown in lists, which is the first in order of preference that the model has. */
export function headline({ metrics }: ModelVersion): { title: string; text: string; value: number } | null {
  const int8 = metrics?.int8;
  const order = ['macroF1', 'auc', 'mae', 'rmse'];
  for (const key of order) {
    const value = figureOf(int8, key);
    const figure = figures.find((one) => one.key === key);
    if (value !== undefined && figure)
      return { title: figure.title, text: written(value, figure.format), value };
  }
  return null;
}

export interface ClassFigures {
  name: string;
  support: number;
  precision: number | null;
  recall: number | null;
  f1: number | null;
}

/**
 * The metrics of each class, computed from a confusion matrix (rows = truth); null if the matrix is empty.
 */
export function perClass(
  classes: readonly string[],
  confusion: readonly (readonly number[])[],
): ClassFigures[] {
  return classes.map((name, c) => {
    const support = (confusion[c] ?? []).reduce((sum, n) => sum + n, 0);
    const named = confusion.reduce((sum, row) => sum + (row[c] ?? 0), 0);
    const right = confusion[c]?.[c] ?? 0;
    return {
      name,
      support,
      precision: named === 0 ? null : right / named,
      recall: support === 0 ? null : right / support,
      f1: support + named === 0 ? null : (2 * right) / (support + named),
    };
  });
}

import { percent, plural } from '../../core/index.js';
import type { ModelVersion } from '../../registry/index.js';

type Figures = NonNullable<ModelVersion['metrics']>['int8'];

/** The figure that says most of a network; macro-F1 is no share of anything, so it is written as a number. */
function mainFigure(figures: Figures): string {
  const { macroF1, accuracy, mae, auc } = figures;
  if (typeof macroF1 === 'number') return `macro-F1 ${macroF1.toFixed(3)}`;
  if (typeof mae === 'number') return `mean error ${Number(mae.toPrecision(3))}`;
  if (typeof auc === 'number') return `AUC ${auc.toFixed(3)}`;
  return typeof accuracy === 'number' ? percent(accuracy) : `over ${plural(figures.windows, 'window')}`;
}

/** One figure of the quantized network. */
export function figureText({ metrics }: ModelVersion): string {
  return metrics ? mainFigure(metrics.int8) : 'not evaluated';
}

/** The float network, the quantized one, and the vote. */
export function figuresText({ metrics, mode }: ModelVersion): string {
  if (!metrics) return 'not evaluated';
  const { float, int8, voted } = metrics;
  const parts = [`float ${mainFigure(float)}`, `${mode} ${mainFigure(int8)}`];
  if (voted) parts.push(`voted ${mainFigure(voted)}`);
  return parts.join(', ');
}

/** What it answers with. */
export function answerText({ answer, classes, mode }: ModelVersion): string {
  if (!answer) return `nobody said what (a ${mode} network alone)`;
  if (answer.kind === 'value') return `values: ${Array.isArray(answer.names) ? answer.names.join(', ') : ''}`;
  const { threshold } = answer;
  const names = `${answer.kind}: ${classes.join(', ')}`;
  if (typeof threshold !== 'number') return names;
  const where = answer.kind === 'reconstruction' ? 'above an error of' : 'from a probability of';
  return `${names}; ${classes[1]} ${where} ${Number(threshold.toPrecision(4))}`;
}

export function datasetText({ lineage }: ModelVersion): string {
  if (!lineage) return 'unknown';
  const { name, recordings, samples, digest } = lineage.dataset;
  const count = recordings > 0 ? plural(recordings, 'recording') : plural(samples, 'row');
  return `${name}: ${count}, ${digest}`;
}

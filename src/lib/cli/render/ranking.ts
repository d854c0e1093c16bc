import { percent } from '../../core/index.js';
import type { FeaturesResult } from '../../data/index.js';
import { dim } from './style.js';
import { table } from './text.js';

/** The features that tell most, and what the figures mean. */
export function rankingText({ ranking, recordings }: FeaturesResult, most = 30): string {
  if (!ranking) return '';
  const { features, accuracy, folds, labels } = ranking;
  const rows = features
    .slice(0, most)
    .map(({ name, information, f, importance }, i) => [
      i + 1,
      name,
      information.toFixed(3),
      f >= 1e6 ? '> 1e6' : f.toFixed(1),
      `${(importance * 100).toFixed(1)} pt`,
    ]);
  const more = features.length > most ? [dim(`and ${features.length - most} more: --json has them all`)] : [];
  return [
    `A linear probe tells ${labels.join(', ')} in ${percent(accuracy)} of the windows of recordings it was not trained on (${recordings} recordings, ${folds} folds).`,
    '',
    table(['', 'feature', 'bits', 'F', 'loss'], rows),
    ...more,
    dim('bits: mutual information with the label · F: one-way ANOVA over the means of recordings'),
    dim('loss: accuracy that the probe loses on held-out recordings when the feature is shuffled'),
  ].join('\n');
}

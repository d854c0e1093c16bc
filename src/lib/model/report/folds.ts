import { foldsText, percent, thousands } from '../../core/index.js';
import { confusionTable, type Html, html, htmlTable } from '../../formats/index.js';
import type { FoldsFile } from '../train/folds/types.js';

/** What leaving each part out once has measured, before this network was trained on all of them. */
export function foldSection(folds: FoldsFile | null | undefined, unit: 'window' | 'row'): Html | null {
  if (!folds) return null;
  const { pooled, together, confusion, classes, by, method } = folds;
  const share = (value: number | null) => (value === null ? '–' : percent(value));
  const score = (value: number | null) => (value === null ? '–' : value.toFixed(3));
  const values = pooled.rmse !== null;
  const rows = folds.folds.map(({ groups, examples, bestEpoch, accuracy, macroF1, rmse }) => [
    groups.slice(0, 3).join(', ') + (groups.length > 3 ? ` and ${groups.length - 3} more` : ''),
    ...[thousands(examples), String(bestEpoch)],
    ...(values ? [rmse === null ? '–' : rmse.toPrecision(4)] : [share(accuracy), score(macroF1)]),
  ]);
  const counted = confusion?.flat().reduce((sum, count) => sum + count, 0) ?? 0;
  return html`<h2>Folds, each left out once</h2>${htmlTable(
    [`Left out (${by})`, 'Examples', 'Kept epoch', ...(values ? ['RMSE'] : ['Accuracy', 'Macro-F1'])],
    rows,
  )}<p class="lead" style="margin-top:12px">All together: ${foldsText(together, unit)}. Intervals: ${method}.</p>${confusion ? confusionTable('All folds', `${thousands(counted)} examples, float`, classes, confusion) : null}`;
}

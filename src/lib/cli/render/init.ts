import { plural } from '../../core/index.js';
import type { InitResult, Survey } from '../../project/index.js';
import { facts } from './text.js';

const rateWords = {
  told: 'as told',
  time: 'by the time column',
  assumed: 'assumed: nothing in the files tells it',
};

/** What was seen in data of one's own. */
export function surveyText(survey: Survey): string {
  const { kind, count, fields, ignored, labels, labelFrom, labelColumn, measured, rateHz, rateFrom } = survey;
  const lines: [string, string][] = [
    ['Data', plural(count, kind === 'rows' ? 'row' : 'recording')],
    ['Inputs', fields.join(', ')],
  ];
  if (ignored.length > 0) lines.push(['Left out', ignored.join(', ')]);
  if (rateHz !== null) lines.push(['Rate', `${rateHz} Hz, ${rateWords[rateFrom!]}`]);
  lines.push(['Labels', labelsText()]);
  return facts(lines);

  function labelsText(): string {
    if (labelFrom === 'none') {
      const [column] = ignored;
      const hint = column === undefined ? '' : `, or from a column: --label-from column:${column}`;
      return `none: it learns what is normal${hint}`;
    }
    const where = labelColumn === null ? `by ${labelFrom}` : `in the column ${labelColumn}`;
    if (measured) return `${where}: numbers that are measured`;
    const all = Object.entries(labels).map(([label, times]) => `${label} ${times}`);
    const more = all.length > 8 ? `, and ${all.length - 8} more` : '';
    return `${where}: ${all.slice(0, 8).join(', ')}${more}`;
  }
}

/** A project that was just made. */
export function initText(made: InitResult): string {
  const lines: [string, string][] = [
    ['Project', made.template === 'own' ? made.name : `${made.name} (${made.template})`],
    ['Folder', made.dir],
    ['Files', made.files.join(', ')],
  ];
  if (made.recordings > 0) {
    const labels = Object.entries(made.labels).map(([label, count]) => `${label} ${count}`);
    const of = labels.length > 0 ? `: ${labels.join(', ')}` : '';
    lines.push(['Recordings', `${made.recordings}, ${plural(made.samples, 'sample')}${of}`]);
  }
  return facts(lines);
}

import { percent, plural } from '../../core/index.js';
import type { Statistics } from '../../data/index.js';
import { halved, sparkline } from './sparkline.js';
import { bold, dim } from './style.js';
import { table } from './text.js';

type Field = Statistics['fields'][number];

/** Rows of a table of groups. */
const mostGroups = 40;
/** Words that are named. */
const mostWords = 8;

/** One line a field, and what labels (or recordings) are like in each. */
export function statisticsText(found: Statistics, by: 'label' | 'recording' = 'label'): string {
  const { name, rows, rateHz, fields, label, prediction, ignored } = found;
  const numbers = fields.filter(({ kind }) => kind === 'number');
  const words = [...fields, ...(label ? [label] : []), ...(prediction ? [prediction] : [])].filter(
    ({ kind }) => kind === 'text',
  );
  const lines = [`${name}: ${plural(rows, 'row')}${rateHz === null ? '' : ` at ${rateHz} Hz`}`];
  if (numbers.length > 0) {
    lines.push(
      '',
      table(
        ['field', 'unit', 'missing', 'min', '5 %', 'median', '95 %', 'max', 'mean', 'deviation', ''],
        numbers.map(numberRow),
      ),
    );
  }
  for (const field of words) lines.push('', wordLines(field));
  const groups = by === 'label' ? found.byLabel : found.byRecording;
  if (groups.length > 0 && numbers.length > 0) {
    const shown = groups.slice(0, mostGroups);
    const cells = shown.map(({ name: group, rows: count, fields: own }) => [
      group,
      count,
      ...numbers.map((field) => {
        const one = own.find((each) => each.name === field.name);
        return one?.mean == null || one.deviation === null
          ? null
          : `${short(one.mean)} ± ${short(one.deviation)}`;
      }),
    ]);
    lines.push('', table([by, 'rows', ...numbers.map((field) => field.name)], cells));
    if (groups.length > shown.length)
      lines.push(dim(`and ${groups.length - shown.length} more: --json has them all`));
  }
  if (ignored.length > 0) lines.push('', dim(`not looked at: ${ignored.join(', ')}`));
  return lines.join('\n');
}

function numberRow({ name, unit, rows, count, min, max, mean, deviation, quantiles, histogram }: Field) {
  const figure = (value: number | null | undefined) => (value == null ? null : short(value));
  return [
    name,
    unit,
    count === rows ? '–' : percent((rows - count) / rows),
    figure(min),
    figure(quantiles?.p05),
    figure(quantiles?.p50),
    figure(quantiles?.p95),
    figure(max),
    figure(mean),
    figure(deviation),
    histogram ? sparkline(halved(histogram.shares)) : '',
  ];
}

function wordLines({ name, categories, rows, missing }: Field): string {
  const list = categories ?? [];
  const shown = list.slice(0, mostWords).map(({ word, count }) => `${word} ${percent(count / rows)}`);
  if (list.length > mostWords) shown.push(`and ${list.length - mostWords} more`);
  if (missing > 0) shown.push(`missing ${percent(missing / rows)}`);
  return `${bold(name)}  ${list.length === 0 ? 'as many words as rows' : shown.join(', ')}`;
}

function short(value: number): number {
  return Number(value.toPrecision(4));
}

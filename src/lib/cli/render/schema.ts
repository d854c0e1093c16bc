import { percent, plural } from '../../core/index.js';
import type { SchemaResult } from '../../data/index.js';
import { bold, dim, green, red, yellow } from './style.js';
import { table } from './text.js';

/** Words of a column that are named. */
const mostWords = 6;

/** What was inferred; where it was held against something, what breaks it. */
export function schemaText({ schema, against, violations }: SchemaResult): string {
  const lines = [`${schema.name}: ${plural(schema.rows, 'row')}`, '', fieldsTable(schema.fields)];
  for (const { severity, kind, message, count, places, against: by } of violations) {
    const mark = severity === 'error' ? red('✗') : yellow('!');
    lines.push('', `${mark} ${bold(kind)}  ${message} (${by})`);
    const rows = places.map(
      ({ row, recording, value }) =>
        `${recording === null ? '' : `${recording}:`}${row}${value === '' ? '' : ` (${value})`}`,
    );
    if (rows.length > 0)
      lines.push(
        `  ${dim(`rows ${rows.join(', ')}${count > rows.length ? ` and ${count - rows.length} more` : ''}`)}`,
      );
  }
  if (against.length > 0) {
    const errors = violations.filter(({ severity }) => severity === 'error').length;
    lines.push('', errors > 0 ? red(plural(errors, 'violation')) : green(`Fits ${against.join(' and ')}.`));
  }
  return lines.join('\n');
}

function fieldsTable(fields: SchemaResult['schema']['fields']): string {
  const short = (value: number) => Number(value.toPrecision(5));
  const rows = fields.map(({ name, type, unit, seen, range, missing, categories }) => [
    name,
    type,
    unit,
    seen && `${short(seen[0])} … ${short(seen[1])}`,
    range && `${short(range[0])} … ${short(range[1])}`,
    missing === 0 ? null : percent(missing),
    categories && `${categories.slice(0, mostWords).join(', ')}${categories.length > mostWords ? ' …' : ''}`,
  ]);
  return table(['field', 'type', 'unit', 'seen', 'range', 'missing', 'categories'], rows);
}

import type { ProjectConfig } from '../../core/index.js';
import type { Column, Rows } from '../rows/types.js';
import type { DataSchema, SchemaField } from './types.js';

/** Part of the span seen that values may lie beyond it. */
const beyond = 0.1;
/** Different words of a column of categories, and of its rows: more are names or remarks. */
const mostCategories = 50;
const mostOfRows = 0.5;

/** Types, ranges, missing shares and categories of rows; units, types and ranges that a project declares come first. */
export function inferSchema(rows: Rows, project?: ProjectConfig): DataSchema {
  const fields = rows.features.map((column) => fieldOf(column, project?.stream.fields[column.name]));
  const others = [rows.label, rows.prediction].flatMap((column) => (column ? [fieldOf(column)] : []));
  const time: SchemaField[] = rows.time
    ? [
        {
          name: rows.time.name,
          type: 'time',
          unit: 's',
          seen: null,
          range: null,
          missing: 0,
          categories: null,
        },
      ]
    : [];
  return { spec: 'aiot-schema/1', name: rows.name, rows: rows.rows, fields: [...time, ...fields, ...others] };
}

function fieldOf(column: Column, declared?: ProjectConfig['stream']['fields'][string]): SchemaField {
  if (column.kind === 'text') {
    const { name, codes, words, missing } = column;
    const few =
      words.length <= Math.min(mostCategories, Math.max(2, mostOfRows * codes.length)) && !codes.includes(-2);
    return {
      name,
      type: 'text',
      unit: null,
      seen: null,
      range: null,
      missing: missing / codes.length,
      categories: few ? [...words].sort() : null,
    };
  }
  const { name, values } = column;
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  let whole = true;
  let count = 0;
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    count++;
    if (value < low) low = value;
    if (value > high) high = value;
    if (whole && value % 1 !== 0) whole = false;
  }
  const some = count > 0;
  const margin = (high - low) * beyond;
  const type = declared?.type ?? (whole && some ? 'int' : 'float');
  const wide: [number, number] =
    type === 'int'
      ? [Math.floor(low - margin), Math.ceil(high + margin)]
      : [rounded(low - margin, margin), rounded(high + margin, margin)];
  const inferred = some ? wide : null;
  return {
    name,
    type,
    unit: declared?.unit ?? null,
    seen: some ? [low, high] : null,
    range: declared?.range ?? inferred,
    missing: (values.length - count) / Math.max(1, values.length),
    categories: null,
  };
}

/** To digits that matter beside a tenth of the span: the file is there to be read. */
function rounded(value: number, margin: number): number {
  if (margin === 0) return value;
  return Number(value.toFixed(Math.min(20, Math.max(0, 2 - Math.floor(Math.log10(margin))))));
}

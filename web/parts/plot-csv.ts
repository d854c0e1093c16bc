import { csvText } from '../app/csv.js';

interface Lines {
  /** x in seconds, ascending, followed by y of each series; null is a gap. */
  data: readonly ArrayLike<number | null | undefined>[];
  series: readonly { label: string }[];
  /** The visible span of x; absent = all. */
  view?: readonly [from: number, to: number] | undefined;
  /** Whether x is a time of day, s since 1970. */
  clock?: boolean;
}

/** The visible points as CSV, with the time in ISO 8601, or in s from the start. A gap is an empty field. */
export function plotCsv({ data, series, view, clock = false }: Lines): string {
  const [xs = [], ...columns] = data;
  const rows = [[clock ? 'time' : 'seconds', ...series.map(({ label }) => label)]];
  for (let i = 0; i < xs.length; i++) {
    const x = xs[i] ?? 0;
    if (view && (x < view[0] || x > view[1])) continue;
    const values = columns.map((column) => column[i] ?? null);
    // A row without values only separates two lines.
    if (values.every((value) => value === null)) continue;
    const time = clock ? new Date(Math.round(x * 1000)).toISOString() : String(Number(x.toFixed(6)));
    rows.push([time, ...values.map((value) => (value === null ? '' : String(value)))]);
  }
  return csvText(rows);
}

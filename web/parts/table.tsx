import { useSignal } from '@preact/signals';
import type { ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';

export interface Column<T> {
  title: string;
  cell: (row: T) => ComponentChildren;
  /** What it is sorted by; absent = it cannot be. */
  sort?: (row: T) => string | number | null;
  /** Numbers go to the right. */
  number?: boolean;
  /** Share of the width, as of CSS grid: `2fr`, `120px`. */
  width?: string;
  /** Left out where the screen is narrow. */
  wide?: boolean;
}

const rowHeight = 41;
/** Rows beyond the visible ones, on each side. */
const spare = 12;

/** A table of any length: only the rows that can be seen are in the page, the rest is height. A press on a head sorts by it. */
export function Table<T>({
  rows,
  columns,
  keyOf,
  to,
  label,
}: {
  rows: readonly T[];
  columns: readonly Column<T>[];
  keyOf: (row: T) => string;
  /** Where a row leads; its first cell is the link. */
  to?: (row: T) => string;
  label: string;
}) {
  const box = useRef<HTMLTableSectionElement>(null);
  const seen = useSignal({ from: 0, to: 60 });
  const order = useSignal<{ column: number; down: boolean } | null>(null);
  const sorted = sortedBy(rows, columns, order.value);

  useEffect(() => {
    const look = () => {
      const top = -(box.current?.getBoundingClientRect().top ?? 0);
      const from = Math.max(0, Math.floor(top / rowHeight) - spare);
      const to = from + Math.ceil(innerHeight / rowHeight) + 2 * spare;
      if (from !== seen.value.from || to !== seen.value.to) seen.value = { from, to };
    };
    look();
    addEventListener('scroll', look, { passive: true });
    addEventListener('resize', look);
    return () => {
      removeEventListener('scroll', look);
      removeEventListener('resize', look);
    };
  }, []);

  const { from } = seen.value;
  const shown = sorted.slice(from, seen.value.to);
  const template = templateOf(columns);
  const narrow = templateOf(columns.filter(({ wide }) => !wide));
  const press = (column: number) => {
    const before = order.value;
    order.value =
      before?.column === column ? (before.down ? null : { column, down: true }) : { column, down: false };
  };
  return (
    // Lines of a grid: the rows that are not there leave no trace on the widths. Browsers keep the meaning of the elements.
    <table
      class="table"
      aria-label={label}
      aria-rowcount={rows.length + 1}
      style={{ '--columns': template, '--narrow': narrow }}
    >
      <thead>
        <tr class="row head" aria-rowindex={1}>
          {columns.map(({ title, sort, number, wide }, i) => (
            <th
              key={title}
              scope="col"
              class={cellClass(number, wide)}
              aria-sort={
                order.value?.column === i ? (order.value.down ? 'descending' : 'ascending') : undefined
              }
            >
              {sort ? (
                <button type="button" class="sort" onClick={() => press(i)}>
                  {title}
                  <span aria-hidden="true">
                    {order.value?.column === i ? (order.value.down ? ' ↓' : ' ↑') : ''}
                  </span>
                </button>
              ) : (
                title
              )}
            </th>
          ))}
        </tr>
      </thead>
      <tbody class="rows" ref={box} style={{ height: `${sorted.length * rowHeight}px` }}>
        {shown.map((row, i) => (
          <tr
            key={keyOf(row)}
            class="row"
            aria-rowindex={from + i + 2}
            style={{ top: `${(from + i) * rowHeight}px` }}
          >
            {columns.map(({ title, cell, number, wide }, c) => (
              <td key={title} class={cellClass(number, wide)}>
                {c === 0 && to ? <a href={to(row)}>{cell(row)}</a> : cell(row)}
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function templateOf<T>(columns: readonly Column<T>[]): string {
  return columns.map(({ width = '1fr' }) => `minmax(0, ${width})`).join(' ');
}

function cellClass(number = false, wide = false): string {
  return ['cell', number ? 'number' : '', wide ? 'wide' : ''].filter(Boolean).join(' ');
}

function sortedBy<T>(
  rows: readonly T[],
  columns: readonly Column<T>[],
  order: { column: number; down: boolean } | null,
): readonly T[] {
  const by = order && columns[order.column]?.sort;
  if (!order || !by) return rows;
  const sign = order.down ? -1 : 1;
  const keyed = rows.map((row) => ({ row, key: by(row) }));
  return keyed.sort((a, b) => sign * compare(a.key, b.key)).map(({ row }) => row);
}

/** What is not known comes last. */
function compare(a: string | number | null, b: string | number | null): number {
  if (a === null || b === null) return Number(a === null) - Number(b === null);
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  return String(a).localeCompare(String(b), 'en', { numeric: true });
}

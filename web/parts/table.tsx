import { useSignal } from '@preact/signals';
import type { ComponentChildren } from 'preact';
import { useEffect, useMemo, useRef } from 'preact/hooks';
import { goTo, here, route } from '../app/route.js';

export interface Column<T> {
  title: string;
  cell: (row: T) => ComponentChildren;
  /** Sort key; null = unknown, which comes last in both directions. Without it, the column does not sort, as for buttons. */
  sort?: (row: T) => string | number | null;
  /** Whether the column contains numbers, which are right-aligned. */
  number?: boolean;
  /** Share of the width, in CSS grid units: `2fr`, `120px`. */
  width?: string;
  /** Whether the column is hidden on narrow screens. */
  wide?: boolean;
}

interface TableProps<T> {
  rows: readonly T[];
  columns: readonly Column<T>[];
  keyOf: (row: T) => string;
  label: string;
  /** Name of the table in the page's address, if the page has several tables. */
  name?: string;
}

const rowHeight = 41;
/** Number of rows rendered beyond the visible ones on each side. */
const spare = 12;
/** Minimum number of rows for the filter to be shown. */
const filteredFrom = 6;

/**
 * A table of any length. Only visible rows are in the DOM; empty space takes the place of the others. Clicking a heading sorts by its
 * column. The page's address contains the sort order and the filter.
 */
export function Table<T>({
  rows,
  columns,
  keyOf,
  to,
  label,
  name = '',
  filter = false,
  choice,
}: TableProps<T> & {
  /** Returns the link of a row, which is shown in its first cell. */
  to?: (row: T) => string;
  /** Whether a text field filters the rows, for lists without their own filter. */
  filter?: boolean;
  /** The chosen rows, if rows can be chosen. */
  choice?: Choice | undefined;
}) {
  const box = useRef<HTMLTableSectionElement>(null);
  // First only the visible rows, so that the table appears soon; then those around them.
  const seen = useSignal({ from: 0, to: Math.ceil(innerHeight / rowHeight) });
  const text = filter ? (route.value.query.get(addressKey('filter', name)) ?? '') : '';
  const order = orderOf(columns, name);
  // Sorting ten thousand rows anew at each step of scrolling would make it stutter.
  const sorted = useMemo(
    () => sortedBy(matching(rows, columns, text), columns, order),
    [rows, columns, text, order?.column, order?.down],
  );

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
  const chosen = useChosen(choice, sorted, keyOf);
  return (
    <>
      {filter && (rows.length >= filteredFrom || text !== '') && (
        <TextFilter name={name} text={text} label={label} found={sorted.length} of={rows.length} />
      )}
      {/* Laid out as a grid, so that missing rows do not affect the column widths. Browsers retain the semantics of the elements. */}
      <table
        class={choice ? 'table chosen-from' : 'table'}
        aria-label={label}
        aria-rowcount={sorted.length + 1}
        style={{
          '--columns': templateOf(columns),
          '--narrow': templateOf(columns.filter(({ wide }) => !wide)),
        }}
      >
        <thead>
          <tr class="row head" aria-rowindex={1}>
            {choice && (
              <td class="cell">
                <ChooseAll choice={choice} keys={sorted.map(keyOf)} noun={label.toLowerCase()} />
              </td>
            )}
            {columns.map((column) => (
              <Heading key={column.title} column={column} columns={columns} name={name} />
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
              {choice && (
                <td class="cell">
                  <input
                    type="checkbox"
                    aria-label={`Select ${keyOf(row)}`}
                    checked={choice.keys.has(keyOf(row))}
                    onClick={(event) => chosen(from + i, event)}
                  />
                </td>
              )}
              {columns.map(({ title, cell, number, wide }, c) => (
                <td key={title} class={cellClass(number, wide)}>
                  {c === 0 && to ? <a href={to(row)}>{cell(row)}</a> : cell(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      {text !== '' && sorted.length === 0 && <p class="soft">No matches. Change or clear the filter.</p>}
    </>
  );
}

/** Rows that are chosen by checkboxes. */
export interface Choice {
  keys: ReadonlySet<string>;
  change: (keys: readonly string[], isChosen: boolean) => void;
  /** Whether all rows can be chosen at once. */
  isWhole: boolean;
}

/** Returns a function that handles a click on a row's checkbox. With Shift, it changes all rows since the last click. */
function useChosen<T>(choice: Choice | undefined, rows: readonly T[], keyOf: (row: T) => string) {
  const last = useRef(0);
  return (index: number, event: MouseEvent & { currentTarget: HTMLInputElement }) => {
    const from = event.shiftKey ? Math.min(last.current, index) : index;
    const to = event.shiftKey ? Math.max(last.current, index) : index;
    last.current = index;
    choice?.change(rows.slice(from, to + 1).map(keyOf), event.currentTarget.checked);
  };
}

/** Chooses all rows, including those that are not rendered, or none. */
function ChooseAll({ choice, keys, noun }: { choice: Choice; keys: readonly string[]; noun: string }) {
  const box = useRef<HTMLInputElement>(null);
  const count = keys.filter((key) => choice.keys.has(key)).length;
  const isAll = count > 0 && count === keys.length;
  useEffect(() => {
    if (box.current) box.current.indeterminate = count > 0 && !isAll;
  });
  return (
    <input
      ref={box}
      type="checkbox"
      aria-label={`Select all ${keys.length.toLocaleString('en')} ${noun}`}
      disabled={!choice.isWhole}
      checked={isAll}
      onChange={({ currentTarget }) => choice.change(keys, currentTarget.checked)}
    />
  );
}

/** A table with few rows, sized by content. The first cell of a row is its heading. */
export function ShortTable<T>({
  rows,
  columns,
  keyOf,
  label,
  name = '',
  rowClass,
  foot,
}: TableProps<T> & {
  rowClass?: (row: T) => string | undefined;
  /** A last row that is not sorted, such as totals. */
  foot?: ComponentChildren;
}) {
  return (
    <table class="plain-table" aria-label={label}>
      <thead>
        <tr>
          {columns.map((column) => (
            <Heading key={column.title} column={column} columns={columns} name={name} />
          ))}
        </tr>
      </thead>
      <tbody>
        {sortedBy(rows, columns, orderOf(columns, name)).map((row) => (
          <tr key={keyOf(row)} class={rowClass?.(row)}>
            {columns.map(({ title, cell, number, wide }, c) =>
              c === 0 ? (
                <th key={title} scope="row" class={cellClass(number, wide)}>
                  {cell(row)}
                </th>
              ) : (
                <td key={title} class={cellClass(number, wide)}>
                  {cell(row)}
                </td>
              ),
            )}
          </tr>
        ))}
      </tbody>
      {foot && <tfoot>{foot}</tfoot>}
    </table>
  );
}

/**
 * A heading that sorts. The first click sorts in ascending order, the second in descending order, and the third restores the list's
 * own order.
 */
function Heading<T>({
  column,
  columns,
  name,
}: {
  column: Column<T>;
  columns: readonly Column<T>[];
  name: string;
}) {
  const { title, sort, number, wide, width } = column;
  const order = orderOf(columns, name);
  const down = order?.column === column ? order.down : undefined;
  const press = () => {
    const next = down === undefined ? slug(title) : down ? '' : `-${slug(title)}`;
    goTo(here({ [addressKey('sort', name)]: next }), { replace: true });
  };
  return (
    <th
      scope="col"
      class={cellClass(number, wide)}
      aria-sort={down === undefined ? undefined : down ? 'descending' : 'ascending'}
      style={width === undefined ? undefined : { '--width': width }}
    >
      {sort ? (
        <button type="button" class="sort" onClick={press}>
          {title}
          <span class="arrow" aria-hidden="true">
            {down === undefined ? '↕' : down ? '↓' : '↑'}
          </span>
        </button>
      ) : (
        title
      )}
    </th>
  );
}

function TextFilter({
  name,
  text,
  label,
  found,
  of,
}: {
  name: string;
  text: string;
  label: string;
  found: number;
  of: number;
}) {
  return (
    <search>
      <form class="filter" onSubmit={(event) => event.preventDefault()}>
        <label>
          Filter
          <input
            type="search"
            spellcheck={false}
            autocapitalize="off"
            aria-label={`Filter ${label.toLowerCase()}`}
            value={text}
            onInput={({ currentTarget }) =>
              goTo(here({ [addressKey('filter', name)]: currentTarget.value }), { replace: true })
            }
          />
        </label>
        <span class="soft" role="status">
          {text === '' ? '' : `${found.toLocaleString('en')} of ${of.toLocaleString('en')}`}
        </span>
      </form>
    </search>
  );
}

function addressKey(what: 'sort' | 'filter', name: string): string {
  return name === '' ? what : `${what}-${name}`;
}

interface Order<T> {
  column: Column<T>;
  down: boolean;
}

/** The sort order in the page's address, such as `sort=size` or `sort=-size`; null = the list's own order. */
function orderOf<T>(columns: readonly Column<T>[], name: string): Order<T> | null {
  const value = route.value.query.get(addressKey('sort', name)) ?? '';
  const down = value.startsWith('-');
  const column = columns.find(({ title, sort }) => sort && slug(title) === value.slice(down ? 1 : 0));
  return column ? { column, down } : null;
}

/** A title in the form used in addresses: `by class` becomes `by-class`. */
function slug(title: string): string {
  return title.toLowerCase().replace(/[^a-z0-9]+/g, '-');
}

function templateOf<T>(columns: readonly Column<T>[]): string {
  return columns.map(({ width = '1fr' }) => `minmax(0, ${width})`).join(' ');
}

function cellClass(number = false, wide = false): string {
  return ['cell', number ? 'number' : '', wide ? 'wide' : ''].filter(Boolean).join(' ');
}

/** Rows whose text columns contain all words of the filter. */
export function matching<T>(rows: readonly T[], columns: readonly Column<T>[], text: string): readonly T[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return rows;
  return rows.filter((row) => {
    const texts = columns.map(({ sort }) => sort?.(row)).filter((key) => typeof key === 'string');
    const all = texts.join('\n').toLowerCase();
    return words.every((word) => all.includes(word));
  });
}

function sortedBy<T>(
  rows: readonly T[],
  columns: readonly Column<T>[],
  order: Order<T> | null,
): readonly T[] {
  const sort = order?.column.sort;
  if (!order || !sort || !columns.includes(order.column)) return rows;
  const sign = order.down ? -1 : 1;
  const keyed = rows.map((row) => ({ row, key: sort(row) }));
  return keyed.sort((a, b) => compare(a.key, b.key, sign)).map(({ row }) => row);
}

const collator = new Intl.Collator('en', { numeric: true });

/** Compares sort keys. Unknown values come last in both directions, and numbers before words. */
function compare(a: string | number | null, b: string | number | null, sign: number): number {
  if (a === null || b === null) return Number(a === null) - Number(b === null);
  if (typeof a !== typeof b) return typeof a === 'number' ? -1 : 1;
  if (typeof a === 'number' && typeof b === 'number') return sign * (a - b);
  return sign * collator.compare(String(a), String(b));
}

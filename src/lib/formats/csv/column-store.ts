import {
  type Column,
  infiniteWords,
  missingWords,
  type NumberColumn,
  type TextColumn,
} from './column-types.js';
import type { BadCell } from './rows.js';
import { createWordList } from './word-list.js';

/** `time` = numbers, or dates as seconds since 1970; `skip` = not kept. */
export type ColumnUse = 'number' | 'text' | 'time' | 'skip';

/** Bad cells of a column whose places are kept. */
const mostBad = 5;

/** One column while its rows come. */
export interface ColumnStore {
  /** Words instead of numbers: a column with nothing but missing cells so far may become one of words. */
  use: ColumnUse;
  values: Float64Array;
  /** Makes room for so many rows. */
  grow(rows: number): void;
  /** A cell that the fast way does not take: anything but a plain number. */
  cell(
    bytes: Uint8Array,
    from: number,
    to: number,
    row: number,
    place: () => Omit<BadCell, 'cell' | 'column'>,
  ): void;
  /** A number that the fast way took. */
  counted: boolean;
  column(rows: number): Column | null;
}

export function createColumnStore(
  name: string,
  use: ColumnUse,
  slowNumber: (from: number, to: number) => number,
): ColumnStore {
  let codes = new Int32Array(0);
  let missing = 0;
  let words = 0;
  const first: BadCell[] = [];
  const list = createWordList();
  const store: ColumnStore = {
    use,
    values: new Float64Array(0),
    counted: false,
    grow(rows) {
      if (store.use === 'text') {
        const larger = new Int32Array(rows).fill(-1, codes.length);
        larger.set(codes);
        codes = larger;
      } else if (store.use !== 'skip') {
        const larger = new Float64Array(rows);
        larger.set(store.values);
        store.values = larger;
      }
    },
    cell(bytes, from, to, row, place) {
      if (store.use === 'skip') return;
      if (store.use === 'text') {
        if (to > from)
          codes[row] = isQuoted(bytes, from)
            ? list.codeOfWord(unquoted(bytes, from, to))
            : list.codeOf(bytes, from, to);
        else {
          missing++;
          codes[row] = -1;
        }
        return;
      }
      const value = slowNumber(from, to);
      // Beyond what a double holds: as good as infinite.
      if (!Number.isNaN(value)) {
        store.counted = true;
        store.values[row] = value;
        return;
      }
      const text = unquoted(bytes, from, to).trim();
      const small = text.toLowerCase();
      store.values[row] = infiniteWords.get(small) ?? Number.NaN;
      if (missingWords.has(small)) missing++;
      else if (!infiniteWords.has(small)) word(text, row, place, bytes, from, to);
    },
    column(rows) {
      if (store.use === 'skip') return null;
      if (store.use === 'text')
        return {
          name,
          kind: 'text',
          codes: codes.subarray(0, rows),
          words: list.words,
          missing,
        } satisfies TextColumn;
      return {
        name,
        kind: 'number',
        values: store.values.subarray(0, rows),
        missing,
        words,
        first,
      } satisfies NumberColumn;
    },
  };
  return store;

  function word(
    text: string,
    row: number,
    place: () => Omit<BadCell, 'cell' | 'column'>,
    bytes: Uint8Array,
    from: number,
    to: number,
  ): void {
    const plain = Number(text);
    const moment = store.use === 'time' ? Date.parse(text) / 1000 : plain;
    if (Number.isFinite(moment)) {
      store.counted = true;
      store.values[row] = moment;
      return;
    }
    if (!store.counted && words === 0 && store.use === 'number') {
      store.use = 'text';
      const room = store.values.length;
      store.values = new Float64Array(0);
      store.grow(room);
      store.cell(bytes, from, to, row, place);
      return;
    }
    words++;
    if (first.length < mostBad) first.push({ ...place(), column: name, cell: text });
  }
}

function isQuoted(bytes: Uint8Array, from: number): boolean {
  return bytes[from] === 34;
}

/** A quote within a quoted cell is doubled. */
export function unquoted(bytes: Uint8Array, from: number, to: number): string {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset + from, to - from).toString('utf8');
  return text.length > 1 && text.startsWith('"') && text.endsWith('"')
    ? text.slice(1, -1).replaceAll('""', '"')
    : text;
}

import type { BadCell } from './rows.js';

/** A column of numbers; what is none (a missing cell, a word) is NaN in `values`, and infinities are as they are. */
export interface NumberColumn {
  name: string;
  kind: 'number';
  values: Float64Array;
  /** Empty cells, and words such as NaN, NA and null. */
  missing: number;
  /** Other cells that are no numbers: how many, and the first few. */
  words: number;
  first: BadCell[];
}

/** A column of words, as numbers into a list. */
export interface TextColumn {
  name: string;
  kind: 'text';
  /** One a row: which of `words` it is; −1 = empty, −2 = a word that came after `mostWords` others. */
  codes: Int32Array;
  words: string[];
  missing: number;
}

export type Column = NumberColumn | TextColumn;

/** More different words than any category has: what comes after is told from no other. */
export const mostWords = 10_000;

/** What stands where a number is missing, in small letters. */
export const missingWords = new Set(['', 'na', 'n/a', 'nan', 'null', 'none', '<na>']);
/** How infinities are written, in small letters. */
export const infiniteWords = new Map([
  ['inf', Number.POSITIVE_INFINITY],
  ['+inf', Number.POSITIVE_INFINITY],
  ['infinity', Number.POSITIVE_INFINITY],
  ['-inf', Number.NEGATIVE_INFINITY],
  ['-infinity', Number.NEGATIVE_INFINITY],
]);

import { AiotError, plural, seededRandom, shuffled } from '../../../core/index.js';
import { type Part, partSizes, type Split, type Table } from '../../../data/index.js';
import type { NetworkOutput } from '../../network/types.js';

/** One letter a row in training.json. */
export const partLetters: Record<Part | 'none', string> = {
  train: 't',
  validation: 'v',
  test: 'e',
  none: '-',
};

export interface RowSplit {
  split: Split;
  /** One letter a row. */
  parts: string;
}

/**
 * Divides the rows of a table into about 60 % for training, 15 % for choosing and 25 % for the figures, class by class. Rows
 * of one group stay together, and so do equal rows. By time, the last rows of the file are for the figures. A network that
 * is to know what is normal gets normal rows alone: all others are for the figures.
 * @param classes of each row; all 0 where there are none
 * @throws AIOT_DATA_TOO_FEW
 */
export function splitRows(
  table: Table,
  {
    classes,
    names,
    output,
    wanted,
    seed,
  }: {
    classes: ArrayLike<number>;
    names: string[];
    output: NetworkOutput['kind'];
    wanted: Split['by'];
    seed: number;
  },
): RowSplit {
  const grouped = table.groups !== null && wanted !== 'window' && wanted !== 'time';
  const units = grouped ? sameNames(table.groups!) : sameRows(table.inputs, table.columns.length);
  const numbers = Array.from({ length: units.count }, (_, unit) => unit);
  const order = wanted === 'time' ? numbers : shuffled(numbers, seededRandom(seed));
  const given = new Uint8Array(units.count);
  const give = (unit: number, part: Part) => {
    given[unit] = partLetters[part].charCodeAt(0);
  };
  const strata = new Map<number, number[]>();
  const commonest = commonestOf(units, classes);
  for (const unit of order) {
    const c = commonest[unit]!;
    const own = strata.get(c);
    if (output === 'reconstruction' && c > 0) give(unit, 'test');
    else if (own) own.push(unit);
    else strata.set(c, [unit]);
  }
  for (const [c, own] of [...strata].sort(([a], [b]) => a - b)) {
    if (own.length < 3) throw tooFew(names[c], own.length, grouped);
    const { validation, test } = partSizes(own.length);
    own.forEach((unit, i) => {
      const fromEnd = own.length - 1 - i;
      give(unit, fromEnd < test ? 'test' : fromEnd < test + validation ? 'validation' : 'train');
    });
  }
  const parts = Buffer.from(Uint8Array.from(units.of, (unit) => given[unit]!)).toString('latin1');
  const ids = (part: Part) =>
    grouped ? [...new Set(table.groups!.filter((_, row) => parts[row] === partLetters[part]))].sort() : [];
  return {
    split: {
      by: grouped ? 'group' : wanted === 'time' ? 'time' : 'row',
      seed,
      train: ids('train'),
      validation: ids('validation'),
      test: ids('test'),
    },
    parts,
  };
}

/** Rows that stay together are a unit. Units have the order of their first rows. */
export interface Units {
  /** Of each row its unit. */
  of: Int32Array;
  count: number;
}

/** Rows whose names are equal. */
export function sameNames(names: readonly string[]): Units {
  const units = new Map<string, number>();
  const of = Int32Array.from(names, (name) => {
    const unit = units.get(name) ?? units.size;
    if (unit === units.size) units.set(name, unit);
    return unit;
  });
  return { of, count: units.size };
}

/** Rows whose numbers are equal, bit by bit: a table of a million rows has no room for a key of each. @param width numbers in a row */
export function sameRows({ buffer, byteOffset, length }: Float32Array, width: number): Units {
  const words = new Uint32Array(buffer, byteOffset, length);
  const of = new Int32Array(length / width);
  // The first row of each unit, where its hash or the next free place is; twice as many places as rows, a power of two.
  const places = new Int32Array(2 ** Math.ceil(Math.log2(2 * of.length + 2))).fill(-1);
  const mask = places.length - 1;
  const equal = (a: number, b: number) => {
    for (let i = 0; i < width; i++) if (words[a * width + i] !== words[b * width + i]) return false;
    return true;
  };
  let count = 0;
  for (let row = 0; row < of.length; row++) {
    let at = hashOf(words, row * width, width) & mask;
    while (places[at]! >= 0 && !equal(places[at]!, row)) at = (at + 1) & mask;
    const first = places[at]!;
    if (first < 0) places[at] = row;
    of[row] = first < 0 ? count++ : of[first]!;
  }
  return { of, count };
}

/** FNV-1a by words, its upper half mixed in: what lies in a float's upper bits must reach the lower ones. */
function hashOf(words: Uint32Array, from: number, width: number): number {
  let hash = 0x811c9dc5;
  for (let i = from; i < from + width; i++) {
    hash = Math.imul(hash ^ words[i]!, 0x01000193);
    hash ^= hash >>> 15;
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  return (hash ^ (hash >>> 13)) >>> 0;
}

/** The rows of each unit. */
export function rowsOf({ of, count }: Units): number[][] {
  const rows = Array.from({ length: count }, (): number[] => []);
  of.forEach((unit, row) => {
    rows[unit]!.push(row);
  });
  return rows;
}

/** The class that most rows of each unit have, of as many the smallest. */
function commonestOf({ of, count }: Units, classes: ArrayLike<number>): Int32Array {
  const found = new Int32Array(count).fill(-1);
  const mixed = new Map<number, Map<number, number>>();
  of.forEach((unit, row) => {
    if (found[unit] === -1) found[unit] = classes[row]!;
    else if (found[unit] !== classes[row]) mixed.set(unit, new Map());
  });
  if (mixed.size === 0) return found;
  of.forEach((unit, row) => {
    const counts = mixed.get(unit);
    counts?.set(classes[row]!, (counts.get(classes[row]!) ?? 0) + 1);
  });
  for (const [unit, counts] of mixed)
    found[unit] = [...counts].sort(([a, m], [b, n]) => n - m || a - b)[0]![0];
  return found;
}

function tooFew(name: string | undefined, count: number, grouped: boolean): AiotError {
  const what = plural(count, grouped ? 'group' : 'row');
  const of = name === undefined ? '' : `class ${name}: `;
  return new AiotError(
    'AIOT_DATA_TOO_FEW',
    `${of}expected at least 3 to train, choose and test on, got ${what}; equal rows count as one`,
    { next: `Add ${grouped ? 'groups' : 'rows'}${name === undefined ? '' : ' of this class'} to the table.` },
  );
}

import { AiotError } from '../../../core/errors.js';
import { plural } from '../../../core/figures.js';
import { seededRandom, shuffledNumbers } from '../../../core/numbers.js';
import { type Part, partSizes } from '../../../data/parts.js';
import type { Split } from '../../../data/types.js';
import type { Rows } from '../../material.js';
import type { NetworkOutput } from '../../network/layers.js';
import { type RowTruth, walkRows } from './rows.js';

/** One letter per row in training.json. */
export const partLetters: Record<Part | 'none', string> = {
  train: 't',
  validation: 'v',
  test: 'e',
  none: '-',
};

interface RowSplit {
  split: Split;
  /** One letter per row. */
  parts: string;
}

/**
 * Divides a table's rows into about 60 % for training, 15 % for validation and 25 % for testing, class by class. Rows of one group stay
 * together, and so do equal rows. In a split by time, the file's last rows are for testing. A network that learns the normal state trains
 * only on normal rows; all others are for testing.
 * @throws AIOT_DATA_TOO_FEW, AIOT_TRAINING_DATA_UNFIT
 */
export function splitRows(
  rows: Rows,
  truth: RowTruth,
  { output, wanted, seed }: { output: NetworkOutput['kind']; wanted: Split['by']; seed: number },
): RowSplit {
  const grouped = rows.table.groups !== null && wanted !== 'window' && wanted !== 'time';
  const { units, classes, names } = readUnits(rows, truth, grouped);
  const { count } = units;
  const commonest = commonestOf(units, classes);
  const strata = new Map<number, Stratum>();
  for (let unit = 0; unit < count; unit++) {
    const c = commonest[unit]!;
    const own = strata.get(c);
    if (own) own.units++;
    else strata.set(c, { units: 1, given: 0, test: output === 'reconstruction' && c > 0 });
  }
  for (const [c, own] of [...strata].sort(([a], [b]) => a - b)) {
    if (!own.test && own.units < 3) throw tooFew(truth.classes.names[c], own.units, grouped);
  }
  const order = wanted === 'time' ? null : shuffledNumbers(count, seededRandom(seed));
  const given = new Uint8Array(count);
  for (let i = 0; i < count; i++) {
    const unit = order ? order[i]! : i;
    given[unit] = partLetters[nextPart(strata.get(commonest[unit]!)!)].charCodeAt(0);
  }
  const letters = Buffer.alloc(units.of.length);
  for (let row = 0; row < letters.length; row++) letters[row] = given[units.of[row]!]!;
  const ids = (part: Part) =>
    names.filter((_, unit) => given[unit] === partLetters[part].charCodeAt(0)).sort();
  return {
    split: {
      by: grouped ? 'group' : wanted === 'time' ? 'time' : 'row',
      seed,
      train: ids('train'),
      validation: ids('validation'),
      test: ids('test'),
    },
    parts: letters.toString('latin1'),
  };
}

/** The units of one class. */
interface Stratum {
  units: number;
  /** Number of units already assigned to a part. */
  given: number;
  /** Whether all units are for testing. */
  test: boolean;
}

/** The part to which a class's next unit is assigned: first training, then validation, then testing. */
function nextPart(stratum: Stratum): Part {
  if (stratum.test) return 'test';
  const { validation, test } = partSizes(stratum.units);
  const fromEnd = stratum.units - 1 - stratum.given++;
  return fromEnd < test ? 'test' : fromEnd < test + validation ? 'validation' : 'train';
}

/** Units of rows that stay together, and each row's class. @returns also the groups' names, in the order of the units */
function readUnits(rows: Rows, truth: RowTruth, grouped: boolean) {
  const { rows: count, columns } = rows.table;
  const classes = new Int32Array(count);
  const named = grouped ? namesTogether(count) : null;
  const equal = grouped ? null : rowsTogether(count, columns.length);
  let at = 0;
  for (const piece of walkRows(rows, truth)) {
    classes.set(piece.classes, at);
    at += piece.classes.length;
    named?.add(piece.groups ?? []);
    equal?.add(piece.inputs);
  }
  return { classes, units: (named ?? equal!).units(), names: named?.names() ?? [] };
}

/** The most frequent class among each unit's rows; the smallest class in case of ties. */
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
    `${of}expected at least 3 for training, validation and testing, got ${what}; equal rows count as one`,
    { next: `Add ${grouped ? 'groups' : 'rows'}${name === undefined ? '' : ' of this class'} to the table.` },
  );
}

/** Rows that stay together form a unit. Units are in the order of their first rows. */
interface Units {
  /** Unit of each row. */
  of: Int32Array;
  count: number;
}

/** Rows with equal names. */
export function sameNames(names: readonly string[]): Units {
  const together = namesTogether(names.length);
  together.add(names);
  return together.units();
}

/** Rows with equal numbers. @param width numbers per row */
export function sameRows(inputs: Float32Array, width: number): Units {
  const together = rowsTogether(inputs.length / width, width);
  together.add(inputs);
  return together.units();
}

/** Finds units by name, row by row. @param rows total number in all chunks */
function namesTogether(rows: number) {
  const known = new Map<string, number>();
  const of = new Int32Array(rows);
  let row = 0;
  return {
    add(names: readonly string[]): void {
      for (const name of names) {
        const unit = known.get(name) ?? known.size;
        if (unit === known.size) known.set(name, unit);
        of[row++] = unit;
      }
    },
    units: (): Units => ({ of, count: known.size }),
    /** In the order of the units. */
    names: (): string[] => [...known.keys()],
  };
}

/**
 * Finds units by numbers, row by row: bitwise equality. Only a 64-bit hash of each row's numbers is stored. Two different rows are mistaken
 * for equal once in 10⁷ tables of a million rows, and then merely stay together. @param rows total number in all chunks
 * @param width numbers per row
 */
function rowsTogether(rows: number, width: number) {
  const of = new Int32Array(rows);
  const [first, second] = [new Uint32Array(rows), new Uint32Array(rows)];
  // Hash table with the first row of each unit, in the slot of its hash or the next free one. The size is a power of two, at least twice
  // the rows.
  const places = new Int32Array(2 ** Math.ceil(Math.log2(2 * rows + 2))).fill(-1);
  const mask = places.length - 1;
  let row = 0;
  let count = 0;
  return {
    add({ buffer, byteOffset, length }: Float32Array): void {
      const words = new Uint32Array(buffer, byteOffset, length);
      for (let from = 0; from < length; from += width, row++) {
        const hash = hashOf(words, from, width, 0x01000193, 15);
        const other = hashOf(words, from, width, 0x9e3779b1, 13);
        first[row] = hash;
        second[row] = other;
        let at = hash & mask;
        while (places[at]! >= 0 && (first[places[at]!] !== hash || second[places[at]!] !== other)) {
          at = (at + 1) & mask;
        }
        const same = places[at]!;
        if (same < 0) places[at] = row;
        of[row] = same < 0 ? count++ : of[same]!;
      }
    },
    units: (): Units => ({ of, count }),
  };
}

/**
 * FNV-1a by words, with the upper bits mixed in, because the upper bits of a float must affect the lower bits of the hash. Rows whose
 * hashes collide almost never collide with another factor and shift as well.
 */
function hashOf(words: Uint32Array, from: number, width: number, factor: number, shift: number): number {
  let hash = 0x811c9dc5;
  for (let i = from; i < from + width; i++) {
    hash = Math.imul(hash ^ words[i]!, factor);
    hash ^= hash >>> shift;
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

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
  const units = grouped ? unitsOf(table.groups!) : unitsOf(rowKeys(table.inputs, table.columns.length));
  const random = seededRandom(seed);
  const letters = new Array<string>(table.rows).fill(partLetters.none);
  const give = (unit: number[], part: Part) => {
    for (const row of unit) letters[row] = partLetters[part];
  };
  const strata = new Map<number, number[][]>();
  for (const unit of wanted === 'time' ? units : shuffled(units, random)) {
    const c = commonest(unit, classes);
    if (output === 'reconstruction' && c > 0) give(unit, 'test');
    else strata.set(c, [...(strata.get(c) ?? []), unit]);
  }
  for (const [c, own] of [...strata].sort(([a], [b]) => a - b)) {
    if (own.length < 3) throw tooFew(names[c], own.length, grouped);
    const { validation, test } = partSizes(own.length);
    own.forEach((unit, i) => {
      const fromEnd = own.length - 1 - i;
      give(unit, fromEnd < test ? 'test' : fromEnd < test + validation ? 'validation' : 'train');
    });
  }
  const parts = letters.join('');
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

/** Rows that stay together, in the order of their first one. */
export function unitsOf(keys: readonly string[]): number[][] {
  const units = new Map<string, number[]>();
  keys.forEach((key, row) => {
    const unit = units.get(key);
    if (unit) unit.push(row);
    else units.set(key, [row]);
  });
  return [...units.values()];
}

/** Equal rows have equal keys. @param width numbers in a row */
export function rowKeys({ buffer, byteOffset, byteLength }: Float32Array, width: number): string[] {
  const bytes = Buffer.from(buffer, byteOffset, byteLength);
  const size = 4 * width;
  return Array.from({ length: byteLength / size }, (_, row) =>
    bytes.toString('latin1', row * size, (row + 1) * size),
  );
}

/** The class that most rows of a unit have. */
function commonest(unit: number[], classes: ArrayLike<number>): number {
  const counts = new Map<number, number>();
  for (const row of unit) counts.set(classes[row]!, (counts.get(classes[row]!) ?? 0) + 1);
  return [...counts].sort(([a, m], [b, n]) => n - m || a - b)[0]![0];
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

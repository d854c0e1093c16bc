import { AiotError, seededRandom, shuffled } from '../../../core/index.js';
import type { Material } from '../../material.js';
import { requireGroups } from '../rows/groups.js';
import { rowsOf, sameNames, sameRows } from '../rows/units.js';
import { joinCopies } from '../split.js';
import type { Examples } from '../types.js';
import type { FoldsAsked } from './types.js';

/** What stays together: places of examples, and what they belong to. */
export interface Unit {
  groups: string[];
  rows: number[];
  class: number;
}

/**
 * Examples that stay on one side: those of one recording (with its copies), of one device, or of one group of a table; equal
 * rows of a table without groups. By window, each by itself.
 * @throws AIOT_DATA_NO_DEVICE, AIOT_USAGE (rows without groups, each of which would be left out by itself)
 */
export function unitsIn(
  all: Examples,
  material: Material,
  by: 'recording' | 'device' | 'window',
  each: boolean,
): Unit[] {
  const { dataset, rows } = material;
  if (by === 'window') return all.recordings.map((group, row) => unit([group], [row], all));
  if (rows) {
    const { groups } = rows.table;
    if (each) requireGroups(material, 'Add such a column, or measure by folds: --folds 5');
    const found = rowsOf(groups === null ? sameRows(all.inputs, all.inputSize) : sameNames(all.recordings));
    return found.map((own) => unit([...new Set(own.map((row) => all.recordings[row]!))], own, all));
  }
  const keyOf = new Map(
    dataset.recordings.map(({ id, device }) => {
      if (by === 'recording') return [id, id] as const;
      if (device !== null) return [id, device] as const;
      throw new AiotError('AIOT_DATA_NO_DEVICE', `recording ${id} names no device to leave out`);
    }),
  );
  const ids = [...new Set(all.recordings)];
  const byKey = new Map<string, string[]>();
  for (const id of ids) byKey.set(keyOf.get(id)!, [...(byKey.get(keyOf.get(id)!) ?? []), id]);
  return joinCopies([...byKey.values()], dataset).map((own) => {
    const wanted = new Set(own);
    const places = all.recordings.flatMap((id, row) => (wanted.has(id) ? [row] : []));
    return unit([...new Set(own.map((id) => keyOf.get(id)!))], places, all);
  });
}

function unit(groups: string[], rows: number[], { classes }: Examples): Unit {
  const counts = new Map<number, number>();
  for (const row of rows) counts.set(classes[row]!, (counts.get(classes[row]!) ?? 0) + 1);
  const [first] = [...counts].sort(([a, m], [b, n]) => n - m || a - b);
  return { groups, rows, class: first?.[0] ?? 0 };
}

/**
 * Units to test on, fold by fold: each by itself, or K parts with about as much of each class.
 * @throws AIOT_DATA_TOO_FEW
 */
export function dealt(units: Unit[], asked: FoldsAsked, seed: number): Unit[][] {
  const least = 'folds' in asked ? asked.folds : 2;
  if (units.length < least) {
    throw new AiotError(
      'AIOT_DATA_TOO_FEW',
      `expected at least ${least} independent parts to leave out one after another, got ${units.length}; copies of one count as one`,
    );
  }
  if (!('folds' in asked)) return units.map((own) => [own]);
  const folds = Array.from({ length: asked.folds }, () => [] as Unit[]);
  const random = seededRandom(seed);
  let next = 0;
  for (const c of [...new Set(units.map((own) => own.class))].sort((a, b) => a - b)) {
    const own = units.filter((each) => each.class === c);
    for (const each of shuffled(own, random)) folds[next++ % asked.folds]!.push(each);
  }
  return folds;
}

/** Of the units that are not tested on, about a fifth of each class chooses the epoch; the others are trained on. */
export function chosen(rest: Unit[], seed: number): { train: Unit[]; validation: Unit[] } {
  const random = seededRandom(seed);
  const train: Unit[] = [];
  const validation: Unit[] = [];
  for (const c of [...new Set(rest.map((own) => own.class))].sort((a, b) => a - b)) {
    const own = shuffled(
      rest.filter((each) => each.class === c),
      random,
    );
    const count = own.length < 2 ? 0 : Math.max(1, Math.floor(own.length / 5));
    validation.push(...own.slice(0, count));
    train.push(...own.slice(count));
  }
  return { train, validation };
}

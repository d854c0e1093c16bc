import type { Part } from '../../../src/lib/data/parts.js';
import { cleanTable, type TableFamily, type TableSet } from './clean-tables.js';
import { createDraw, type Draw, stepped } from './draw.js';

/** The evidence that a defect was found: a finding of one of these kinds that names the column, if there is one. */
export interface ExpectedInTable {
  kinds: string[];
  column?: string;
}

export interface TableDefect {
  name: string;
  families: TableFamily[];
  plant(set: TableSet, draw: Draw): { set: TableSet; expected: ExpectedInTable };
}

/** The set with an additional column at a random position. */
function withColumn(set: TableSet, name: string, draw: Draw, values: number[]): TableSet {
  const at = draw.whole(0, set.columns.length);
  return {
    ...set,
    columns: [...set.columns.slice(0, at), name, ...set.columns.slice(at)],
    rows: set.rows.map((row, i) => [...row.slice(0, at), values[i]!, ...row.slice(at)]),
  };
}

function columnDefect(
  name: string,
  families: TableFamily[],
  column: string,
  kinds: string[],
  values: (set: TableSet, draw: Draw) => number[],
): TableDefect {
  return {
    name,
    families,
    plant: (set, draw) => ({
      set: withColumn(set, column, draw, values(set, draw)),
      expected: { kinds, column },
    }),
  };
}

/** The rows in another order. */
function reordered(set: TableSet, order: number[]): TableSet {
  return {
    ...set,
    rows: order.map((i) => set.rows[i]!),
    labels: order.map((i) => set.labels[i]!),
    groups: set.groups && order.map((i) => set.groups![i]!),
    parts: set.parts && order.map((i) => set.parts![i]!),
  };
}

function mixed(count: number, draw: Draw): number[] {
  return Array.from({ length: count }, (_, i) => ({ i, key: draw.unit() }))
    .sort((a, b) => a.key - b.key)
    .map(({ i }) => i);
}

const deviationOf = (set: TableSet, c: number) => {
  const values = set.rows.map((row) => row[c]!);
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length);
};

/**
 * Repeats some rows at other positions with slightly different values, as if a sensor had been read twice, or noise had been added.
 */
function nearCopies(set: TableSet, draw: Draw, parts: (own: Part | null) => Part | null): TableSet {
  const sizes = set.columns.map((_, c) => deviationOf(set, c));
  const count = Math.max(6, Math.round(0.04 * set.rows.length));
  const made = {
    ...set,
    rows: [...set.rows],
    labels: [...set.labels],
    groups: set.groups && [...set.groups],
  };
  const sides: (Part | null)[] = set.rows.map((_, i) => set.parts?.[i] ?? null);
  for (let k = 0; k < count; k++) {
    const from = draw.whole(0, set.rows.length - 1);
    made.rows.push(set.rows[from]!.map((value, c) => value + 0.001 * sizes[c]! * draw.normal()));
    made.labels.push(set.labels[from]!);
    made.groups?.push(set.groups![from]!);
    sides.push(parts(sides[from]!));
  }
  const planted = { ...made, parts: sides.some((side) => side !== null) ? (sides as Part[]) : null };
  return reordered(planted, mixed(planted.rows.length, draw));
}

const codesOf = ({ labels }: TableSet) => {
  const names = [...new Set(labels)].sort();
  return labels.map((label) => names.indexOf(label));
};

const classed: TableFamily[] = ['bearings', 'soil', 'dust', 'electrical', 'fruit'];

/** The device of each row. Each device mostly records one class. */
function devicesOf(set: TableSet, draw: Draw, names: number[]): number[] {
  const codes = codesOf(set);
  const kinds = Math.max(...codes) + 1;
  return codes.map((code) => {
    const own = names.filter((_, n) => n % kinds === code);
    return draw.chance(0.85) && own.length > 0 ? draw.pick(own) : draw.pick(names);
  });
}

export const tableDefects: TableDefect[] = [
  {
    name: 'near copies of rows',
    families: ['bearings', 'soil', 'dust', 'rotors', 'batteries'],
    plant: (set, draw) => ({
      set: nearCopies({ ...set, parts: null }, draw, () => null),
      expected: { kinds: ['repeats', 'leak'] },
    }),
  },
  {
    name: 'near copies of rows on the other side',
    families: ['bearings', 'electrical', 'dust', 'rotors', 'batteries'],
    plant(set, draw) {
      const parts = set.parts ?? set.rows.map((): Part => (draw.chance(0.3) ? 'test' : 'train'));
      return {
        set: nearCopies({ ...set, parts }, draw, (own) => (own === 'test' ? 'train' : 'test')),
        expected: { kinds: ['leak'] },
      };
    },
  },
  {
    name: 'equal rows on both sides',
    families: ['bearings', 'soil', 'dust', 'rotors', 'electrical'],
    plant(set, draw) {
      const parts = set.parts ?? set.rows.map((): Part => (draw.chance(0.3) ? 'test' : 'train'));
      const from = parts.flatMap((part, i) => (part === 'train' ? [i] : [])).slice(0, 25);
      return {
        set: {
          ...set,
          rows: [...set.rows, ...from.map((i) => set.rows[i]!)],
          labels: [...set.labels, ...from.map((i) => set.labels[i]!)],
          groups: set.groups && [...set.groups, ...from.map((i) => set.groups![i]!)],
          parts: [...parts, ...from.map((): Part => 'test')],
        },
        expected: { kinds: ['leak'] },
      };
    },
  },
  columnDefect('a column that is the label', classed, 'status', ['shortcut'], (set) => codesOf(set)),
  columnDefect('a column that is the label with noise', classed, 'grade', ['shortcut'], (set, draw) =>
    codesOf(set).map((code) => stepped(3 * code + draw.normal(0, 0.5), 0.001)),
  ),
  columnDefect('a column that is the label with errors', classed, 'verdict', ['shortcut'], (set, draw) => {
    const codes = codesOf(set);
    const most = Math.max(...codes);
    return codes.map((code) => (draw.chance(0.04) ? draw.whole(0, most) : code));
  }),
  columnDefect(
    'a column that is the value to predict',
    ['batteries'],
    'remaining',
    ['shortcut'],
    (set, draw) => set.labels.map((label) => stepped(100 * Number(label) + draw.normal(0, 0.6), 0.01)),
  ),
  columnDefect('an id by chance', [...classed, 'rotors'], 'sample_id', ['identifier'], (set, draw) => {
    const first = draw.whole(1, 9) * 100_000;
    return mixed(set.rows.length * 4, draw)
      .slice(0, set.rows.length)
      .map((i) => first + i);
  }),
  columnDefect('a key of a database', [...classed, 'batteries'], 'uid', ['identifier'], (set, draw) => {
    let key = draw.whole(1000, 90_000);
    return set.rows.map(() => {
      key += draw.whole(1, 4);
      return key;
    });
  }),
  columnDefect('a row index', [...classed, 'sorted'], 'no', ['identifier'], (set) =>
    set.rows.map((_, i) => i),
  ),
  {
    name: 'a row index of a mixed table',
    families: ['sorted', 'bearings', 'soil', 'building'],
    plant(set, draw) {
      const planted = withColumn(
        set,
        'k',
        draw,
        set.rows.map((_, i) => i + 1),
      );
      return {
        set: reordered(planted, mixed(set.rows.length, draw)),
        expected: { kinds: ['identifier'], column: 'k' },
      };
    },
  },
  columnDefect('a time of day as a number', [...classed, 'climate'], 'ts', ['identifier'], (set, draw) => {
    let time = 1_770_000_000 + draw.whole(0, 80_000);
    return set.rows.map(() => {
      time += draw.whole(50, 70);
      return time;
    });
  }),
  columnDefect("the device's number", classed, 'machine', ['identifier'], (set, draw) =>
    devicesOf(set, draw, [1, 2, 3, 4, 5, 6]),
  ),
  {
    name: "the device's serial number, in blocks",
    families: ['bearings', 'dust', 'electrical', 'rotors'],
    plant(set, draw) {
      const names = Array.from({ length: 7 }, () => draw.whole(2_400_000, 2_499_999));
      const each = Math.ceil(set.rows.length / names.length);
      const values = set.rows.map((_, i) => names[Math.floor(i / each)]!);
      return { set: withColumn(set, 'sn', draw, values), expected: { kinds: ['identifier'], column: 'sn' } };
    },
  },
  columnDefect(
    'a column twice',
    [...classed, 'climate', 'sorted'],
    'channel_b',
    ['duplicate'],
    (set, draw) => {
      const from = draw.whole(0, set.columns.length - 1);
      return set.rows.map((row) => row[from]!);
    },
  ),
  columnDefect(
    'a column in two units',
    ['bearings', 'climate', 'soil', 'rotors', 'batteries'],
    'temp_f',
    ['duplicate'],
    (set) => {
      const from = set.columns.indexOf('temperature');
      return set.rows.map((row) => stepped(1.8 * row[from]! + 32, 0.01));
    },
  ),
  {
    name: 'values far out',
    families: ['bearings', 'climate', 'electrical', 'soil', 'fruit', 'batteries'],
    plant(set, draw) {
      const c = draw.whole(0, set.columns.length - 1);
      const size = deviationOf(set, c);
      const rows = set.rows.map((row) => [...row]);
      for (let k = draw.whole(2, 5); k > 0; k--) {
        const row = rows[draw.whole(0, rows.length - 1)]!;
        row[c] = stepped(row[c]! + size * draw.between(40, 90) * draw.pick([-1, 1]), 0.001);
      }
      return { set: { ...set, rows }, expected: { kinds: ['outliers'], column: set.columns[c]! } };
    },
  },
  {
    name: 'a code for missing values',
    families: ['bearings', 'climate', 'electrical', 'soil', 'dust', 'sorted'],
    plant(set, draw) {
      const c = draw.whole(0, set.columns.length - 1);
      const code = draw.pick([-999, -9999, 65_535, -1]);
      const rows = set.rows.map((row) => (draw.chance(0.015) ? row.with(c, code) : row));
      return { set: { ...set, rows }, expected: { kinds: ['outliers'], column: set.columns[c]! } };
    },
  },
];

/** Plants a defect in a table. The seed determines the table and its family. */
export function plantTable(defect: TableDefect, seed: number): { set: TableSet; expected: ExpectedInTable } {
  const family = defect.families[seed % defect.families.length]!;
  const draw = createDraw(defect.name, seed);
  return defect.plant(cleanTable(family, 1000 + seed), draw);
}

import type { Recording } from '../../../src/lib/data/types.js';
import { cleanRecordings, type RecordingFamily, type RecordingSet } from './clean-recordings.js';
import { createDraw, type Draw, stepped } from './draw.js';

/** The evidence that a defect was found: a finding of one of these kinds that names one of the files or the field. */
export interface Expected {
  kinds: string[];
  files?: string[];
  fields?: string[];
}

export interface RecordingDefect {
  name: string;
  families: RecordingFamily[];
  plant(set: RecordingSet, draw: Draw): { set: RecordingSet; expected: Expected };
}

type Columns = number[][];

/** Replaces the columns of one recording. */
function edited(set: RecordingSet, id: string, edit: (columns: Columns) => Columns): RecordingSet {
  return {
    ...set,
    recordings: set.recordings.map((recording) =>
      recording.id === id
        ? {
            ...recording,
            columns: edit(recording.columns.map((column) => [...column])).map((column) =>
              Float64Array.from(column),
            ),
          }
        : recording,
    ),
  };
}

const fieldAt = (set: RecordingSet, name: string) => set.fields.indexOf(name);

/** Indexes of the three axes of the set's accelerometer. */
function axesOf({ fields }: RecordingSet): number[] {
  const found = fields.flatMap((name, f) => (/^(acc_|vib_|a)?[xyz]$/.test(name) ? [f] : []));
  return found.slice(0, 3);
}

/** A random recording with one of these labels, or with any label. */
function oneOf(set: RecordingSet, draw: Draw, labels?: string[]): Recording {
  return draw.pick(set.recordings.filter(({ label }) => labels === undefined || labels.includes(label!)));
}

/** A defect that changes the values of some fields in one recording. */
function valueDefect(
  name: string,
  families: RecordingFamily[],
  kinds: string[],
  edit: (columns: Columns, set: RecordingSet, draw: Draw) => Columns,
  labels?: string[],
): RecordingDefect {
  return {
    name,
    families,
    plant(set, draw) {
      const { id } = oneOf(set, draw, labels);
      return {
        set: edited(set, id, (columns) => edit(columns, set, draw)),
        expected: { kinds, files: [id] },
      };
    },
  };
}

const mapped = (columns: Columns, which: number[], change: (value: number) => number): Columns =>
  columns.map((column, f) =>
    which.includes(f) ? column.map((value) => stepped(change(value), 1e-6)) : column,
  );

const moving = ['walking', 'running', 'drilling', 'sawing', 'healthy', 'imbalance', 'bearing'];

const levelOf = (column: number[]) => column.reduce((sum, value) => sum + value, 0) / column.length;

/** Axes with a mean above 0.3 g, so that a turn changes them. */
function loaded(columns: Columns, axes: number[]): number[] {
  return axes.filter((axis) => Math.abs(levelOf(columns[axis]!)) > 0.3);
}

/** Exchanges two axes whose levels differ by at least `least`. */
function swapTwo(columns: Columns, axes: number[], draw: Draw, least = 0.3): [number, number] {
  const pairs = [
    [0, 1],
    [0, 2],
    [1, 2],
  ].filter(([i, j]) => Math.abs(levelOf(columns[axes[i!]!]!) - levelOf(columns[axes[j!]!]!)) >= least);
  const [a, b] = draw.pick(pairs);
  const [first, second] = [axes[a!]!, axes[b!]!];
  [columns[first], columns[second]] = [columns[second]!, columns[first]!];
  return [a!, b!];
}

function withField(
  set: RecordingSet,
  name: string,
  values: (recording: Recording, samples: number) => number[],
): RecordingSet {
  const fields = [...set.fields, name];
  return {
    ...set,
    fields,
    recordings: set.recordings.map((recording) => ({
      ...recording,
      fields,
      columns: [...recording.columns, Float64Array.from(values(recording, recording.columns[0]!.length))],
    })),
  };
}

/** Cuts a recording in two without a pause in between. The second half is on the other side of the split. */
function cutInTwo(set: RecordingSet, id: string, timed: boolean): { set: RecordingSet; ids: string[] } {
  const whole = set.recordings.find((recording) => recording.id === id)!;
  const samples = whole.columns[0]!.length;
  const half = samples >> 1;
  const other = `${whole.label}${set.recordings.filter(({ label }) => label === whole.label).length + 1}`;
  const piece = (from: number, to: number, name: string): Recording => ({
    ...whole,
    id: name,
    startedAt: timed ? whole.startedAt! + (1000 * from) / whole.rateHz : null,
    columns: whole.columns.map((column) => column.slice(from, to)),
  });
  const recordings = set.recordings
    .map((recording) => (timed ? recording : { ...recording, startedAt: null }))
    .flatMap((recording) =>
      recording.id === id ? [piece(0, half, id), piece(half, samples, other)] : [recording],
    );
  const inTest = set.split.test.includes(id);
  return {
    set: {
      ...set,
      recordings,
      split: {
        ...set.split,
        train: inTest ? [...set.split.train, other] : set.split.train,
        test: inTest ? set.split.test : [...set.split.test, other],
      },
    },
    ids: [id, other],
  };
}

function relabelled(set: RecordingSet, labels: Map<string, string>): RecordingSet {
  return {
    ...set,
    recordings: set.recordings.map((recording) => ({
      ...recording,
      label: labels.get(recording.id) ?? recording.label,
    })),
  };
}

const labelsOf = (set: RecordingSet) => [...new Set(set.recordings.map(({ label }) => label!))];

function mislabelled(name: string, families: RecordingFamily[], count: 1 | 2): RecordingDefect {
  return {
    name,
    families,
    plant(set, draw) {
      const names = labelsOf(set);
      const first = oneOf(set, draw);
      const to = draw.pick(names.filter((label) => label !== first.label));
      const changes = new Map([[first.id, to]]);
      if (count === 2) changes.set(oneOf(set, draw, [to]).id, first.label!);
      return { set: relabelled(set, changes), expected: { kinds: ['label'], files: [...changes.keys()] } };
    },
  };
}

const lineWeights = [1, 2, 3, 4, 5, 6];

export const recordingDefects: RecordingDefect[] = [
  valueDefect('m/s² in a set in g', ['wrist', 'tools', 'pocket'], ['unit'], (columns, set) =>
    mapped(columns, axesOf(set), (value) => value * 9.80665),
  ),
  valueDefect('g in a set in m/s²', ['vibration'], ['unit'], (columns, set) =>
    mapped(columns, axesOf(set), (value) => value / 9.80665),
  ),
  valueDefect('mg in a set in g', ['wrist', 'tools'], ['unit'], (columns, set) =>
    mapped(columns, axesOf(set), (value) => value * 1000),
  ),
  valueDefect('°F in a set in °C', ['rooms', 'vibration'], ['unit'], (columns, set) =>
    mapped(columns, [fieldAt(set, 'temperature')], (value) => 1.8 * value + 32),
  ),
  {
    name: '°F from one device',
    families: ['rooms'],
    plant(set, draw) {
      const { device } = oneOf(set, draw);
      const own = set.recordings.filter((recording) => recording.device === device).map(({ id }) => id);
      let changed = set;
      for (const id of own) {
        changed = edited(changed, id, (columns) =>
          mapped(columns, [fieldAt(set, 'temperature')], (value) => 1.8 * value + 32),
        );
      }
      return { set: changed, expected: { kinds: ['unit'], files: own } };
    },
  },
  valueDefect('kelvin in a set in °C', ['vibration', 'rooms'], ['unit'], (columns, set) =>
    mapped(columns, [fieldAt(set, 'temperature')], (value) => value + 273.15),
  ),
  valueDefect(
    'rad/s in a set in deg/s',
    ['tools'],
    ['unit'],
    (columns, set) =>
      mapped(
        columns,
        [3, 4, 5].filter((f) => f < set.fields.length),
        (value) => (value * Math.PI) / 180,
      ),
    ['drilling', 'sawing', 'idle'],
  ),
  valueDefect('mA in a set in A', ['sockets', 'pumps'], ['unit'], (columns, set) =>
    mapped(columns, [fieldAt(set, 'current')], (value) => value * 1000),
  ),
  valueDefect('two axes exchanged', ['wrist'], ['swapped'], (columns, set, draw) => {
    swapTwo(columns, axesOf(set), draw);
    return columns;
  }),
  valueDefect('two axes of both sensors exchanged', ['tools'], ['swapped'], (columns, set, draw) => {
    const axes = axesOf(set);
    const [a, b] = swapTwo(columns, axes, draw);
    [columns[3 + a], columns[3 + b]] = [columns[3 + b]!, columns[3 + a]!];
    return columns;
  }),
  valueDefect('two axes of vibration exchanged', ['vibration'], ['swapped'], (columns, set, draw) => {
    swapTwo(columns, axesOf(set), draw, 0);
    return columns;
  }),
  valueDefect('one axis mirrored', ['wrist', 'tools'], ['swapped'], (columns, set, draw) =>
    mapped(columns, [draw.pick(loaded(columns, axesOf(set)))], (value) => -value),
  ),
  valueDefect('mounted upside down', ['wrist', 'tools'], ['swapped'], (columns, set, draw) => {
    const axes = axesOf(set);
    const down = axes.reduce((a, b) =>
      Math.abs(levelOf(columns[b]!)) > Math.abs(levelOf(columns[a]!)) ? b : a,
    );
    const kept = draw.pick(axes.filter((axis) => axis !== down));
    return mapped(
      columns,
      axes.filter((axis) => axis !== kept),
      (value) => -value,
    );
  }),
  valueDefect('offset of 3 g on one axis', ['wrist', 'tools', 'pocket'], ['offset'], (columns, set, draw) => {
    const offset = draw.pick([-3, 3]);
    return mapped(columns, [draw.pick(axesOf(set))], (value) => value + offset);
  }),
  valueDefect('pressure sensor without its zero', ['pumps'], ['offset'], (columns, set, draw) => {
    const offset = draw.between(1.5, 2.5) * draw.pick([-1, 1]);
    return mapped(columns, [fieldAt(set, 'pressure')], (value) => value + offset);
  }),
  valueDefect('spikes in acceleration', ['wrist', 'tools', 'pocket'], ['spikes'], (columns, set, draw) => {
    const axis = draw.pick(axesOf(set));
    for (let k = draw.whole(4, 10); k > 0; k--) {
      columns[axis]![draw.whole(5, columns[axis]!.length - 6)]! += draw.between(8, 16) * draw.pick([-1, 1]);
    }
    return columns;
  }),
  valueDefect('samples lost to zero', ['pumps', 'sockets', 'pulse'], ['spikes'], (columns, _, draw) => {
    const field = draw.whole(0, 1);
    for (let k = draw.whole(4, 10); k > 0; k--)
      columns[field]![draw.whole(5, columns[field]!.length - 6)] = 0;
    return columns;
  }),
  valueDefect("a thermometer's error value", ['rooms', 'vibration'], ['spikes'], (columns, set, draw) => {
    const field = fieldAt(set, 'temperature');
    for (let k = draw.whole(2, 4); k > 0; k--)
      columns[field]![draw.whole(5, columns[field]!.length - 6)] = -127;
    return columns;
  }),
  valueDefect(
    'half the rate',
    ['wrist', 'tools', 'vibration'],
    ['rate'],
    (columns) => columns.map((column) => column.filter((_, i) => i % 2 === 0)),
    moving,
  ),
  valueDefect('half the rate in pulse waves', ['pulse'], ['rate'], (columns) =>
    columns.map((column) => column.filter((_, i) => i % 2 === 0)),
  ),
  valueDefect(
    'twice the rate',
    ['pulse', 'wrist'],
    ['rate'],
    (columns, _, draw) => {
      const noise = columns.map((column) => {
        const steps = column.slice(1).map((value, i) => Math.abs(value - column[i]!));
        return 0.1 * steps.sort((a, b) => a - b)[steps.length >> 1]!;
      });
      return columns.map((column, f) =>
        column.slice(0, -2).flatMap((value, i) => {
          // Catmull and Rom's cubic halfway between two samples.
          const [before, next, after] = [column[Math.max(0, i - 1)]!, column[i + 1]!, column[i + 2]!];
          const between = (-before + 9 * value + 9 * next - after) / 16;
          return [value, stepped(between + draw.normal(0, noise[f]!), 1e-4)];
        }),
      );
    },
    ['walking', 'running', 'rest', 'exercise'],
  ),
  {
    name: 'one take on both sides, without times',
    families: ['wrist', 'tools', 'pumps', 'vibration'],
    plant(set, draw) {
      const { id } = oneOf(set, draw);
      const { set: cut, ids } = cutInTwo(set, id, false);
      return { set: cut, expected: { kinds: ['leak'], files: ids } };
    },
  },
  {
    name: 'one take on both sides, with times',
    families: ['rooms', 'gases', 'sockets', 'wrist'],
    plant(set, draw) {
      const { id } = oneOf(set, draw);
      const { set: cut, ids } = cutInTwo(set, id, true);
      return { set: cut, expected: { kinds: ['leak'], files: ids } };
    },
  },
  {
    name: 'a copy with noise on the other side',
    families: ['wrist', 'tools', 'pumps'],
    plant(set, draw) {
      const source = oneOf(set, draw);
      const id = `${source.label}99`;
      const copy: Recording = {
        ...source,
        id,
        startedAt: null,
        columns: source.columns.map((column) => {
          const cut = column.subarray(draw.whole(3, 40));
          const size = Math.max(...cut) - Math.min(...cut);
          return cut.map((value) => stepped(value + 0.01 * size * draw.normal(), 1e-5));
        }),
      };
      const short = Math.min(...copy.columns.map((column) => column.length));
      copy.columns = copy.columns.map((column) => column.slice(column.length - short));
      const inTest = set.split.test.includes(source.id);
      const split = {
        ...set.split,
        train: inTest ? [...set.split.train, id] : set.split.train,
        test: inTest ? set.split.test : [...set.split.test, id],
      };
      return {
        set: { ...set, recordings: [...set.recordings, copy], split },
        expected: { kinds: ['leak'], files: [source.id, id] },
      };
    },
  },
  mislabelled('one recording with a wrong label', ['wrist', 'pumps', 'sockets', 'tools', 'pulse'], 1),
  mislabelled('two recordings with each other’s label', ['tools', 'vibration', 'gases', 'wrist'], 2),
  {
    name: 'a field that is the label',
    families: ['wrist', 'pumps', 'rooms'],
    plant(set) {
      const names = labelsOf(set);
      const planted = withField(set, 'mode', ({ label }, samples) =>
        Array.from({ length: samples }, () => names.indexOf(label!)),
      );
      return { set: planted, expected: { kinds: ['shortcut'], fields: ['mode'] } };
    },
  },
  {
    name: 'a noisy field that is the label',
    families: ['tools', 'sockets', 'gases'],
    plant(set, draw) {
      const names = labelsOf(set);
      const weights = draw.chance(0.5) ? lineWeights : [4, 1, 9, 2];
      const planted = withField(set, 'level', ({ label }, samples) =>
        Array.from({ length: samples }, () =>
          stepped(weights[names.indexOf(label!)]! + draw.normal(0, 0.3), 0.001),
        ),
      );
      return { set: planted, expected: { kinds: ['shortcut'], fields: ['level'] } };
    },
  },
  {
    name: 'a counter among the fields',
    families: ['pumps', 'wrist', 'rooms'],
    plant(set, draw) {
      const planted = withField(set, 'ticks', (_, samples) => {
        const first = draw.whole(0, 90_000);
        return Array.from({ length: samples }, (__, i) => first + i);
      });
      return { set: planted, expected: { kinds: ['identifier'], fields: ['ticks'] } };
    },
  },
  {
    name: 'one field twice',
    families: ['tools', 'pumps', 'sockets'],
    plant(set, draw) {
      const source = draw.whole(0, set.fields.length - 1);
      const planted = withField(set, 'channel_b', ({ columns }) => [...columns[source]!]);
      return { set: planted, expected: { kinds: ['duplicate'], fields: ['channel_b'] } };
    },
  },
  valueDefect('an axis that stopped', ['wrist', 'tools', 'pumps'], ['stuck'], (columns, set, draw) => {
    const field = draw.whole(0, Math.min(3, set.fields.length) - 1);
    const from = draw.whole(20, columns[field]!.length >> 2);
    return columns.map((column, f) =>
      f === field ? column.map((v, i) => (i < from ? v : column[from]!)) : column,
    );
  }),
  valueDefect(
    'a range that was too small',
    ['wrist', 'vibration'],
    ['saturation'],
    (columns, set) => {
      const axis = axesOf(set)[0]!;
      const ranked = [...columns[axis]!].sort((a, b) => a - b);
      const [low, high] = [
        ranked[Math.floor(0.12 * ranked.length)]!,
        ranked[Math.floor(0.88 * ranked.length)]!,
      ];
      return mapped(columns, [axis], (value) => Math.min(high, Math.max(low, value)));
    },
    ['running', 'walking', 'imbalance', 'healthy'],
  ),
];

/** Plants a defect in a set. The seed determines the set and its family. */
export function plantRecordings(
  defect: RecordingDefect,
  seed: number,
): { set: RecordingSet; expected: Expected } {
  const family = defect.families[seed % defect.families.length]!;
  const draw = createDraw(defect.name, seed);
  return defect.plant(cleanRecordings(family, 1000 + seed), draw);
}

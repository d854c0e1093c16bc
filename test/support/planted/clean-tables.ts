import type { Part } from '../../../src/lib/data/parts.js';
import { createDraw, type Draw, stepped, wander } from './draw.js';

/** Rows of measurements without defects, as in CSV files. */
export interface TableSet {
  name: string;
  columns: string[];
  rows: number[][];
  labels: string[];
  /** Device of each row, in a column that is not an input; null if there is no such column. */
  groups: string[] | null;
  /** Part of each row; null = the set is not divided. */
  parts: Part[] | null;
  /** Kinds of findings that are correct for this set, such as a constant column. */
  accepted: string[];
}

type Made = Pick<TableSet, 'columns' | 'rows' | 'labels'> & Partial<Pick<TableSet, 'groups' | 'accepted'>>;

/** Features of vibration windows; healthy and worn bearings overlap. */
function bearings(draw: Draw): Made {
  const rows: number[][] = [];
  const labels: string[] = [];
  const count = draw.whole(500, 900);
  for (let i = 0; i < count; i++) {
    const worn = draw.chance(0.4);
    const speed = draw.normal(1480, 6);
    const load = draw.between(0.2, 1);
    const rms = draw.around(worn ? 1.9 : 1.1, 0.3) * (0.7 + 0.5 * load);
    const crest = draw.around(worn ? 4.6 : 3.4, 0.15);
    rows.push([
      stepped(rms, 0.0001),
      stepped(rms * crest, 0.0001),
      stepped(draw.around(worn ? 4.3 : 3.1, 0.18), 0.0001),
      stepped(speed - 12 * load, 0.1),
      stepped(24 + 21 * load + draw.normal(0, 2.5) + (worn ? 2 : 0), 0.1),
      stepped(draw.around(worn ? 0.35 : 0.22, 0.4), 0.0001),
    ]);
    labels.push(worn ? 'worn' : 'healthy');
  }
  return { columns: ['rms', 'peak', 'kurtosis', 'speed', 'temperature', 'band_high'], rows, labels };
}

/** Rooms measured every five minutes, in chronological order; neighboring rows are similar. */
function climate(draw: Draw): Made {
  const slow = [wander(draw, 60), wander(draw, 80), wander(draw, 40), wander(draw, 15)];
  const rows: number[][] = [];
  const labels: string[] = [];
  const count = draw.whole(600, 1100);
  let occupied = false;
  let co2 = 450;
  for (let i = 0; i < count; i++) {
    if (draw.chance(0.03)) occupied = !occupied;
    co2 += occupied ? 0.1 * (1100 - co2) + draw.normal(0, 9) : 0.08 * (440 - co2) + draw.normal(0, 5);
    const day = Math.sin((2 * Math.PI * i) / 288);
    rows.push([
      stepped(21.5 + 1.2 * day + 0.5 * slow[0]!() + (occupied ? 0.5 : 0), 0.01),
      stepped(44 - 3 * day + 3 * slow[1]!(), 0.01),
      stepped(co2, 1),
      stepped(Math.max(0, 220 + 200 * day + 60 * slow[2]!() + (occupied ? 120 : 0)), 0.5),
      stepped(38 + (occupied ? 11 : 0) + 3 * Math.abs(slow[3]!()), 0.1),
    ]);
    labels.push(occupied ? 'occupied' : 'empty');
  }
  return { columns: ['temperature', 'humidity', 'co2', 'light', 'sound'], rows, labels };
}

/** Electrical values of machines; the power follows from the current. */
function electrical(draw: Draw): Made {
  const kinds: Record<string, [number, number]> = {
    idle: [1.2, 0.55],
    cutting: [5.5, 0.83],
    jammed: [8.5, 0.78],
  };
  const rows: number[][] = [];
  const labels: string[] = [];
  for (let i = 0; i < draw.whole(400, 400); i++) {
    const label = draw.chance(0.45) ? 'idle' : draw.chance(0.65) ? 'cutting' : 'jammed';
    const [amps, pf] = kinds[label]!;
    const current = draw.around(amps, 0.2);
    const volts = draw.normal(230, 2);
    const factor = Math.min(0.99, pf * draw.around(1, 0.05));
    rows.push([
      stepped(current, 0.001),
      stepped(volts - 0.3 * current, 0.01),
      stepped(current * volts * factor, 0.1),
      stepped(factor, 0.001),
      stepped(31 + 2.1 * current + draw.normal(0, 3), 0.1),
    ]);
    labels.push(label);
  }
  return { columns: ['current', 'voltage', 'power', 'power_factor', 'winding'], rows, labels };
}

/** Soil probes in several fields. */
function soil(draw: Draw): Made {
  const rows: number[][] = [];
  const labels: string[] = [];
  const groups: string[] = [];
  for (let g = 0; g < draw.whole(5, 8); g++) {
    const clay = draw.between(0.8, 1.3);
    for (let i = 0; i < draw.whole(60, 110); i++) {
      const wet = draw.between(0.08, 0.42);
      const dry = wet + draw.normal(0, 0.035) < 0.2;
      rows.push([
        stepped(wet * 100 * draw.around(clay, 0.05), 0.1),
        stepped(draw.around(0.3 + wet, 0.2), 0.01),
        stepped(draw.normal(6.5, 0.35), 0.01),
        stepped(draw.normal(15, 4), 0.1),
        stepped(draw.around(dry ? 9 : 6, 0.5), 0.1),
      ]);
      labels.push(dry ? 'water' : 'wait');
      groups.push(`field${g + 1}`);
    }
  }
  return { columns: ['moisture', 'conductivity', 'ph', 'temperature', 'evaporation'], rows, labels, groups };
}

/** Only a few rows. */
function fruit(draw: Draw): Made {
  const rows: number[][] = [];
  const labels: string[] = [];
  const count = draw.whole(60, 90);
  for (let i = 0; i < count; i++) {
    const ripe = draw.chance(0.5);
    const size = draw.normal(7.4, 0.6);
    rows.push([
      stepped(size, 0.01),
      stepped(0.9 * size ** 3 * draw.around(0.5, 0.05), 0.1),
      stepped(draw.normal(ripe ? 0.62 : 0.45, 0.08), 0.001),
      stepped(draw.normal(ripe ? 11.8 : 10.4, 1), 0.1),
    ]);
    labels.push(ripe ? 'ripe' : 'green');
  }
  return { columns: ['diameter', 'mass', 'red', 'brix'], rows, labels };
}

/** Coarse values, such as floors, fan levels, and numbers of people; equal rows are not copies. */
function building(draw: Draw): Made {
  const rows: number[][] = [];
  const labels: string[] = [];
  for (let i = 0; i < draw.whole(700, 1200); i++) {
    const floor = draw.whole(0, 5);
    const people = Math.max(0, Math.round(draw.normal(4 + floor * 0.4, 3)));
    const warm = draw.normal(21 + 0.2 * people, 1.2);
    const fan = Math.max(0, Math.min(3, Math.round((warm - 20.5) * 0.7 + draw.normal(0, 0.5))));
    rows.push([floor, people, fan, stepped(warm, 0.5), draw.chance(0.3) ? 1 : 0]);
    labels.push(warm + draw.normal(0, 0.8) > 22.5 ? 'warm' : warm < 20.5 ? 'cold' : 'fine');
  }
  return { columns: ['floor', 'people', 'fan', 'temperature', 'window'], rows, labels };
}

/** Particles in the air, with heavy tails and natural extremes. */
function dust(draw: Draw): Made {
  const rows: number[][] = [];
  const labels: string[] = [];
  for (let i = 0; i < draw.whole(800, 1400); i++) {
    const busy = draw.chance(0.35);
    const load = draw.around(busy ? 30 : 14, 0.75);
    rows.push([
      stepped(load * draw.around(0.7, 0.15), 0.01),
      stepped(load * draw.around(1.1, 0.2), 0.01),
      stepped(draw.around(busy ? 52 : 34, 0.35), 0.1),
      stepped(draw.around(2.2, 0.6), 0.01),
      stepped(draw.normal(55, 14), 0.1),
    ]);
    labels.push(busy ? 'traffic' : 'calm');
  }
  return { columns: ['pm25', 'pm10', 'no2', 'wind', 'humidity'], rows, labels };
}

/** Locked rotors; for physical reasons, the current alone nearly determines the class, and the other sensors agree. */
function rotors(draw: Draw): Made {
  const rows: number[][] = [];
  const labels: string[] = [];
  for (let i = 0; i < draw.whole(450, 700); i++) {
    const label = draw.chance(0.6) ? 'running' : draw.chance(0.6) ? 'blocked' : 'off';
    const load = draw.between(0.2, 1);
    const [amps, rise, sound] =
      label === 'running'
        ? [0.9 + 0.5 * load, 14 * load, 58]
        : label === 'blocked'
          ? [4.6, 32, 49]
          : [0.02, 4, 38];
    rows.push([
      stepped(Math.abs(amps * draw.around(1, 0.07) + draw.normal(0, 0.01)), 0.001),
      stepped(22 + rise * draw.around(1, 0.3) + draw.normal(0, 2), 0.1),
      stepped(draw.normal(sound, 3.2), 0.1),
      stepped(Math.abs(draw.normal(label === 'running' ? 0.9 : 0.12, 0.15)), 0.001),
    ]);
    labels.push(label);
  }
  return { columns: ['current', 'temperature', 'sound', 'vibration'], rows, labels };
}

/** A table with a value instead of classes: the state of charge, to be predicted from a charger's measurements. */
function batteries(draw: Draw): Made {
  const rows: number[][] = [];
  const labels: string[] = [];
  for (let i = 0; i < draw.whole(400, 800); i++) {
    const charge = draw.between(0.05, 1);
    const cold = draw.normal(19, 7);
    const amps = draw.between(0.1, 2);
    rows.push([
      stepped(
        3.35 + 0.75 * charge + 0.06 * Math.sin(6 * charge) - 0.07 * amps + draw.normal(0, 0.025),
        0.001,
      ),
      stepped(amps, 0.001),
      stepped(cold, 0.1),
      stepped(0.09 + 0.03 * (1 - charge) ** 2 - 0.0007 * (cold - 20) + draw.normal(0, 0.006), 0.0001),
      draw.whole(20, 600),
    ]);
    labels.push(charge.toFixed(3));
  }
  return { columns: ['voltage', 'current', 'temperature', 'resistance', 'cycles'], rows, labels };
}

/** Raw counts of a converter, which are integers, sorted by label like many exports. */
function sorted(draw: Draw): Made {
  const made: { row: number[]; label: string }[] = [];
  for (const label of ['asphalt', 'gravel', 'grass']) {
    const level = { asphalt: 900, gravel: 2600, grass: 1700 }[label]!;
    for (let i = 0; i < draw.whole(150, 320); i++) {
      const bump = draw.around(1, 0.25);
      made.push({
        label,
        row: [
          Math.round(level * bump * draw.around(1, 0.15)),
          Math.round(0.4 * level * bump * draw.around(1, 0.25)),
          Math.round(draw.normal(21_500, 600)),
          Math.round(draw.around(label === 'grass' ? 5200 : 6800, 0.15)),
          Math.round(draw.normal(131_000, 9000)),
        ],
      });
    }
  }
  return {
    columns: ['axle', 'frame', 'battery', 'speed', 'pressure'],
    rows: made.map(({ row }) => row),
    labels: made.map(({ label }) => label),
  };
}

/** A table with a column without a connected sensor. */
function unconnectedColumn(draw: Draw): Made {
  const { columns, rows, labels } = bearings(draw);
  return { columns: [...columns, 'aux'], rows: rows.map((row) => [...row, 0]), labels, accepted: ['stuck'] };
}

const families = {
  bearings,
  climate,
  electrical,
  soil,
  fruit,
  building,
  dust,
  rotors,
  batteries,
  sorted,
  unconnectedColumn,
} satisfies Record<string, (draw: Draw) => Made>;

export type TableFamily = keyof typeof families;

export const tableFamilies = Object.keys(families) as TableFamily[];

/**
 * Returns a clean table of a family. With an even seed, all but `climate` are divided into train and test, by device if there are
 * devices, otherwise by row.
 */
export function cleanTable(name: TableFamily, seed: number): TableSet {
  const draw = createDraw(name, seed);
  const { groups = null, accepted = [], ...made }: Made = families[name](draw);
  const divided = seed % 2 === 0 && name !== 'climate';
  const tested = new Set((groups ?? []).filter((group) => group.endsWith('1') || group.endsWith('4')));
  const parts = divided
    ? made.rows.map((_, i): Part => {
        const test = groups ? tested.has(groups[i]!) : draw.chance(0.3);
        return test ? 'test' : 'train';
      })
    : null;
  return { name, ...made, groups, parts, accepted };
}

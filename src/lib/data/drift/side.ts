import type { Column, Rows } from '../rows/types.js';
import { type NumberProfile, type Profile, profileOf, type TextProfile, workspaceFor } from './profile.js';

/** One side of a comparison, without its rows. */
export interface Side {
  name: string;
  from: Rows['from'] | 'reference';
  rows: number;
  rateHz: number | null;
  features: Profile[];
  label: Profile | null;
  prediction: Profile | null;
  /** Take of each row of the samples. */
  sampleTakes: Int32Array | null;
  ignored: string[];
}

export interface SideOptions {
  bins: number;
  /** Sees each column, with its profile and its values, before they are let go. */
  look?: (column: Column, profile: Profile) => void;
  /** Whether profiles are left their sorted values. */
  keepSorted?: boolean;
}

/** Profiles of all columns; a column's values are let go when it is done. */
export function sideOf(rows: Rows, { bins, look, keepSorted = true }: SideOptions): Side {
  const space = workspaceFor(rows, bins);
  const profile = (column: Column) => {
    const own = profileOf(column, space);
    look?.(column, own);
    if (own.kind === 'text' || column.kind === 'text') return own;
    const room = column.values;
    column.values = new Float64Array(0);
    if (!keepSorted) return { ...own, sorted: column.values };
    // In the place of the values.
    room.set(own.sorted);
    return { ...own, sorted: room.subarray(0, own.count) };
  };
  const { take } = rows;
  return {
    name: rows.name,
    from: rows.from,
    rows: rows.rows,
    rateHz: rows.rateHz,
    features: rows.features.map(profile),
    label: rows.label && profile(rows.label),
    prediction: rows.prediction && profile(rows.prediction),
    sampleTakes: take && Int32Array.from(space.places, (place) => take.codes[place]!),
    ignored: rows.ignored,
  };
}

/** A column of which nothing is known, as the other kind: all its rows are missing. */
export function emptied(kind: Profile['kind'], { name, rows }: Profile): Profile {
  if (kind === 'text') {
    return {
      name,
      kind,
      rows,
      count: 0,
      missing: rows,
      counts: new Map(),
      effective: 1,
      degrees: 1,
      endless: false,
    } satisfies TextProfile;
  }
  const none = new Float64Array(0);
  return {
    name,
    kind,
    rows,
    count: 0,
    missing: rows,
    infinite: 0,
    mean: 0,
    deviation: 0,
    absolute: 0,
    sorted: none,
    effective: 1,
    degrees: 1,
    withoutStep: { time: 1, degrees: 1 },
    effectiveRows: rows,
    longestRun: 0,
    longestRunAt: 0,
    cuts: none,
    counts: none,
    sample: none,
  } satisfies NumberProfile;
}

import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { readJson, writeFileAtomic } from '../../core/files.js';
import { issueText } from '../../core/issues.js';
import { quantile } from '../../core/numbers.js';
import type { Column } from '../../formats/csv/cells.js';
import type { Rows } from '../tables/rows.js';
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
  /** Take of each sampled row. */
  sampleTakes: Int32Array | null;
  ignored: string[];
}

interface SideOptions {
  bins: number;
  /** Called with each column and its profile before the column's values are released. */
  look?: (column: Column, profile: Profile) => void;
  /** Whether profiles retain their sorted values. */
  keepSorted?: boolean;
}

/** Profiles all columns. A column's values are released once its profile is complete. */
export function sideOf(rows: Rows, { bins, look, keepSorted = true }: SideOptions): Side {
  const space = workspaceFor(rows, bins);
  const profile = (column: Column) => {
    const own = profileOf(column, space);
    look?.(column, own);
    if (own.kind === 'text' || column.kind === 'text') return own;
    const room = column.values;
    column.values = new Float64Array(0);
    if (!keepSorted) return { ...own, sorted: column.values };
    // Stores the sorted values in the memory of the column's own values.
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

/** Profile of a column of the given kind without values, so that all rows are missing. */
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

const spec = 'aiot-reference/1';

/** Number of quantiles that represent all values in a reference: one per thousandth. */
const points = 1001;

const numbers = z.array(z.number());

const numberSchema = z.strictObject({
  kind: z.literal('number'),
  name: z.string(),
  rows: z.int().min(0),
  count: z.int().min(0),
  missing: z.int().min(0),
  infinite: z.int().min(0),
  mean: z.number(),
  deviation: z.number().min(0),
  absolute: z.number().min(0),
  effective: z.number(),
  degrees: z.number(),
  effectiveRows: z.number(),
  longestRun: z.int().min(0),
  quantiles: numbers,
  cuts: numbers,
  counts: numbers,
  /** Values of some rows; null = no number. */
  sample: z.array(z.number().nullable()),
});

const textSchema = z.strictObject({
  kind: z.literal('text'),
  name: z.string(),
  rows: z.int().min(0),
  count: z.int().min(0),
  missing: z.int().min(0),
  effective: z.number(),
  degrees: z.number(),
  endless: z.boolean(),
  counts: z.array(z.tuple([z.string(), z.int().min(0)])),
});

const columnSchema = z.discriminatedUnion('kind', [numberSchema, textSchema]);

/** The parts of a base that a comparison needs, without its rows. */
const referenceSchema = z.strictObject({
  spec: z.literal(spec),
  name: z.string(),
  rows: z.int().min(1),
  rateHz: z.number().nullable(),
  features: z.array(columnSchema),
  label: columnSchema.nullable(),
  prediction: columnSchema.nullable(),
  sampleTakes: z.array(z.int()).nullable(),
  ignored: z.array(z.string()),
});

/** @throws AIOT_FILE_NOT_WRITABLE */
export async function saveReference(file: string, side: Side): Promise<void> {
  const reference = {
    spec,
    name: side.name,
    rows: side.rows,
    rateHz: side.rateHz,
    features: side.features.map(written),
    label: side.label && written(side.label),
    prediction: side.prediction && written(side.prediction),
    sampleTakes: side.sampleTakes && Array.from(side.sampleTakes),
    ignored: side.ignored,
  } satisfies z.output<typeof referenceSchema>;
  await writeFileAtomic(file, `${JSON.stringify(reference)}\n`);
}

/** @throws AIOT_FILE_NOT_FOUND, AIOT_FILE_MALFORMED */
export async function readReference(file: string): Promise<Side> {
  const parsed = referenceSchema.safeParse(await readJson(file));
  if (!parsed.success) {
    throw new AiotError('AIOT_FILE_MALFORMED', `${file}: ${issueText(parsed.error, 'the file')}`, {
      next: 'Create it with `aiot data stats DATA --save FILE`.',
    });
  }
  const { features, label, prediction, sampleTakes, ...rest } = parsed.data;
  return {
    ...rest,
    from: 'reference',
    features: features.map(read),
    label: label && read(label),
    prediction: prediction && read(prediction),
    sampleTakes: sampleTakes && Int32Array.from(sampleTakes),
  };
}

function written(profile: Profile): z.output<typeof columnSchema> {
  if (profile.kind === 'text') return { ...profile, counts: [...profile.counts] };
  const { sorted, cuts, counts, sample, longestRunAt: _, withoutStep: _pace, ...figures } = profile;
  return {
    ...figures,
    quantiles:
      sorted.length === 0 ? [] : Array.from({ length: points }, (_, i) => quantile(sorted, i / (points - 1))),
    cuts: Array.from(cuts),
    counts: Array.from(counts),
    sample: Array.from(sample, (value) => (Number.isFinite(value) ? value : null)),
  };
}

function read(column: z.output<typeof columnSchema>): Profile {
  if (column.kind === 'text') return { ...column, counts: new Map(column.counts) };
  const { quantiles, cuts, counts, sample, ...figures } = column;
  return {
    ...figures,
    longestRunAt: 0,
    withoutStep: { time: 1, degrees: 1 },
    sorted: Float64Array.from(quantiles),
    cuts: Float64Array.from(cuts),
    counts: Float64Array.from(counts),
    sample: Float64Array.from(sample, (value) => value ?? Number.NaN),
  } satisfies NumberProfile;
}

import { readdir, readlink, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { AiotError } from '../../core/errors.js';
import { percent, plural } from '../../core/figures.js';
import { loadProject } from '../../core/project.js';
import type { SignalSpec } from '../../signal/spec.js';
import { readListing } from '../dataset/listing.js';
import { datasetSummary } from '../dataset/summary.js';
import type { Part } from '../parts.js';
import { partOfName } from '../tables/files.js';
import { type LabelFrom, type Loose, openLoose } from '../tables/loose-recordings.js';
import type { Dataset, Finding, Recording, Split } from '../types.js';
import { checkDataset, sortFindings } from './check.js';
import { checkProject } from './project.js';
import { type CheckReport, listIds, splitCounts } from './report.js';
import { checkTables } from './tables.js';
import { checkTimes } from './times.js';

interface PathCheckOptions {
  /** A folder of recordings (a project's, or in train/validation/test), a CSV file of rows, or a folder with train.csv and test.csv. */
  path: string;
  rateHz?: number;
  labelFrom?: LabelFrom;
  /** Window length in samples. */
  window?: number;
}

/**
 * Checks the data at a path, as a project if possible, otherwise as loose recordings or tables.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_FILE_NOT_READABLE, AIOT_DATA_*, AIOT_CSV_*, AIOT_PROJECT_INVALID, AIOT_USAGE (a project's data folder)
 */
export async function checkPath({ path, ...options }: PathCheckOptions): Promise<CheckReport> {
  const kind = await stat(path).catch(() => null);
  if (!kind) {
    const to = await readlink(path).catch(() => null);
    const what =
      to === null
        ? `the file or folder ${path} does not exist`
        : `${path} is a broken link: ${to} does not exist`;
    throw new AiotError('AIOT_FILE_NOT_FOUND', what);
  }
  const label = options.labelFrom?.startsWith('column:')
    ? options.labelFrom.slice('column:'.length)
    : 'label';
  if (kind.isFile()) return checkTables([{ file: path, part: null }], { label });
  if (!kind.isDirectory()) {
    throw new AiotError(
      'AIOT_FILE_NOT_READABLE',
      `cannot read ${path}: expected a CSV or WAV file, or a folder`,
    );
  }
  const names = await readdir(path);
  if (names.includes('aiot.yaml')) return checkProject(await loadProject(path));
  const tables = partTables(path, names);
  if (tables) return checkTables(tables, { label });
  if (await readListing(path)) {
    throw new AiotError(
      'AIOT_USAGE',
      `${path} is a project's data folder: its dataset.json defines the fields and labels`,
      {
        next: `Check it with its project: \`aiot data check --data ${path} --project DIR\`.`,
      },
    );
  }
  return checkLoose({ folder: path, ...options });
}

/** A split of rows in separate files: CSV files named train and test (and validation) in one folder. */
function partTables(folder: string, names: string[]): { file: string; part: Part }[] | null {
  const found = names
    .filter((name) => name.toLowerCase().endsWith('.csv'))
    .sort()
    .flatMap((name) => {
      const part = partOfName(name.slice(0, -'.csv'.length));
      return part ? [{ file: join(folder, name), part }] : [];
    });
  const has = (part: Part) => found.some((one) => one.part === part);
  return has('train') && has('test') ? found : null;
}

interface LooseCheckOptions {
  /** Folder of recordings. Subfolders named train, validation and test are a split to check. */
  folder: string;
  rateHz?: number;
  labelFrom?: LabelFrom;
  /** Samples per window; absent = only recordings much shorter than the others are too short. */
  window?: number;
}

/**
 * Checks recordings that belong to no project.
 * @throws AIOT_DATA_EMPTY, AIOT_CSV_*, AIOT_FILE_NOT_FOUND
 */
async function checkLoose(options: LooseCheckOptions): Promise<CheckReport> {
  const { folder, rateHz, labelFrom } = options;
  const loose = await openLoose({ paths: [folder], rateHz, labelFrom, lenient: true });
  const { dataset } = loose;
  const split = loose.hasParts ? splitOf(loose) : undefined;
  const spec = specOf(dataset, options.window);
  const found = checkDataset(dataset, spec, split, { loose: true }).filter(
    ({ kind }) => kind !== 'not-a-number' || loose.info.size === 0,
  );
  const findings = sortFindings([
    ...badCells(loose),
    ...found,
    ...checkTimes(loose),
    ...rates(loose),
    ...missingSides(split),
    ...(split ? checkNeighbours(dataset, split) : []),
  ]).map((finding) => named(finding, loose));
  const { samples, recordings, digest } = datasetSummary(dataset);
  return {
    of: 'recordings',
    digest,
    recordings: recordings.length,
    samples,
    rateHz: dataset.rateHz,
    rateFrom: loose.rateFrom,
    timeColumn: loose.time?.name ?? null,
    labelFrom: loose.labelFrom,
    split: split ? splitCounts(split, 'folder') : null,
    findings,
    ok: findings.every(({ severity }) => severity !== 'error'),
  };
}

/** Restores the extensions of file names, because users search for these names. */
function named(finding: Required<Finding>, { info }: Loose): Required<Finding> {
  const fileOf = (id: string) => {
    const found = info.get(id);
    return found ? id.replace(/(\[\d+-\d+\])?$/, `.${found.format ?? 'csv'}$1`) : id;
  };
  return { ...finding, files: finding.files.map(fileOf) };
}

function splitOf({ dataset, info }: Loose): Split {
  const idsOf = (part: string) =>
    dataset.recordings.filter(({ id }) => info.get(id)!.part === part).map(({ id }) => id);
  return {
    by: 'recording',
    seed: 0,
    train: idsOf('train'),
    validation: idsOf('validation'),
    test: idsOf('test'),
  };
}

/**
 * The window to use without a project: the requested length, or a tenth of the median recording's, so that only truncated recordings are
 * too short.
 */
function specOf(dataset: Dataset, window?: number): SignalSpec {
  const lengths = dataset.recordings.map(({ columns }) => columns[0]?.length ?? 0).sort((a, b) => a - b);
  const windowSamples = window ?? Math.max(2, Math.floor(lengths[lengths.length >> 1]! / 10));
  return {
    fields: dataset.fields,
    rateHz: dataset.rateHz,
    lowpassHz: null,
    resampleHz: dataset.rateHz,
    windowSamples,
    strideSamples: windowSamples,
    features: 'raw',
  };
}

/** Finds non-numeric cells, by file. */
function badCells({ info }: Loose): Finding[] {
  const hits = [...info].filter(([, { bad }]) => bad.count > 0);
  const [hit] = hits;
  if (!hit) return [];
  const [id, { bad }] = hit;
  const { line, col, column, cell } = bad.first[0]!;
  const cells = hits.reduce((sum, [, own]) => sum + own.bad.count, 0);
  const more = cells > 1 ? `; ${plural(cells, 'such cell')} in ${listIds(hits.map(([name]) => name))}` : '';
  return [
    {
      kind: 'not-a-number',
      severity: 'error',
      files: hits.map(([name]) => name),
      evidence: { cells, line, column: col, field: column, cell },
      message: `${id}.csv:${line}:${col}: expected a number for ${column}, got ${cell === '' ? 'nothing' : JSON.stringify(cell.slice(0, 40))}${more}.`,
      advice: 'Cut the recording there, or record it again. No step accepts non-numeric values.',
    },
  ];
}

/** Finds files whose time columns indicate different rates, and labels whose files differ in rate from the others. */
function rates({ dataset, info, rateFrom }: Loose): Finding[] {
  const known = dataset.recordings.flatMap(({ id, label }) => {
    const hz = info.get(id)!.rateHz;
    return hz === null ? [] : [{ id, label, hz }];
  });
  const low = Math.min(...known.map(({ hz }) => hz));
  const high = Math.max(...known.map(({ hz }) => hz));
  if (known.length < 2 || low > 0.98 * high) return [];
  const middle = (low + high) / 2;
  const slow = known.filter(({ hz }) => hz < middle);
  const labelsOf = (list: typeof known) => [...new Set(list.map(({ label }) => label ?? ''))];
  const fast = known.filter(({ hz }) => hz >= middle);
  const apart = !labelsOf(slow).some((label) => labelsOf(fast).includes(label));
  return [
    {
      kind: 'rate',
      severity: apart && labelsOf(known).length > 1 ? 'error' : 'warning',
      files: slow.map(({ id }) => id),
      evidence: { slowestHz: low, fastestHz: high, byLabel: apart, rateFrom },
      message: `According to their timestamps, ${listIds(slow.map(({ id }) => id))} have about ${low} Hz and others up to ${high} Hz${apart ? `: ${listIds(labelsOf(slow))} can be identified by the rate alone` : ''}.`,
      advice:
        'A window with a fixed number of samples then covers different durations: resample everything to one rate first.',
    },
  ];
}

function missingSides(split?: Split): Finding[] {
  if (!split || (split.train.length > 0 && split.test.length > 0)) return [];
  const missing = split.train.length === 0 ? 'train' : 'test';
  throw new AiotError(
    'AIOT_DATA_EMPTY',
    `no recordings in a folder named ${missing}; expected one named train and one named test`,
    { next: `Add a folder ${missing} with recordings, or move all recordings into one folder.` },
  );
}

/** Minimum number of files that share a row with a file on another side, and their minimum share. */
const leastFiles = 4;

const leastShare = 0.1;

/**
 * Finds files on two sides of a split that are neighboring pieces of one take, such as windows that were cut from it and assigned at
 * random. Pieces are detected if the last row of one is the first row of another (windows cut with both ends included), or by names such as
 * walking1_3 and walking1_4. The check for copies detects windows that overlap more.
 */
function checkNeighbours(dataset: Dataset, split: Split): Finding[] {
  return [...sharedEnds(dataset, split), ...sharedNames(dataset, split)];
}

function sharedEnds({ recordings }: Dataset, split: Split): Finding[] {
  const trainIds = new Set(split.train);
  const all = recordings.filter(({ columns }) => (columns[0]?.length ?? 0) >= 8);
  const tested = all.filter(({ id }) => !trainIds.has(id));
  const rowsOf = (pick: 'first' | 'last' | 'middle') =>
    new Map(
      all.filter(({ id }) => trainIds.has(id)).map((recording) => [rowKey(recording, pick), recording.id]),
    );
  const lasts = rowsOf('last');
  const firsts = rowsOf('first');
  const middles = rowsOf('middle');
  const hits = tested.flatMap((recording) => {
    const first = rowKey(recording, 'first');
    const last = rowKey(recording, 'last');
    // Coarse sensors often repeat rows, so an end row that also occurs within files is not evidence.
    if (middles.has(first) || middles.has(last)) return [];
    const neighbour = lasts.get(first) ?? firsts.get(last);
    return neighbour === undefined ? [] : [{ id: recording.id, neighbour }];
  });
  const share = hits.length / Math.max(1, tested.length);
  if (hits.length < leastFiles || share < leastShare) return [];
  return [
    {
      kind: 'leak',
      severity: 'error',
      files: hits.map(({ id }) => id),
      evidence: {
        method: 'neighbours',
        windows: hits.length,
        share,
        pairs: hits.slice(0, 20).map(({ id, neighbour }) => `${neighbour} | ${id}`),
      },
      message: `${hits.length} of ${plural(tested.length, 'file')} outside the training set (${percent(share)}) begin or end with the row where a training file ends or begins, such as ${hits[0]!.neighbour} and ${hits[0]!.id}: the split is by window, and neighbors are nearly identical.`,
      advice: 'Split by take: keep all windows of one recording on one side.',
    },
  ];
}

function rowKey({ columns }: Recording, pick: 'first' | 'last' | 'middle'): string {
  const rows = columns[0]!.length;
  const at = pick === 'first' ? 0 : pick === 'last' ? rows - 1 : rows >> 1;
  return columns.map((column) => column[at]).join();
}

/** The recording that a numbered piece is part of, derived from its name: `walking1_3` is part of walking1. Null for other names. */
function takeOf(id: string): string | null {
  const name = id.split('/').at(-1)!;
  return /^(.*\d)[-_.]+[a-z]*\d+$/i.exec(name)?.[1] ?? null;
}

function sharedNames({ recordings }: Dataset, split: Split): Finding[] {
  const trainIds = new Set(split.train);
  const trained = new Set(recordings.filter(({ id }) => trainIds.has(id)).map(({ id }) => takeOf(id)));
  const tested = recordings.filter(({ id }) => !trainIds.has(id));
  const hits = tested.filter(({ id }) => takeOf(id) !== null && trained.has(takeOf(id)));
  if (hits.length < leastFiles || hits.length < tested.length / 2) return [];
  const takes = [...new Set(hits.map(({ id }) => takeOf(id)!))].sort();
  return [
    {
      kind: 'leak',
      severity: 'warning',
      files: hits.map(({ id }) => id),
      evidence: { method: 'names', windows: hits.length, takes },
      message: `${hits.length} files outside the training set have the name of a take in the training set: ${listIds(takes)}. Parts of one take are nearly identical.`,
      advice: 'If they are parts of one take (or of one person), keep all of them on one side.',
    },
  ];
}

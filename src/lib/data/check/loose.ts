import { AiotError, plural } from '../../core/index.js';
import type { SignalSpec } from '../../signal/index.js';
import { type LabelFrom, type Loose, openLoose } from '../loose/open.js';
import { datasetSummary } from '../summary.js';
import type { Dataset, Finding, Split } from '../types.js';
import { checkDataset, sortFindings } from './check.js';
import { checkNeighbours } from './neighbours.js';
import type { CheckReport } from './report.js';
import { splitCounts } from './split-counts.js';
import { listIds } from './text.js';

export interface LooseCheckOptions {
  /** Folder of CSV recordings; folders train, validation and test in it are a split to be judged. */
  folder: string;
  /** Hz */
  rateHz?: number;
  labelFrom?: LabelFrom;
  /** Samples of one window; absent = only recordings much shorter than the others are too short. */
  window?: number;
}

/**
 * Checks recordings that belong to no project.
 * @throws AIOT_DATA_EMPTY, AIOT_CSV_*, AIOT_FILE_NOT_FOUND
 */
export async function checkLoose(options: LooseCheckOptions): Promise<CheckReport> {
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
    ...timeGaps(loose),
    ...rates(loose),
    ...missingSides(split),
    ...(split ? checkNeighbours(dataset, split) : []),
  ]).map((finding) => named(finding, dataset));
  const { samples, recordings, digest } = datasetSummary(dataset);
  return {
    of: 'recordings',
    digest,
    recordings: recordings.length,
    samples,
    rateHz: dataset.rateHz,
    rateFrom: loose.rateFrom,
    labelFrom: loose.labelFrom,
    split: split ? splitCounts(split, 'folder') : null,
    findings,
    ok: findings.every(({ severity }) => severity !== 'error'),
  };
}

/** Files have their extension again: people look for them. */
function named(finding: Finding, dataset: Dataset): Finding {
  const ids = new Set(dataset.recordings.map(({ id }) => id));
  const fileOf = (id: string) => (ids.has(id) ? id.replace(/(\[\d+-\d+\])?$/, '.csv$1') : id);
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

/** Windows of no project: as long as told, or so short that only what is cut off counts as too short. */
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

/** Cells that are no numbers, by file. */
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
      advice: 'Cut the recording there, or record it again: no step takes what is not a number.',
    },
  ];
}

/** Stamps of time that are further apart than they should be. */
function timeGaps({ info }: Loose): Finding[] {
  const hits = [...info].filter(([, { gaps }]) => gaps.length > 0);
  if (hits.length === 0) return [];
  const all = hits.flatMap(([id, { gaps }]) => gaps.map((gap) => ({ id, ...gap })));
  const longest = all.reduce((a, b) => (Math.abs(b.seconds) > Math.abs(a.seconds) ? b : a));
  const back = longest.seconds < 0 ? 'goes back by' : 'is';
  return [
    {
      kind: 'gap',
      severity: 'warning',
      files: hits.map(([id]) => id),
      evidence: { gaps: all.length, seconds: longest.seconds, row: longest.row },
      message: `${plural(all.length, 'gap')} in the time of ${listIds(hits.map(([id]) => id))}; the longest, after row ${longest.row} of ${longest.id}, ${back} ${Math.abs(longest.seconds).toFixed(2)} s.`,
      advice: 'Windows across a gap join what does not belong together: cut the recording there.',
    },
  ];
}

/** Files whose own clocks tell other rates, and whether a label has one of its own. */
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
      message: `By their own time columns, ${listIds(slow.map(({ id }) => id))} came at about ${low} Hz and others at up to ${high} Hz${apart ? `: ${listIds(labelsOf(slow))} can be told by it` : ''}.`,
      advice: 'A window of so many samples is another time in each: bring all to one rate first.',
    },
  ];
}

function missingSides(split?: Split): Finding[] {
  if (!split || (split.train.length > 0 && split.test.length > 0)) return [];
  const missing = split.train.length === 0 ? 'train' : 'test';
  throw new AiotError(
    'AIOT_DATA_EMPTY',
    `no recordings in a folder ${missing}: expected both train and test`,
  );
}

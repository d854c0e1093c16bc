import { checkDataset } from '../../../src/lib/data/check/check.js';
import { checkRows } from '../../../src/lib/data/check/tables.js';
import { datasetOf } from '../../../src/lib/data/dataset/open.js';
import type { Part } from '../../../src/lib/data/parts.js';
import type { Finding } from '../../../src/lib/data/types.js';
import { cleanRecordings, type RecordingSet, recordingFamilies } from './clean-recordings.js';
import { cleanTable, type TableSet, tableFamilies } from './clean-tables.js';
import { plantRecordings, recordingDefects } from './recording-defects.js';
import { plantTable, tableDefects } from './table-defects.js';

/** A set's findings, excluding remarks. */
type Alarms = Required<Finding>[];

/** Checks recordings like `aiot data check FOLDER` for a folder with train and test. */
export function alarmsOfRecordings({ name, fields, rateHz, recordings, split }: RecordingSet): Alarms {
  const dataset = datasetOf(name, { fields, rateHz }, recordings);
  const lengths = recordings.map(({ columns }) => columns[0]!.length).sort((a, b) => a - b);
  const windowSamples = Math.max(2, Math.floor(lengths[lengths.length >> 1]! / 10));
  const spec = {
    fields,
    rateHz,
    lowpassHz: null,
    resampleHz: rateHz,
    windowSamples,
    strideSamples: windowSamples,
    features: 'raw' as const,
  };
  return withoutRemarks(checkDataset(dataset, spec, split, { loose: true }));
}

/** Checks a table like `aiot data check FILE`, or like the folder of its parts. */
export function alarmsOfTable({ columns, rows, labels, groups, parts }: TableSet): Alarms {
  const tableOf = (part: Part | null) => {
    const own = rows.flatMap((_, i) => (parts === null || parts[i] === part ? [i] : []));
    return {
      name: `${part ?? 'rows'}.csv`,
      part,
      table: {
        columns,
        inputs: Float32Array.from(own.flatMap((i) => rows[i]!)),
        rows: own.length,
        labels: own.map((i) => labels[i]!),
        groups: groups && own.map((i) => groups[i]!),
        digest: '',
      },
    };
  };
  const tables = parts === null ? [tableOf(null)] : [tableOf('train'), tableOf('test')];
  return withoutRemarks(checkRows(tables, 'label'));
}

const withoutRemarks = (findings: Alarms) => findings.filter(({ severity }) => severity !== 'info');

/** The result for one defect and seed. */
export interface Trial {
  defect: string;
  family: string;
  seed: number;
  found: boolean;
  /** Alarms of other kinds, which are consequences of the defect or false alarms. */
  others: string[];
}

export function recordingTrials(seeds: readonly number[]): Trial[] {
  return recordingDefects.flatMap((defect) =>
    seeds.map((seed): Trial => {
      const { set, expected } = plantRecordings(defect, seed);
      const alarms = alarmsOfRecordings(set);
      const { kinds, files = [], fields = [] } = expected;
      // If a defect was planted in several files, most of them must be named.
      const named = new Set(alarms.flatMap((alarm) => (kinds.includes(alarm.kind) ? alarm.files : [])));
      const hits = files.filter((id) => named.has(id)).length;
      const found =
        files.length > 0
          ? hits > files.length / 2
          : alarms.some(
              (alarm) => kinds.includes(alarm.kind) && fields.every((field) => alarm.message.includes(field)),
            );
      return {
        defect: defect.name,
        family: set.name,
        seed,
        found,
        others: othersIn(alarms, kinds, set.accepted),
      };
    }),
  );
}

export function tableTrials(seeds: readonly number[]): Trial[] {
  return tableDefects.flatMap((defect) =>
    seeds.map((seed): Trial => {
      const { set, expected } = plantTable(defect, seed);
      const alarms = alarmsOfTable(set);
      const { kinds, column = '' } = expected;
      const found = alarms.some((alarm) => kinds.includes(alarm.kind) && alarm.message.includes(column));
      return {
        defect: defect.name,
        family: set.name,
        seed,
        found,
        others: othersIn(alarms, kinds, set.accepted),
      };
    }),
  );
}

/** Whether one class really has at most a quarter of another's data, so that this finding is correct. */
function isUnequal(amounts: [label: string, amount: number][]): boolean {
  const sums = new Map<string, number>();
  for (const [label, amount] of amounts) sums.set(label, (sums.get(label) ?? 0) + amount);
  return Math.max(...sums.values()) >= 4 * Math.min(...sums.values());
}

function trueOf({ recordings, accepted }: RecordingSet): string[] {
  const unequal = isUnequal(recordings.map(({ label, columns }) => [label ?? '', columns[0]!.length]));
  return unequal ? [...accepted, 'imbalance'] : accepted;
}

function trueOfTable({ labels, accepted }: TableSet): string[] {
  return isUnequal(labels.map((label) => [label, 1])) ? [...accepted, 'imbalance'] : accepted;
}

function othersIn(alarms: Alarms, kinds: string[], accepted: string[]): string[] {
  return alarms
    .filter(({ kind }) => !kinds.includes(kind) && !accepted.includes(kind))
    .map(({ kind, message }) => `${kind}: ${message}`);
}

/** A clean set and its alarms, which are all false. */
export interface CleanTrial {
  family: string;
  seed: number;
  alarms: string[];
}

export function cleanTrials(seeds: readonly number[]): CleanTrial[] {
  const recordings = recordingFamilies.flatMap((family) =>
    seeds.map((seed) => {
      const set = cleanRecordings(family, seed);
      return { family, seed, alarms: othersIn(alarmsOfRecordings(set), [], trueOf(set)) };
    }),
  );
  const tables = tableFamilies.flatMap((family) =>
    seeds.map((seed) => {
      const set = cleanTable(family, seed);
      return { family, seed, alarms: othersIn(alarmsOfTable(set), [], trueOfTable(set)) };
    }),
  );
  return [...recordings, ...tables];
}

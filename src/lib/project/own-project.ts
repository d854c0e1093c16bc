import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { Document, isNode, isScalar, YAMLMap, YAMLSeq } from 'yaml';
import { AiotError } from '../core/errors.js';
import { dataStatistics } from '../data/statistics.js';
import { assumedHz, type LabelFrom, type Loose, openLoose } from '../data/tables/loose-recordings.js';
import { type ChipName, chips } from '../model/fit/chips.js';

/** Where rows lie in a project, from its folder. */
export const rowsFile = 'data/rows.csv';

/** Seconds of a window, where it fits into the recordings. */
const windowSeconds = 2;

/** More classes than anybody would write down: then those that the rows have are meant. */
const mostClasses = 20;

/** The axes of one accelerometer by their names: x, y, z, acc_x, ax, … */
const axis = /^(a|acc(el)?(eration)?)?[ _.-]?[xyz]$/i;

const header = (about: string) => ` yaml-language-server: $schema=aiot.schema.json
 ${about}
 Every step (training, evaluation, the bundle, the devices) is derived from this file; docs/project.md of aiot explains each field.`;

/**
 * The aiot.yaml of a project for data of one's own, with what was seen in it and remarks on what could not be.
 * @param chip that it is to run on; absent = a Pi or a server, where memory is no limit
 */
export function composeProject(name: string, survey: Survey, chip?: ChipName): string {
  const { kind, count, fields } = survey;
  const rows = kind === 'rows';
  const doc = new Document({ name, ...(rows ? {} : streamOf(survey)), model: modelOf(survey, chip) });
  doc.commentBefore = header(
    rows
      ? `${count} rows of ${fields.length} inputs each: the network answers a row at a time.`
      : `${count} recordings of ${fields.length} fields. Their units, and ranges of plausible values, are for you to say.`,
  );
  remark(doc, ['stream', 'topic'], 'devices send to aiot/v1/DEVICE/telemetry/samples');
  remark(
    doc,
    ['signal', 'rate'],
    survey.rateFrom === 'assumed' ? 'Hz, assumed: nothing in the files tells it' : 'Hz',
  );
  remark(doc, ['signal', 'window'], 'samples');
  remark(doc, ['signal', 'stride'], 'samples from one answer to the next');
  remark(doc, ['model', 'accept', 'arena'], chip && `fits into the ${chips[chip].title}`);
  for (const path of [
    ['stream', 'fields'],
    ['model', 'labels'],
  ]) {
    const node = doc.getIn(path);
    if (node instanceof YAMLMap) for (const { value } of node.items) inline(value);
  }
  for (const path of [
    ['model', 'train'],
    ['model', 'table', 'inputs'],
  ])
    inline(doc.getIn(path));
  for (const part of ['stream', 'signal', 'model']) {
    const pair = (doc.contents as unknown as YAMLMap).items.find(
      ({ key }) => isScalar(key) && key.value === part,
    );
    if (isNode(pair?.key)) pair.key.spaceBefore = true;
  }
  doc.comment = gates;
  return doc.toString({ lineWidth: 0 });
}

/** Where nobody has said what is good enough, everything is published. */
const gates =
  ' model.accept, such as { macroF1: 0.9 }, is what a model has to reach: aiot model push publishes none below it.';

function remark(doc: Document, path: string[], text: string | undefined): void {
  const node = doc.getIn(path, true);
  if (text !== undefined && isNode(node)) node.comment = ` ${text}`;
}

function inline(node: unknown): void {
  if (node instanceof YAMLMap || node instanceof YAMLSeq) node.flow = true;
}

function streamOf({ fields, rateHz, loose }: Survey) {
  const lengths = loose!.dataset.recordings.map(({ columns }) => columns[0]!.length);
  const window = windowOf(rateHz!, Math.min(...lengths));
  const motion = fields.length === 3 && fields.every((field) => axis.test(field));
  return {
    stream: {
      topic: 'samples',
      fields: Object.fromEntries(fields.map((field) => [field, { unit: '' }])),
    },
    signal: {
      rate: rateHz!,
      window,
      stride: Math.ceil(window / 2),
      features: motion ? 'motion' : window >= 16 ? 'spectral' : 'raw',
    },
  };
}

/** Samples: four windows at least have to fit into the shortest recording. */
function windowOf(rateHz: number, shortest: number): number {
  return Math.max(1, Math.min(Math.round(windowSeconds * rateHz), Math.floor(shortest / 4), 4096));
}

function modelOf(survey: Survey, chip: ChipName | undefined) {
  const { labelColumn, fields, measured, labels, kind } = survey;
  const names = Object.keys(labels).sort();
  const rows = kind === 'rows';
  const classes = !measured && names.length > 1;
  return {
    ...(rows && {
      table: { file: rowsFile, ...(labelColumn !== null && { label: labelColumn }), inputs: fields },
    }),
    kind: classes || measured ? 'mlp' : 'autoencoder',
    ...(measured && { output: 'value' }),
    ...(classes &&
      names.length <= mostClasses && { labels: Object.fromEntries(names.map((label) => [label, [label]])) }),
    ...(!rows && { split: 'recording' }),
    train: { epochs: 50, batch: 32, seed: 7 },
    quantize: 'int8',
    ...(chip && { accept: { arena: arenaOf(chip) } }),
  };
}

/** Half of what is free on the chip, as a power of two. */
function arenaOf(chip: ChipName): string {
  const { ram, reservedRam } = chips[chip];
  return `${2 ** Math.floor(Math.log2((ram - reservedRam) / 1024 / 2))}KiB`;
}

/** What is seen of somebody's data before a project is made of it. */
export interface Survey {
  /** Absolute path of the folder or file. */
  path: string;
  /** `recordings`: a folder of takes over time; `rows`: a file of examples. */
  kind: 'recordings' | 'rows';
  /** Recordings, or rows. */
  count: number;
  /** Inputs: the columns of numbers that are neither label nor time. */
  fields: string[];
  /** What is not numbers, nor known to be anything else. */
  ignored: string[];
  /** Column that holds the labels of rows; null of recordings and without one. */
  labelColumn: string | null;
  /** Where labels were found: `none` when nothing has one. */
  labelFrom: Loose['labelFrom'];
  /** Recordings (or rows) a label, the most frequent first. */
  labels: Record<string, number>;
  /** Whether the labels are measured values rather than classes. */
  measured: boolean;
  /** Hz; null of rows. */
  rateHz: number | null;
  rateFrom: Loose['rateFrom'] | null;
  /** Of recordings: what they are made of. */
  loose: Loose | null;
}

interface SurveyOptions {
  /** Folder of CSV recordings, or a CSV file of rows. */
  path: string;
  labelFrom?: LabelFrom | undefined;
  /** Hz, of recordings. */
  rateHz?: number | undefined;
}

/** Columns may be called anything, fields of a project are words. */
function fieldNames(columns: string[]): string[] {
  const names: string[] = [];
  for (const column of columns) {
    const name = column
      .trim()
      .replace(/[^A-Za-z0-9_]+/g, '_')
      .replace(/^_+|_+$/g, '')
      .replace(/^(?=\d|$)/, '_');
    names.push(names.includes(name) ? `${name}_${names.length + 1}` : name);
  }
  return names;
}

/** From so many different numbers on, a label is a value that was measured. */
const leastValues = 20;

/**
 * Looks at data of one's own: what its columns are, where its labels are, how often it was measured.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_DATA_EMPTY, AIOT_CSV_*, AIOT_USAGE (what does not go with rows)
 */
export async function surveyData(options: SurveyOptions): Promise<Survey> {
  const path = resolve(options.path);
  const found = await stat(path).catch(() => null);
  if (!found) throw new AiotError('AIOT_FILE_NOT_FOUND', `no such file or folder: ${path}`);
  return found.isDirectory()
    ? await surveyRecordings({ ...options, path })
    : await surveyRows({ ...options, path });
}

async function surveyRecordings({ path, labelFrom, rateHz }: SurveyOptions): Promise<Survey> {
  const loose = await openLoose({
    paths: [path],
    ...(labelFrom !== undefined && { labelFrom }),
    ...(rateHz !== undefined && { rateHz }),
  });
  const { dataset, rateFrom } = loose;
  const labels = counted(dataset.recordings.flatMap(({ label }) => label ?? []));
  return {
    path,
    kind: 'recordings',
    count: dataset.recordings.length,
    fields: fieldNames(dataset.fields),
    ignored: [],
    labelColumn: null,
    labelFrom: Object.keys(labels).length === 0 ? 'none' : loose.labelFrom,
    labels,
    measured: false,
    rateHz: rateFrom === 'assumed' ? assumedHz : dataset.rateHz,
    rateFrom,
    loose,
  };
}

async function surveyRows({ path, labelFrom = 'auto', rateHz }: SurveyOptions): Promise<Survey> {
  const column = labelFrom.startsWith('column:') ? labelFrom.slice('column:'.length) : undefined;
  if (rateHz !== undefined || labelFrom === 'name' || labelFrom === 'folder') {
    const flag = rateHz !== undefined ? '--rate' : `--label-from ${labelFrom}`;
    throw new AiotError('AIOT_USAGE', `${flag} is for a folder of recordings; ${path} is a file of rows`, {
      next: 'Name the folder, or the column that holds the labels: --label-from column:NAME',
    });
  }
  const seen = await dataStatistics({ path, label: column });
  const inputs = seen.fields.filter(({ kind }) => kind === 'number');
  if (inputs.length === 0) {
    throw new AiotError(
      'AIOT_CSV_COLUMNS',
      `${path}: expected columns of numbers, got ${seen.fields.map(({ name }) => name).join(', ')}`,
    );
  }
  const label = labelFrom === 'none' ? null : seen.label;
  const words = label?.categories ?? [];
  const labels = Object.fromEntries(words.map(({ word, count }) => [word, count]));
  return {
    path,
    kind: 'rows',
    count: seen.rows,
    fields: inputs.map(({ name }) => name),
    ignored: [...seen.ignored, ...seen.fields.filter(({ kind }) => kind === 'text').map(({ name }) => name)],
    labelColumn: label?.name ?? null,
    labelFrom: label ? 'column' : 'none',
    labels,
    measured:
      label !== null &&
      words.every(({ word }) => Number.isFinite(Number(word))) &&
      (words.length === 0 || words.length >= leastValues),
    rateHz: null,
    rateFrom: null,
    loose: null,
  };
}

function counted(labels: string[]): Record<string, number> {
  const counts = new Map<string, number>();
  for (const label of labels) counts.set(label, (counts.get(label) ?? 0) + 1);
  return Object.fromEntries([...counts].sort(([, a], [, b]) => b - a));
}

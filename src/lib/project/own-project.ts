import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { Document, isNode, isScalar, YAMLMap, YAMLSeq } from 'yaml';
import { AiotError } from '../core/errors.js';
import { telemetryNames } from '../core/names.js';
import { checkTimes } from '../data/check/times.js';
import { accelerationAxis as axis, chooseFeatures } from '../data/features/choose.js';
import { dataStatistics, type Statistics } from '../data/statistics.js';
import { fieldsOfColumns, rolesInFile, type TimeColumn, timeColumnOf } from '../data/tables/columns.js';
import { assumedHz, type LabelFrom, type Loose, openLoose } from '../data/tables/loose-recordings.js';
import type { Finding } from '../data/types.js';
import { accelerationUnitOf } from '../data/units.js';
import type { Separators } from '../formats/csv/cells.js';
import { modelMemoryOf } from '../model/bundle/board-memory.js';
import { type ChipName, chips } from '../model/fit/chips.js';
import { signalBytes } from '../signal/chip-memory.js';

/** Path of the rows in a project. */
export const rowsFile = 'data/rows.csv';

/** Length of a window, s. The window is shorter if the recordings are too short. */
const windowSeconds = 2;

/** Minimum length of a window, samples. Two seconds of a slow sensor would be a single sample. */
const leastWindow = 16;

/**
 * Maximum number of classes listed in aiot.yaml. If there are more classes, none are listed, and training determines the classes from the
 * rows.
 */
const mostClasses = 20;

const header = (about: string) => ` yaml-language-server: $schema=aiot.schema.json
 ${about}
 Every step (training, evaluation, the bundle, the devices) is derived from this file; \`aiot docs project\` explains each field.`;

/**
 * The aiot.yaml of a project for the user's own data. The file contains the detected properties, and remarks about properties that could
 * not be detected.
 * @param chip target chip; absent = a Raspberry Pi or a server, without a memory limit
 */
export function composeProject(name: string, survey: Survey, chip?: ChipName): string {
  const { kind, count, fields } = survey;
  const rows = kind === 'rows';
  const doc = new Document({
    name,
    ...(rows
      ? declarable(fields) && { stream: { topic: name, fields: fieldsOf(survey) } }
      : streamOf(survey, name, chip)),
    model: modelOf(survey, chip),
    pipeline: { selector: 'all' },
  });
  doc.commentBefore = header(
    rows
      ? `${count} rows of ${fields.length} inputs each: the model predicts one row at a time.`
      : `${count} recordings of ${fields.length} fields. Add ${Object.keys(survey.units).length < fields.length ? 'their units and ' : ''}ranges of plausible values.`,
  );
  remark(
    doc,
    ['stream', 'topic'],
    `devices send to aiot/v1/DEVICE/telemetry/${name}, as aiot device simulate does with ${rows ? 'these rows' : 'these recordings'}`,
  );
  remark(
    doc,
    ['signal', 'rate'],
    survey.rateFrom === 'assumed' ? 'Hz, assumed: the files do not contain it' : 'Hz',
  );
  const shortened = chip && shortenedWindow(survey, chip);
  remark(
    doc,
    ['signal', 'window'],
    shortened ? `samples, not ${shortened.from}: ${shortened.reason}` : 'samples',
  );
  remark(doc, ['signal', 'stride'], 'samples from one prediction to the next');
  if (!rows && isSound(survey, chip)) {
    remark(doc, ['signal', 'features'], 'coefficients of the spectrum of each frame, as for spoken words');
    remark(doc, ['model', 'vote'], 'a sound is detected if two of three windows agree');
  }
  remark(
    doc,
    ['pipeline', 'selector'],
    'devices to which aiot pipeline run rolls out the model, replacing their current one',
  );
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
    ['model', 'layers'],
    ['signal', 'mel'],
    ['model', 'table', 'inputs'],
  ])
    inline(doc.getIn(path));
  for (const part of ['stream', 'signal', 'model', 'pipeline']) {
    const pair = (doc.contents as unknown as YAMLMap).items.find(
      ({ key }) => isScalar(key) && key.value === part,
    );
    if (isNode(pair?.key)) pair.key.spaceBefore = true;
  }
  doc.comment = gates;
  return doc.toString({ lineWidth: 0 });
}

/** Comment for `model.accept`. The comment is needed because every model is published if there are no limits. */
const gates =
  ' model.accept sets limits for a model, such as { macroF1: 0.9 } for at least 0.9: aiot model push rejects a model that misses one.';

function remark(doc: Document, path: string[], text: string | undefined): void {
  const node = doc.getIn(path, true);
  if (text !== undefined && isNode(node)) node.comment = ` ${text}`;
}

function inline(node: unknown): void {
  if (node instanceof YAMLMap || node instanceof YAMLSeq) node.flow = true;
}

/** Whether all columns of a table have names that stream.fields allows. The others are only in model.table.inputs. */
function declarable(columns: readonly string[]): boolean {
  return columns.every((name) => /^[A-Za-z_][A-Za-z0-9_]*$/.test(name) && !telemetryNames.has(name));
}

/** Declared fields; a unit is stated only where it is known. */
function fieldsOf({ fields, units, accelerationUnit }: Survey) {
  const unitOf = (field: string) => units[field] ?? (axis.test(field) ? accelerationUnit : null) ?? '';
  return Object.fromEntries(fields.map((field) => [field, { unit: unitOf(field) }]));
}

/** Minimum sampling rate, Hz, and lengths, s, of recordings in which words can be recognized. */
const soundLimits = { rateHz: 8000, shortest: 0.5, longest: 5 };

/**
 * Whether the recordings are classes of sound, which get the features and the network of the template keyword-spotting. The default firmware
 * of chips has too little memory for them.
 */
function isSound(survey: Survey, chip: ChipName | undefined): boolean {
  const { kind, fields, rateHz, labels, measured } = survey;
  if (chip !== undefined || kind === 'rows' || measured || Object.keys(labels).length < 2) return false;
  if (fields.length !== 1 || fields[0] !== 'sound' || rateHz! < soundLimits.rateHz) return false;
  const seconds = lengthsOf(survey).map((length) => length / rateHz!);
  return seconds.every((each) => each >= soundLimits.shortest && each <= soundLimits.longest);
}

/** Samples of each recording. */
function lengthsOf({ loose }: Survey): number[] {
  return loose!.dataset.recordings.map(({ columns }) => columns[0]!.length);
}

function shortestOf(survey: Survey): number {
  return lengthsOf(survey).reduce((least, length) => Math.min(least, length));
}

/** Windows of one second, with the frames of the template keyword-spotting. */
function soundSignalOf(survey: Survey) {
  const rate = survey.rateHz!;
  const [frame, hop] = [Math.round(rate / 25), Math.round(rate / 50)];
  const high = Math.min(7600, Math.floor(0.475 * rate));
  return {
    rate,
    window: Math.min(Math.round(rate), shortestOf(survey)),
    stride: Math.round(rate / 5),
    features: 'mfcc',
    mel: { frame, hop, bands: 40, low: 60, high, coefficients: 13 },
  };
}

/** Training steps of a sound network; the template keyword-spotting takes about as many. */
const soundSteps = 500;

/** Each recording has two altered copies. */
const soundCopies = 2;

function soundModelOf(survey: Survey) {
  const { window, stride } = soundSignalOf(survey);
  const windows = lengthsOf(survey).reduce(
    (sum, length) => sum + Math.floor((length - window) / stride) + 1,
    0,
  );
  const steps = Math.ceil((trainedShare * windows * (1 + soundCopies)) / batch);
  return {
    kind: 'ds-cnn',
    layers: [32, 48, 64, 64],
    train: {
      ...{ epochs: Math.min(100, Math.max(25, Math.ceil(soundSteps / steps))), batch, seed: 7 },
      learningRate: 0.002,
      augment: { sound: { copies: soundCopies, snr: [5, 30], shift: 0.1, speed: 0.1, reverb: 0.15 } },
    },
    vote: 'majority:3',
  };
}

function streamOf(survey: Survey, topic: string, chip: ChipName | undefined) {
  const { fields, rateHz, loose } = survey;
  if (isSound(survey, chip))
    return { stream: { topic, fields: fieldsOf(survey) }, signal: soundSignalOf(survey) };
  const window = windowOf(survey, chip);
  const spec = {
    ...{ fields, rateHz: rateHz!, lowpassHz: null, resampleHz: rateHz! },
    ...{ windowSamples: window, strideSamples: Math.ceil(window / 2) },
  };
  const recordings = loose!.dataset.recordings.map((recording) => ({ ...recording, fields }));
  return {
    stream: {
      topic,
      fields: fieldsOf(survey),
    },
    signal: {
      rate: rateHz!,
      window,
      stride: spec.strideSamples,
      features: chooseFeatures(spec, recordings).features,
    },
  };
}

/**
 * Window length in samples. At least four windows fit into the shortest recording. For a chip, the model and the trial of its next version
 * fit together into the default firmware's memory for models. If this would make the window too short, only the model itself has to fit.
 */
function windowOf(survey: Survey, chip: ChipName | undefined): number {
  return fittingWindow(survey, chip).window;
}

/** `models`: number of the model's versions that fit into the chip's memory with this window, 2 for updates over the air. */
function fittingWindow(survey: Survey, chip: ChipName | undefined): { window: number; models: number } {
  const wanted = wantedWindow(survey);
  const memory = chip && modelMemoryOf(chip);
  if (memory == null) return { window: wanted, models: 2 };
  for (const [models, least] of [
    [2, leastForUpdates],
    [1, leastWindow],
  ] as const) {
    for (let window = wanted; window >= least; window--)
      if (models * (spectralBytes(survey, window) + room.network) + room.trial <= memory)
        return { window, models };
  }
  return { window: Math.min(wanted, leastWindow), models: 1 };
}

/** The reason why the window is shorter than the recordings and their rate suggest; null if the window has that length. */
export function shortenedWindow(survey: Survey, chip: ChipName): { from: number; reason: string } | null {
  const from = survey.kind === 'rows' ? 0 : wantedWindow(survey);
  if (survey.kind === 'rows') return null;
  const { window, models } = fittingWindow(survey, chip);
  if (window >= from) return null;
  const memory = `the memory of the ${chips[chip].title}'s default firmware`;
  const reason =
    models === 2
      ? `more would not fit into ${memory} during an update`
      : `more would not fit into ${memory}. For updates over the air, choose fewer`;
  return { from, reason };
}

function wantedWindow(survey: Survey): number {
  const { rateHz } = survey;
  const wanted = Math.max(leastWindow, Math.round(windowSeconds * rateHz!));
  return Math.max(1, Math.min(wanted, Math.floor(shortestOf(survey) / 4), 4096));
}

/** Memory of spectral features, bytes. Lengths with large prime factors need more, because of their Fourier transform. */
function spectralBytes({ fields, rateHz }: Survey, window: number): number {
  const spec = { fields, rateHz: rateHz!, lowpassHz: null, resampleHz: rateHz! };
  return signalBytes({ ...spec, windowSamples: window, strideSamples: 1, features: 'spectral' });
}

function modelOf(survey: Survey, chip: ChipName | undefined) {
  const { labelColumn, fields, measured, labels, kind } = survey;
  const names = Object.keys(labels).sort();
  const rows = kind === 'rows';
  const classes = !measured && names.length > 1;
  const sound = isSound(survey, chip) ? soundModelOf(survey) : {};
  return {
    ...(rows && {
      table: { file: rowsFile, ...(labelColumn !== null && { label: labelColumn }), inputs: fields },
    }),
    kind: classes || measured ? 'mlp' : 'autoencoder',
    ...(measured && { output: 'value' }),
    ...(classes &&
      names.length <= mostClasses && { labels: Object.fromEntries(names.map((label) => [label, [label]])) }),
    ...(!rows && { split: 'recording' }),
    train: { epochs: rows ? 50 : epochsFor(survey, chip), batch, seed: 7 },
    quantize: 'int8',
    ...(chip && { accept: { arena: arenaOf(chip) } }),
    ...sound,
  };
}

/**
 * Memory of a small network besides its features, and of its trial, bytes. 36 inputs, layers of 32 and 16 and three classes need 2,562 and
 * 3,544 (`deviceNeed`), and the firmware up to 2 KiB more.
 */
const room = { network: 2562 + 2048, trial: 3544 };

/** Shortest window, samples, that is accepted so that a second version can be updated over the air beside the active one. */
const leastForUpdates = 64;

/** Windows per training step. */
const batch = 32;

/** Share of the recordings that a split uses for training. */
const trainedShare = 0.6;

/**
 * Training steps that a small network needs until its loss on the validation set stops falling. With 50 epochs, 15 recordings of 12 s gave
 * 200 steps, and 73 % of the windows were right. 400 epochs gave 94 %; a linear model gets 97 %.
 */
const leastSteps = 2000;

/** Number of epochs with enough training steps, because the recordings may have few windows. */
function epochsFor(survey: Survey, chip: ChipName | undefined): number {
  const lengths = survey.loose!.dataset.recordings.map(({ columns }) => columns[0]!.length);
  const window = windowOf(survey, chip);
  const stride = Math.ceil(window / 2);
  const windows = lengths.reduce((sum, length) => sum + Math.floor((length - window) / stride) + 1, 0);
  const steps = Math.ceil((trainedShare * windows) / batch);
  return Math.min(400, Math.max(50, 10 * Math.ceil(leastSteps / steps / 10)));
}

/** At most half of the chip's free memory, as a power of two. */
function arenaOf(chip: ChipName): string {
  const { ram, reservedRam } = chips[chip];
  return `${2 ** Math.floor(Math.log2((ram - reservedRam) / 1024 / 2))}KiB`;
}

/** Properties of the user's data, which are detected before the project is created. */
export interface Survey {
  /** Absolute path of the folder or file. */
  path: string;
  /** `recordings`: a folder of time series; `rows`: a file of independent examples. */
  kind: 'recordings' | 'rows';
  /** Number of recordings, or of rows. */
  count: number;
  /** Inputs: the numeric columns other than the label and the time. */
  fields: string[];
  /** Columns that are not numeric and have no recognized role. */
  ignored: string[];
  /** Label column of rows; null for recordings, and if there are no labels. */
  labelColumn: string | null;
  /** Source of the labels; `none` if there are no labels. */
  labelFrom: Loose['labelFrom'];
  /** Whether the label column was chosen by its values, because no column has a usual name for labels. */
  labelGuessed: boolean;
  /** Number of recordings (or rows) per label, most frequent first. */
  labels: Record<string, number>;
  /** Whether the labels are numeric values rather than classes. */
  measured: boolean;
  /** Sampling rate, Hz; null for rows. */
  rateHz: number | null;
  rateFrom: Loose['rateFrom'] | null;
  /** The time column, which is not an input; null if there is none. */
  time: TimeColumn | null;
  /** How the cells of the files are separated; null = by commas. */
  separators: Separators | null;
  /** Units of fields according to the header; fields without one are missing. */
  units: Readonly<Record<string, string>>;
  /** Unit of an accelerometer's axes, according to the size of gravity; null = the header states it, there are none, or it fits no unit. */
  accelerationUnit: 'g' | 'm/s²' | null;
  /** Problems of the time columns. */
  findings: Finding[];
  /** The recordings, as read from the files; null for rows. */
  loose: Loose | null;
}

interface SurveyOptions {
  /** Folder of CSV recordings, or a CSV file of rows. */
  path: string;
  labelFrom?: LabelFrom | undefined;
  /** Sampling rate of recordings, Hz. */
  rateHz?: number | undefined;
}

/** Minimum number of distinct values for a numeric label to be a measured value rather than a class. */
const leastValues = 20;

/**
 * Examines the user's data: its columns, labels and sampling rate.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_DATA_EMPTY, AIOT_CSV_*, AIOT_USAGE (options that do not apply to rows)
 */
export async function surveyData(options: SurveyOptions): Promise<Survey> {
  const path = resolve(options.path);
  const found = await stat(path).catch(() => null);
  if (!found) throw new AiotError('AIOT_FILE_NOT_FOUND', `the file or folder ${path} does not exist`);
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
  if (labelFrom === 'folder' && Object.keys(labels).length === 0)
    throw new AiotError('AIOT_USAGE', `--label-from folder: ${path} has no folders named after labels`, {
      next: 'Move the files into one folder per label, or omit --label-from.',
    });
  const declared = fieldsOfColumns(dataset.fields);
  const fields = declared.map(({ name }) => name);
  const stated = declared.filter(({ unit }) => unit !== '');
  return {
    path,
    kind: 'recordings',
    count: dataset.recordings.length,
    fields,
    units: Object.fromEntries(stated.map(({ name, unit }) => [name, unit])),
    ignored: [],
    labelColumn: null,
    labelFrom: Object.keys(labels).length === 0 ? 'none' : loose.labelFrom,
    labelGuessed: false,
    labels,
    measured: false,
    rateHz: rateFrom === 'assumed' ? assumedHz : dataset.rateHz,
    rateFrom,
    time: loose.time,
    separators: loose.separators,
    accelerationUnit: stated.some(({ name }) => axis.test(name))
      ? null
      : accelerationUnitOf(dataset.recordings, fields),
    findings: checkTimes(loose),
    loose,
  };
}

async function surveyRows({ path, labelFrom = 'auto', rateHz }: SurveyOptions): Promise<Survey> {
  const column = labelFrom.startsWith('column:') ? labelFrom.slice('column:'.length) : undefined;
  if (rateHz !== undefined || labelFrom === 'name' || labelFrom === 'folder') {
    const flag = rateHz !== undefined ? '--rate' : `--label-from ${labelFrom}`;
    throw new AiotError('AIOT_USAGE', `${flag} needs a folder of recordings, but ${path} is a table`, {
      next: 'Specify the folder, or the label column: --label-from column:NAME',
    });
  }
  const first = await dataStatistics({ path, label: column });
  const likely = labelFrom === 'auto' && first.label === null ? likelyLabel(first) : undefined;
  const seen = likely === undefined ? first : await dataStatistics({ path, label: likely });
  const inputs = seen.fields.filter(({ kind }) => kind === 'number');
  if (inputs.length === 0) {
    throw new AiotError(
      'AIOT_CSV_COLUMNS',
      `${path}: expected numeric columns, got ${seen.fields.map(({ name }) => name).join(', ')}`,
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
    labelGuessed: likely !== undefined,
    labels,
    measured:
      label !== null &&
      words.every(({ word }) => Number.isFinite(Number(word))) &&
      (words.length === 0 || words.length >= leastValues),
    rateHz: null,
    rateFrom: null,
    ...(await timeAndSeparatorsIn(path)),
    units: {},
    accelerationUnit: null,
    findings: [],
    loose: null,
  };
}

/**
 * The label column of a table whose header names none: the only column with words, if there are few different ones and each occurs
 * several times. Undefined if there is no such column.
 */
function likelyLabel({ fields, rows }: Statistics): string | undefined {
  const texts = fields.filter(({ kind }) => kind === 'text');
  const words = texts[0]?.categories ?? [];
  const few = words.length >= 2 && words.length <= Math.min(20, rows / 5);
  return texts.length === 1 && few && words.every(({ count }) => count > 1) ? texts[0]!.name : undefined;
}

/** The time column of a table, according to its first rows, and how its cells are separated. */
async function timeAndSeparatorsIn(path: string): Promise<Pick<Survey, 'time' | 'separators'>> {
  const { names, cells, time, separators } = await rolesInFile(path);
  if (time === null) return { time: null, separators };
  const { seconds: _, ...column } = timeColumnOf(time, cells[names.indexOf(time)]!);
  return { time: column, separators };
}

function counted(labels: string[]): Record<string, number> {
  const counts = new Map<string, number>();
  for (const label of labels) counts.set(label, (counts.get(label) ?? 0) + 1);
  return Object.fromEntries([...counts].sort(([, a], [, b]) => b - a));
}

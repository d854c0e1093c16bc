import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { AiotError } from '../../core/errors.js';
import { namePattern } from '../../core/names.js';
import { seededRandom } from '../../core/numbers.js';
import { loadProject, type Project } from '../../core/project.js';
import { withoutExtension } from '../../data/dataset/read.js';
import { type MotorState, motorFields, motorSamples } from '../../data/motor.js';
import { fieldNames } from '../../data/tables/columns.js';
import { readLooseFile } from '../../data/tables/loose-file.js';
import { assumedHz } from '../../data/tables/loose-recordings.js';
import type { Recording } from '../../data/types.js';
import { telemetryMembers } from '../protocol/messages.js';

/** The source of a device's samples. */
export interface Sensor {
  /** Fields of one sample, in order. */
  fields: string[];
  rateHz: number;
  /** Size of a recorded picture, in pixels. */
  size?: Recording['size'];
  /** Each call starts at the first sample. Endless for a live sensor. */
  samples(): Iterable<ArrayLike<number>>;
}

/** Checks that a telemetry message can carry the fields, rate and names. @throws AIOT_RECORDING_UNFIT */
export function checkSensor({ fields, rateHz }: Sensor, recordingId: string, stream: string): void {
  const unfit = (message: string) => new AiotError('AIOT_RECORDING_UNFIT', `${recordingId}: ${message}`);
  if (!namePattern.test(recordingId))
    throw unfit('expected an id of letters, digits, dot, dash or underscore');
  if (!namePattern.test(stream)) throw unfit(`"${stream}" is not a stream name`);
  if (!(rateHz > 0)) throw unfit(`expected a rate above 0 Hz, got ${rateHz}`);
  if (fields.length === 0) throw unfit('expected at least one field, got none');
  const taken = fields.find((field) => telemetryMembers.has(field));
  if (taken) throw unfit(`a field cannot be named ${taken}, which is reserved in telemetry messages`);
}

/** A sensor that replays a recording. The whole recording is checked before the first sample is sent. @throws AIOT_RECORDING_UNFIT */
export function recordingSensor(recording: Recording): Sensor {
  const { id, fields, rateHz, columns, size } = recording;
  const count = columns[0]?.length ?? 0;
  const unfit = (message: string) => new AiotError('AIOT_RECORDING_UNFIT', `${id}: ${message}`);
  if (count === 0) throw unfit('expected at least one sample, got none');
  fields.forEach((field, f) => {
    const column = columns[f] ?? [];
    if (column.length !== count) throw unfit(`${field}: expected ${count} samples, got ${column.length}`);
    const bad = column.findIndex((value) => !Number.isFinite(value));
    if (bad >= 0) throw unfit(`${field}: sample ${bad + 1}: expected a finite number, got ${column[bad]}`);
  });
  return {
    fields,
    rateHz,
    ...(size && { size }),
    *samples() {
      for (let i = 0; i < count; i++) yield columns.map((column) => column[i] as number);
    },
  };
}

/** A simulated shaded-pole motor in this state. The same seed yields the same samples. */
export function motorSensor(options: { state: MotorState; rateHz: number; seed: number }): Sensor {
  const { state, rateHz, seed } = options;
  return {
    fields: [...motorFields],
    rateHz,
    samples: () => motorSamples({ state, rateHz, random: seededRandom(seed) }),
  };
}

/** Rows of a project's table that a virtual device sends per second. Each row is an independent sample without a rate. */
const tableHz = 1;

/**
 * Reads a file of samples: CSV with one column per field, sound with one field per channel, or a picture, whose pixels are its samples. A time column is used only for the rate.
 * @param rateHz null: the rate of the time column or of the sound, else one row per second for the project's table, else the rate of the project above the file, else 100 Hz
 * @throws AIOT_FILE_NOT_FOUND, AIOT_FILE_MALFORMED, AIOT_CSV_*, AIOT_PROJECT_INVALID
 */
export async function readRecording(file: string, rateHz: number | null): Promise<Recording> {
  const project = await projectAbove(file).catch((error: unknown) => {
    if (rateHz === null) throw error;
    return null;
  });
  const table = project?.config.model.table;
  const isTable = table !== undefined && join(project!.dir, table.file) === resolve(file);
  const { fields, columns, size, ...own } = await readLooseFile(file, {
    ...(rateHz === null ? {} : { rateHz }),
    // A device sends only numbers.
    ignoreWords: true,
    ...(isTable && table.label !== undefined ? { labelColumn: table.label } : {}),
  });
  const stated = rateHz ?? own.rateHz ?? (isTable ? tableHz : null);
  return {
    id: withoutExtension(basename(file)),
    label: null,
    device: null,
    rateHz: stated ?? project?.config.signal.rate ?? assumedHz,
    startedAt: null,
    fields: fieldNames(fields),
    columns,
    ...(size && { size }),
  };
}

/**
 * Flags of `aiot device simulate` for samples of the project in a folder, or else of the only project in its subfolders. The samples are
 * the table, the first recording, or a simulated motor if that provides the project's fields. Null without such a project, and for a
 * project whose samples a virtual device cannot send.
 */
export async function suitableSource(folder = '.'): Promise<string[] | null> {
  if (existsSync(join(folder, 'aiot.yaml'))) return sourceIn(folder);
  const names = await readdir(folder).catch(() => []);
  const projects = names.filter((name) => existsSync(join(folder, name, 'aiot.yaml')));
  return projects.length === 1 ? sourceIn(join(folder, projects[0]!)) : null;
}

async function sourceIn(folder: string): Promise<string[] | null> {
  const project = await loadProject(folder).catch(() => null);
  if (!project) return null;
  const { topic, fields } = project.config.stream;
  const names = Object.keys(fields);
  if (names.length === motorFields.length && motorFields.every((name) => names.includes(name)))
    return ['--motor', 'healthy', ...(topic === motorStream ? [] : ['--stream', topic])];
  const recording = await firstRecording(project);
  if (recording === null) return null;
  const stream = topic === defaultStream ? [] : ['--stream', topic];
  return ['--recording', join(folder, recording), ...stream, '--loop'];
}

/** Default streams of a recording outside projects and of a simulated motor: those of the templates. */
export const defaultStream = 'motion';
export const motorStream = 'shaded-pole-motor-sensor_data';

/** Stream of the project above a recording; null = there is no valid project. */
export async function streamAbove(file: string): Promise<string | null> {
  const project = await projectAbove(file).catch(() => null);
  return project?.config.stream.topic ?? null;
}

/** Path of the table or of the first recording in a project's data folder, relative to the project; null if there is none. */
async function firstRecording({ dir, config }: Project): Promise<string | null> {
  const table = config.model.table?.file;
  if (table !== undefined && existsSync(join(dir, table))) return table;
  const folder = join('data', 'recordings');
  const names = await readdir(join(dir, folder)).catch(() => []);
  const [first] = names.filter((name) => /\.(csv|wav|png|jpe?g)$/i.test(name)).sort();
  return first === undefined ? null : join(folder, first);
}

/** The project in the nearest folder above a file that has an aiot.yaml; null = there is none. @throws AIOT_PROJECT_INVALID */
async function projectAbove(file: string): Promise<Project | null> {
  for (let folder = dirname(resolve(file)); ; folder = dirname(folder)) {
    if (existsSync(join(folder, 'aiot.yaml'))) return loadProject(folder);
    if (folder === dirname(folder)) return null;
  }
}

/** Parses `max`, or a factor greater than 0 and at most 1000. @throws AIOT_USAGE */
export function parseSpeed(text: string): number | 'max' {
  if (text === 'max') return text;
  const factor = Number(text);
  if (factor > 0 && factor <= 1000) return factor;
  throw new AiotError('AIOT_USAGE', `expected a speed of max, or a factor such as 1 or 10; got "${text}"`);
}

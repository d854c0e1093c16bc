import * as z from 'zod';
import { dictionary } from '../../core/names.js';
import type { Project } from '../../core/project.js';
import { windowCount } from '../../signal/pipeline.js';
import { type SignalSpec, signalSpecOf } from '../../signal/spec.js';
import { checkAlone } from '../check/check.js';
import { rangesOf, repeatShare } from '../check/recordings.js';
import type { Dataset, Finding, Recording } from '../types.js';
import { boxSchema } from './listing.js';
import { openDataset } from './open.js';
import { unknownRecording } from './write.js';

export const recordingLineSchema = z.object({
  id: z.string(),
  label: z.string().nullable(),
  device: z.string().nullable(),
  rateHz: z.number(),
  /** Time of the first sample, ms since 1970. */
  startedAt: z.number().nullable(),
  samples: z.int(),
  seconds: z.number(),
  /** Size of a picture, in pixels; absent = not a picture. */
  size: z.object({ width: z.int(), height: z.int() }).optional(),
  /** Number of objects with each label in an annotated picture; absent = not annotated. */
  objects: z.record(z.string(), z.int()).optional(),
  /** Kinds of problems that were found without comparing this recording with others, as in `data check`; absent = none. */
  problems: z.array(z.string()).optional(),
});

export type RecordingLine = z.output<typeof recordingLineSchema>;

export const summarySchema = z.object({
  name: z.string(),
  fields: z.array(z.string()),
  rateHz: z.number(),
  samples: z.int(),
  seconds: z.number(),
  /** Counts by label. Unlabeled recordings are counted under an empty name. */
  labels: z.record(z.string(), z.object({ recordings: z.int(), samples: z.int(), seconds: z.number() })),
  /** Objects in annotated pictures by label; absent = no picture is annotated. */
  objects: z.record(z.string(), z.int()).optional(),
  recordings: z.array(recordingLineSchema),
  digest: z.string(),
});

export type DatasetSummary = z.output<typeof summarySchema>;

/** Counts of a project's recordings. */
export async function summarizeProject(project: Project, folder?: string): Promise<DatasetSummary> {
  const dataset = await openDataset(project, folder);
  const summary = datasetSummary(dataset);
  const findings = problemsOf(dataset, project);
  const recordings = summary.recordings.map((line) => {
    const own = findings.filter(({ files }) => files.includes(line.id));
    return own.length === 0 ? line : { ...line, problems: [...new Set(own.map(({ kind }) => kind))] };
  });
  return { ...summary, recordings };
}

/** Errors and warnings about single recordings that can be found without comparing recordings. */
function problemsOf(dataset: Dataset, { config }: Project): Finding[] {
  const finds = config.model.kind === 'fomo';
  return checkAlone(dataset, signalSpecOf(config), rangesOf(config)).filter(
    // Pictures with objects have no label.
    ({ severity, kind }) => severity !== 'info' && !(finds && kind === 'label'),
  );
}

/** Counts of a dataset's recordings, in total and by label. Annotated pictures have no label, but their objects do. */
export function datasetSummary(dataset: Dataset): DatasetSummary {
  const { name, fields, rateHz, digest } = dataset;
  const recordings = dataset.recordings.map(recordingLine);
  const labels: DatasetSummary['labels'] = dictionary();
  const objects: Record<string, number> = dictionary();
  for (const { label, samples, seconds, objects: own } of recordings) {
    for (const [name, count] of Object.entries(own ?? {})) objects[name] = (objects[name] ?? 0) + count;
    if (own && label === null) continue;
    labels[label ?? ''] ??= { recordings: 0, samples: 0, seconds: 0 };
    const sum = labels[label ?? '']!;
    sum.recordings++;
    sum.samples += samples;
    sum.seconds += seconds;
  }
  const samples = recordings.reduce((sum, line) => sum + line.samples, 0);
  const annotated = recordings.some(({ objects: own }) => own !== undefined);
  const counts = { samples, seconds: samples / rateHz, labels, ...(annotated && { objects }) };
  return { name, fields, rateHz, ...counts, recordings, digest };
}

export function recordingLine(recording: Recording): RecordingLine {
  const { id, label, device, rateHz, startedAt, columns, boxes, size } = recording;
  const samples = columns[0]?.length ?? 0;
  const length = { samples, seconds: samples / rateHz, ...(size && { size }) };
  const line = { id, label, device, rateHz, startedAt, ...length };
  if (!boxes) return line;
  const objects: Record<string, number> = dictionary();
  for (const box of boxes) objects[box.label] = (objects[box.label] ?? 0) + 1;
  return { ...line, objects };
}

export const recordingDetailSchema = recordingLineSchema.extend({
  /** Number of model inputs (windows) in the recording. */
  windows: z.int(),
  /** Share of rows that repeat the previous row, 0..1. */
  repeats: z.number(),
  /** Problems of this recording, as sentences. */
  findings: z.array(z.string()),
  /** Objects in an annotated picture, in pixels of the picture. */
  boxes: z.array(boxSchema).optional(),
  fields: z.array(
    z.object({
      name: z.string(),
      min: z.number(),
      max: z.number(),
      mean: z.number(),
      deviation: z.number(),
    }),
  ),
});

export type RecordingDetail = z.output<typeof recordingDetailSchema>;

/** Summary of one recording. @throws AIOT_NOT_FOUND */
export async function showRecording(project: Project, id: string, folder?: string): Promise<RecordingDetail> {
  const dataset = await openDataset(project, folder);
  const recording = dataset.recordings.find((candidate) => candidate.id === id);
  if (recording) {
    const alone = { ...dataset, recordings: [recording] };
    const findings = problemsOf(alone, project).map(({ message }) => message);
    return { ...recordingDetail(recording, signalSpecOf(project.config)), findings };
  }
  throw unknownRecording(
    id,
    dataset.recordings.map((candidate) => candidate.id),
    'aiot data show',
  );
}

/** Summary of one recording. */
function recordingDetail(recording: Recording, spec: SignalSpec): Omit<RecordingDetail, 'findings'> {
  const line = recordingLine(recording);
  const fields = recording.fields.map((name, f) => ({ name, ...statisticsOf(recording.columns[f]!) }));
  return {
    ...line,
    windows: windowCount(spec, line.samples),
    repeats: repeatShare(recording.columns),
    ...(recording.boxes && { boxes: recording.boxes }),
    fields,
  };
}

function statisticsOf(column: Float64Array) {
  let min = Number.POSITIVE_INFINITY;
  let max = Number.NEGATIVE_INFINITY;
  let sum = 0;
  for (const value of column) {
    if (value < min) min = value;
    if (value > max) max = value;
    sum += value;
  }
  const mean = sum / column.length;
  let squares = 0;
  for (const value of column) squares += (value - mean) ** 2;
  return { min, max, mean, deviation: Math.sqrt(squares / column.length) };
}

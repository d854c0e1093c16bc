import * as z from 'zod';
import { lostSchema } from '../damage.js';
import { name, time } from '../fields.js';
import { pageQuerySchema, pageSchema, queryFlagSchema } from '../page.js';

/** Counts of one stream, and of one of its recordings. */
const counts = {
  messages: z.int(),
  samples: z.int(),
  /** On disk. */
  bytes: z.int(),
  /** Messages that came again: they were dropped. */
  duplicates: z.int(),
};

/** GET /datasets → {datasets, next}; one dataset a telemetry stream. `labels`: label → number of recordings. */
export const datasetInfoSchema = z.object({
  name,
  recordings: z.int(),
  ...counts,
  labels: z.record(z.string(), z.int()),
});
export type DatasetInfo = z.output<typeof datasetInfoSchema>;
export const datasetsSchema = pageSchema('datasets', datasetInfoSchema);

/** A label of a part of a recording: between these times of the device's clock, both in it. */
export const labelSpanSchema = z.object({ label: z.string(), from: z.number(), to: z.number() });
export type LabelSpan = z.output<typeof labelSpanSchema>;

export const storedRecordingSchema = z.object({
  id: name,
  device: name,
  /** Of the whole recording. */
  label: z.string().nullable(),
  /** Labels of parts, as they are now. */
  parts: z.array(labelSpanSchema),
  rateHz: z.number(),
  ...counts,
  /** By the device's clock, where it tells a time. */
  startedAt: time.nullable(),
  endedAt: time.nullable(),
  /** Numbers that never came, between the first and the last that did. */
  missing: z.int(),
  /** Messages that came after a newer one; more than a minute after their time; with a time a minute ahead or more. */
  outOfOrder: z.int(),
  late: z.int(),
  future: z.int(),
  /** When the first and the last message came, by the platform's clock. */
  firstAt: time.nullable(),
  lastAt: time.nullable(),
});
export type StoredRecording = z.output<typeof storedRecordingSchema>;

/** GET /datasets/{stream}?device&label → a page of its recordings, by device and name. */
export const datasetSchema = z.object({
  name,
  fields: z.array(z.string()),
  ...pageSchema('recordings', storedRecordingSchema).shape,
});
export type DatasetListing = z.output<typeof datasetSchema>;
export const recordingsQuerySchema = pageQuerySchema.extend({
  device: name.optional(),
  label: z.string().max(256).optional(),
});

/** GET /datasets/{stream}/recordings/{device}/{recording}/about */
export const recordingShownSchema = storedRecordingSchema.extend({
  stream: name,
  fields: z.array(z.string()),
  /** Who said what, oldest first; `label` null took one back. */
  history: z.array(
    z.object({
      at: time,
      who: z.string(),
      label: z.string().nullable(),
      from: z.number().nullable(),
      to: z.number().nullable(),
    }),
  ),
});
export type RecordingShown = z.output<typeof recordingShownSchema>;

/** GET /datasets/{stream}/recordings/{device}/{recording}/points?points&from&to */
export const pointsQuerySchema = z.object({
  /** Rows at most, but for those of pauses. */
  points: z.coerce.number().int().min(10).max(20_000).default(2000),
  /** ms since 1970, both in it. */
  from: z.coerce.number().optional(),
  to: z.coerce.number().optional(),
});
/** Samples as a plot needs them. */
export const recordingPointsSchema = z.object({
  fields: z.array(z.string()),
  /** Samples that the rows stand for. */
  samples: z.int(),
  /** Rows are the least and the greatest values of stretches of time; false = they are the samples. */
  reduced: z.boolean(),
  /** ms since 1970, rising. */
  t: z.array(z.number()),
  /** Values of each field, in the order of `fields`; null = none, as in the row of a pause. */
  columns: z.array(z.array(z.number().nullable())),
});
export type RecordingPoints = z.output<typeof recordingPointsSchema>;

const labelShape = {
  device: name,
  recording: name,
  /** null takes the label back. */
  label: z.string().min(1).max(256).nullable(),
  /** ms since 1970, both or none: of a part of the recording. */
  from: z.number().optional(),
  to: z.number().optional(),
};
const spansFit = ({ from, to }: { from?: number | undefined; to?: number | undefined }) =>
  (from === undefined) === (to === undefined) && (from === undefined || from < (to ?? from));
const spanRule = { error: 'expected both from and to, from before to', path: ['from'] };

/** POST /labels: what the operator says was recorded. The last word counts. */
export const labelRequestSchema = z.strictObject({ stream: name, ...labelShape }).refine(spansFit, spanRule);
export type LabelRequest = z.output<typeof labelRequestSchema>;

/** POST /datasets/{stream}/labels: many at once, all or none. */
export const labelsRequestSchema = z.strictObject({
  labels: z.array(z.strictObject(labelShape).refine(spansFit, spanRule)).min(1).max(10_000),
});
export type LabelsRequest = z.output<typeof labelsRequestSchema>;
export const labelsReplySchema = z.object({ labels: z.int() });

/** Columns of an export before the stream's fields. */
export const exportColumns = ['device', 'recording', 'seq', 't', 'label'] as const;
export const exportFormats = ['csv', 'ndjson', 'parquet'] as const;
export type ExportFormat = (typeof exportFormats)[number];

/** GET /datasets/{stream}/export: every sample a row, with device, recording, number, time and label. */
export const exportQuerySchema = z.object({
  format: z.enum(exportFormats).default('csv'),
  device: name.optional(),
  recording: name.optional(),
  label: z.string().max(256).optional(),
  /** ms since 1970, both in it. */
  from: z.coerce.number().optional(),
  to: z.coerce.number().optional(),
});
/** Trailer of an export's answer (RFC 9110, 6.5): JSON of `ExportSummary`. Without it the export has broken off. */
export const exportTrailer = 'aiot-export';
export const exportSummarySchema = z.object({
  /** Rows in the file; 0 where nobody counts them. */
  rows: z.int(),
  /** Rows that were stored and cannot be read. The first of the places; `more`: how many there are besides. */
  damaged: z.object({ rows: z.int(), places: z.array(lostSchema), more: z.int() }),
});
export type ExportSummary = z.output<typeof exportSummarySchema>;
export type ExportQuery = Partial<z.output<typeof exportQuerySchema>>;

/** DELETE /datasets/{stream}/recordings?device&recording&dryRun: what was, or would be, removed. */
export const removalQuerySchema = z.object({
  device: name,
  /** All of the device's, when absent. */
  recording: name.optional(),
  /** Labelled ones, too: somebody took the trouble to say what they are. */
  labelled: queryFlagSchema.default(false),
  dryRun: queryFlagSchema.default(false),
});
export const removedRecordingsSchema = z.object({
  recordings: z.array(
    z.object({ stream: name, device: name, recording: name, samples: z.int(), bytes: z.int() }),
  ),
  /** Not removed, for a label protects them. */
  kept: z.int(),
  /** Of what was removed; and what the disk has back already (null: the database sees to it). */
  bytes: z.int(),
  freed: z.int().nullable(),
  dryRun: z.boolean(),
});
export type RemovedRecordings = z.output<typeof removedRecordingsSchema>;

/** GET /retention → {policies}, PUT and DELETE /retention/{stream}: null = no limit. */
export const retentionRequestSchema = z.strictObject({
  /** Since a recording's last message came. */
  days: z.number().positive().max(36_500).nullable(),
  /** Of the stream; the oldest recordings go first. */
  bytes: z.int().positive().nullable(),
  /** Labelled recordings go, too. */
  labelled: z.boolean(),
});
export type RetentionRequest = z.output<typeof retentionRequestSchema>;
export const retentionSchema = z.object({ stream: name, ...retentionRequestSchema.shape });
export type Retention = z.output<typeof retentionSchema>;
export const retentionsSchema = pageSchema('policies', retentionSchema);
/** POST /retention/run: carries the policies out now. */
export const retentionRunSchema = z.strictObject({
  stream: name.optional(),
  dryRun: z.boolean().default(false),
});

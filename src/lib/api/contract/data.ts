import * as z from 'zod';
import { lostSchema } from '../damage.js';
import { name, selectorSchema, time } from '../fields.js';
import { pageQuerySchema, pageSchema, queryFlagSchema } from '../page.js';
import { endpoint } from './endpoint.js';

/** Fields that streams and recordings share. */
const counts = {
  messages: z.int(),
  samples: z.int(),
  /** Size on disk, bytes. */
  bytes: z.int(),
  /** Number of duplicate messages, which were dropped. */
  duplicates: z.int(),
};

/** GET /datasets → {datasets, next}; one dataset per telemetry stream. `labels`: label → number of recordings. */
export const datasetInfoSchema = z.object({
  name,
  recordings: z.int(),
  ...counts,
  labels: z.record(z.string(), z.int()),
});
export type DatasetInfo = z.output<typeof datasetInfoSchema>;
export const datasetsSchema = pageSchema('datasets', datasetInfoSchema);

/** Label of a part of a recording, between two times of the device's clock (inclusive). */
export const labelSpanSchema = z.object({ label: z.string(), from: z.number(), to: z.number() });
export type LabelSpan = z.output<typeof labelSpanSchema>;

export const storedRecordingSchema = z.object({
  id: name,
  device: name,
  /** Label of the whole recording. */
  label: z.string().nullable(),
  /** Current labels on parts of the recording. */
  parts: z.array(labelSpanSchema),
  rateHz: z.number(),
  ...counts,
  /** Time of the first message, by the device's clock if messages have a time. */
  startedAt: time.nullable(),
  /** Time of the newest message, by the device's clock if messages have a time. */
  endedAt: time.nullable(),
  /** Number of messages that never arrived, according to the sequence numbers. */
  missing: z.int(),
  /** Number of messages that arrived after a newer one. */
  outOfOrder: z.int(),
  /** Number of messages that arrived more than a minute late. */
  late: z.int(),
  /** Number of messages whose time was at least a minute ahead. */
  future: z.int(),
  /** Arrival of the first message, by the platform's clock. */
  firstAt: time.nullable(),
  /** Arrival of the last message, by the platform's clock. */
  lastAt: time.nullable(),
});
export type StoredRecording = z.output<typeof storedRecordingSchema>;

/** GET /datasets/{stream}?selector&label → a page of its recordings, by device and name. */
export const datasetSchema = z.object({
  name,
  fields: z.array(z.string()),
  ...pageSchema('recordings', storedRecordingSchema).shape,
});
export type DatasetListing = z.output<typeof datasetSchema>;
export const recordingsQuerySchema = pageQuerySchema.extend({
  selector: selectorSchema.optional(),
  label: z.string().max(256).optional(),
});

/** GET /datasets/{stream}/recordings/{device}/{recording}/about */
export const recordingShownSchema = storedRecordingSchema.extend({
  stream: name,
  fields: z.array(z.string()),
  /** All label changes, oldest first. A change with a `label` of null removed a label. */
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
  /** Maximum number of rows, excluding rows that mark pauses. */
  points: z.coerce.number().int().min(10).max(20_000).default(2000),
  /** Time range, ms since 1970, inclusive. */
  from: z.coerce.number().optional(),
  to: z.coerce.number().optional(),
});
/** Samples for a plot. */
export const recordingPointsSchema = z.object({
  fields: z.array(z.string()),
  /** Number of samples represented by the rows. */
  samples: z.int(),
  /** Whether the rows are the minimum and maximum of time intervals; if not, they are the samples. */
  reduced: z.boolean(),
  /** Times of the rows, ms since 1970, ascending. */
  t: z.array(z.number()),
  /** Values of each field, in the order of `fields`. null = no value. A row that marks a pause contains only null values. */
  columns: z.array(z.array(z.number().nullable())),
});
export type RecordingPoints = z.output<typeof recordingPointsSchema>;

const labelShape = {
  device: name,
  recording: name,
  /** The label; null removes it. */
  label: z.string().min(1).max(256).nullable(),
  /** Start of the part to label, ms since 1970; requires `to`. Without `from` and `to`, the label applies to the whole recording. */
  from: z.number().optional(),
  /** End of the part to label, ms since 1970; requires `from`. */
  to: z.number().optional(),
};
const spansFit = ({ from, to }: { from?: number | undefined; to?: number | undefined }) =>
  (from === undefined) === (to === undefined) && (from === undefined || from < (to ?? from));
const spanRule = { error: 'expected both from and to, with from before to', path: ['from'] };

/** POST /labels: sets an operator's label on a recording. The latest label applies. */
export const labelRequestSchema = z.strictObject({ stream: name, ...labelShape }).refine(spansFit, spanRule);
export type LabelRequest = z.output<typeof labelRequestSchema>;

/** POST /datasets/{stream}/labels: sets many labels at once, all or none. */
export const labelsRequestSchema = z.strictObject({
  labels: z.array(z.strictObject(labelShape).refine(spansFit, spanRule)).min(1).max(10_000),
});
export type LabelsRequest = z.output<typeof labelsRequestSchema>;
export const labelsReplySchema = z.object({ labels: z.int() });

/** A recording whose label would improve a model, with the reasons. */
const rankedRecordingSchema = z.object({
  device: name,
  recording: name,
  /** From 0 to 1: 1 − (1 − uncertainty) · (1 − novelty). */
  score: z.number().min(0).max(1),
  /** Mean entropy of the predictions, as a share of its maximum; null if the model does not predict classes. */
  uncertainty: z.number().min(0).max(1).nullable(),
  /** Share of the windows that are unlike all training windows. */
  novelty: z.number().min(0).max(1),
  /** The most frequent prediction, and its share of the windows; null if the model does not predict classes. */
  predicted: z.object({ class: z.string().max(256), share: z.number().min(0).max(1) }).nullable(),
  /** `DEVICE/RECORDING` that ranks higher and resembles this one; null = none. */
  similarTo: z.string().max(200).nullable(),
});
export type RankedRecording = z.output<typeof rankedRecordingSchema>;

/** PUT /datasets/{stream}/suggestions: replaces the stream's ranking. */
export const rankingRequestSchema = z.strictObject({
  /** Name of the model that ranked the recordings. */
  model: name,
  /** Labels that the model was trained with. */
  labels: z.array(z.string().min(1).max(256)).max(1000),
  /** Best first. */
  recordings: z.array(rankedRecordingSchema).max(1000),
});
export type RankingRequest = z.output<typeof rankingRequestSchema>;

/** GET /datasets/{stream}/suggestions */
export const rankingSchema = z.object({
  /** Name of the model that ranked the recordings; null = the stream has no ranking. */
  model: name.nullable(),
  at: time.nullable(),
  who: z.string().nullable(),
  labels: z.array(z.string()),
  /** Recordings that still exist and have no label, best first. */
  recordings: z.array(rankedRecordingSchema),
});
export type Ranking = z.output<typeof rankingSchema>;

/** The columns of an export that precede the stream's fields. */
export const exportColumns = ['device', 'recording', 'seq', 't', 'label'] as const;
export const exportFormats = ['csv', 'ndjson', 'parquet'] as const;
export type ExportFormat = (typeof exportFormats)[number];

/** GET /datasets/{stream}/export: one row per sample, with device, recording, sequence number, time and label. */
export const exportQuerySchema = z.object({
  format: z.enum(exportFormats).default('csv'),
  selector: selectorSchema.optional(),
  recording: name.optional(),
  label: z.string().max(256).optional(),
  /** Time range, ms since 1970, inclusive. */
  from: z.coerce.number().optional(),
  to: z.coerce.number().optional(),
});
/** Trailer of an export response (RFC 9110, 6.5), with `ExportSummary` as JSON. If it is missing, the export is incomplete. */
export const exportTrailer = 'aiot-export';
export const exportSummarySchema = z.object({
  /** Number of rows in the file; 0 if they are not counted. */
  rows: z.int(),
  /** Stored rows that cannot be read: their number, the first few damaged places, and the number of others. */
  damaged: z.object({ rows: z.int(), places: z.array(lostSchema), more: z.int() }),
});
export type ExportSummary = z.output<typeof exportSummarySchema>;
export type ExportQuery = Partial<z.output<typeof exportQuerySchema>>;

/** DELETE /datasets/{stream}/recordings?device&recording&dryRun: recordings that were, or would be, removed. */
export const removalQuerySchema = z.object({
  device: name,
  /** Name of the recording; absent = all recordings of the device. */
  recording: name.optional(),
  /** Whether labeled recordings are removed too; otherwise, they are protected. */
  labelled: queryFlagSchema.default(false),
  dryRun: queryFlagSchema.default(false),
});
export const removedRecordingsSchema = z.object({
  recordings: z.array(
    z.object({ stream: name, device: name, recording: name, samples: z.int(), bytes: z.int() }),
  ),
  /** Number of recordings that were not removed, because a label protects them. */
  kept: z.int(),
  /** Size of the removed recordings, and the disk space already freed, in bytes (null = the database frees it later). */
  bytes: z.int(),
  freed: z.int().nullable(),
  dryRun: z.boolean(),
});
export type RemovedRecordings = z.output<typeof removedRecordingsSchema>;

/** GET /retention → {policies}, PUT and DELETE /retention/{stream}. null = no limit. */
export const retentionRequestSchema = z.strictObject({
  /** Days after a recording's last message at which the recording is removed. */
  days: z.number().positive().max(36_500).nullable(),
  /** Maximum size of the stream; the oldest recordings are removed first. */
  bytes: z.int().positive().nullable(),
  /** Whether labeled recordings are removed too. */
  labelled: z.boolean(),
});
export type RetentionRequest = z.output<typeof retentionRequestSchema>;
export const retentionSchema = z.object({ stream: name, ...retentionRequestSchema.shape });
export type Retention = z.output<typeof retentionSchema>;
export const retentionsSchema = pageSchema('policies', retentionSchema);
/** POST /retention/run: applies the policies now. */
export const retentionRunSchema = z.strictObject({
  stream: name.optional(),
  dryRun: z.boolean().default(false),
});

/** GET and PUT /log-retention: how long the log lines of devices are kept. null = no limit. */
export const logRetentionRequestSchema = z.strictObject({
  /** Days after the last line of a device's day at which the lines of that day are removed. */
  days: z.number().min(1).max(36_500).nullable(),
  /** Maximum size of the lines of all devices; the oldest days are removed first. The lines of the current day are never removed. */
  bytes: z.int().min(1_000_000).nullable(),
});
export type LogRetentionRequest = z.output<typeof logRetentionRequestSchema>;
export const logRetentionSchema = z.object(logRetentionRequestSchema.shape);
export type LogRetention = z.output<typeof logRetentionSchema>;
/** POST /log-retention/run: applies the policy now. */
export const logRetentionRunSchema = z.strictObject({ dryRun: z.boolean().default(false) });
export const removedLogsSchema = z.object({
  /** Number of recordings, each with the lines of one device and day, that were, or would be, removed. */
  recordings: z.int(),
  lines: z.int(),
  bytes: z.int(),
  /** The lines arrived before this time, ms since 1970. */
  before: z.number(),
  /** Disk space already freed, in bytes (null = the database frees it later). */
  freed: z.int().nullable(),
  dryRun: z.boolean(),
});
export type RemovedLogs = z.output<typeof removedLogsSchema>;

export const datasets = {
  list: endpoint('GET /datasets', {
    reach: 'filtered',
    summary: 'All datasets',
    query: pageQuerySchema,
    result: datasetsSchema,
    list: 'datasets',
  }),
  recordings: endpoint('GET /datasets/:stream', {
    reach: 'filtered',
    summary: "A stream's recordings",
    query: recordingsQuerySchema,
    result: datasetSchema,
    errors: ['AIOT_SELECTOR_INVALID'],
  }),
  /** Exports one row per sample. */
  export: endpoint('GET /datasets/:stream/export', {
    reach: 'filtered',
    summary: "A stream's samples as a file",
    query: exportQuerySchema,
    errors: ['AIOT_SELECTOR_INVALID'],
  }),
  /** Returns the recording as CSV, with a header row of the fields. */
  csv: endpoint('GET /datasets/:stream/recordings/:device/:recording', {
    reach: 'named',
    summary: 'One recording as CSV',
  }),
  show: endpoint('GET /datasets/:stream/recordings/:device/:recording/about', {
    reach: 'named',
    summary: 'Statistics of one recording, with its labels',
    result: recordingShownSchema,
  }),
  /** Data for a plot of one recording. */
  points: endpoint('GET /datasets/:stream/recordings/:device/:recording/points', {
    reach: 'named',
    summary: 'Points of one recording for plotting, up to a maximum number of rows',
    query: pointsQuerySchema,
    result: recordingPointsSchema,
  }),
  remove: endpoint('DELETE /datasets/:stream/recordings', {
    reach: 'filtered',
    summary: "Remove a device's recordings",
    query: removalQuerySchema,
    result: removedRecordingsSchema,
  }),
  /** @returns number of labels set */
  label: endpoint('POST /datasets/:stream/labels', {
    reach: 'filtered',
    summary: 'Label many recordings at once',
    body: labelsRequestSchema,
    result: labelsReplySchema,
    list: 'labels',
    // A label takes about 100 bytes, at most 600.
    largestBody: 8 * 1024 ** 2,
  }),
  suggestions: endpoint('GET /datasets/:stream/suggestions', {
    reach: 'filtered',
    summary: 'Recordings to label next, as ranked by `data suggest --publish`',
    result: rankingSchema,
  }),
  suggest: endpoint('PUT /datasets/:stream/suggestions', {
    summary: "Replace a stream's ranking of recordings to label next",
    body: rankingRequestSchema,
    result: rankingSchema,
    largestBody: 2 * 1024 ** 2,
  }),
};

export const labels = {
  /** Labels a recording. The latest label applies. */
  post: endpoint('POST /labels', {
    reach: 'filtered',
    summary: 'Label a recording',
    access: 'ci',
    body: labelRequestSchema,
    result: labelRequestSchema,
    errors: ['AIOT_NOT_FOUND'],
  }),
};

const params = z.object({ stream: retentionSchema.shape.stream });

export const retention = {
  list: endpoint('GET /retention', {
    summary: 'Retention policies, by stream',
    query: pageQuerySchema,
    result: retentionsSchema,
    list: 'policies',
  }),
  set: endpoint('PUT /retention/:stream', {
    summary: "Set a stream's retention policy",
    params,
    body: retentionRequestSchema,
    result: retentionSchema,
  }),
  /** Removes the policy, so that data is no longer removed because of age or size. */
  remove: endpoint('DELETE /retention/:stream', {
    summary: "Remove a stream's retention policy",
    params,
    result: retentionSchema,
  }),
  run: endpoint('POST /retention/run', {
    summary: 'Apply the retention policies now, or list what they would remove',
    body: retentionRunSchema,
    result: removedRecordingsSchema,
  }),
};

export const logRetention = {
  get: endpoint('GET /log-retention', {
    summary: 'How long the log lines of devices are kept',
    result: logRetentionSchema,
  }),
  set: endpoint('PUT /log-retention', {
    summary: 'Set how long the log lines of devices are kept',
    body: logRetentionRequestSchema,
    result: logRetentionSchema,
  }),
  run: endpoint('POST /log-retention/run', {
    summary: 'Remove expired log lines now, or count them',
    body: logRetentionRunSchema,
    result: removedLogsSchema,
  }),
};

import { text } from 'node:stream/consumers';
import type { z } from 'zod';
import { bodyOf } from '../errors.js';
import { everyPage } from '../page.js';
import type { Transport } from '../transport.js';
import {
  type DatasetInfo,
  type DatasetListing,
  datasetSchema,
  datasetsSchema,
  type ExportQuery,
  type ExportSummary,
  exportSummarySchema,
  exportTrailer,
  type LabelRequest,
  type LabelsRequest,
  labelRequestSchema,
  labelsReplySchema,
  type RecordingPoints,
  type RecordingShown,
  type RemovedRecordings,
  type Retention,
  type RetentionRequest,
  recordingPointsSchema,
  recordingShownSchema,
  removedRecordingsSchema,
  retentionSchema,
  retentionsSchema,
} from './bodies.js';

const part = encodeURIComponent;

/** `?a=1&b=x` of what is given. */
function queryOf(values: Record<string, string | number | boolean | undefined>): string {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(values)) if (value !== undefined) query.set(key, String(value));
  return query.size === 0 ? '' : `?${query}`;
}

/** null: a platform of an earlier version says nothing. */
function summaryIn(trailer: string | undefined): ExportSummary | null {
  if (trailer === undefined) return null;
  try {
    return exportSummarySchema.safeParse(JSON.parse(trailer)).data ?? null;
  } catch {
    return null;
  }
}

export function datasetCalls(transport: Transport) {
  const path = (stream: string) => `/datasets/${part(stream)}`;
  const recordingPath = (stream: string, device: string, recording: string) =>
    `${path(stream)}/recordings/${part(device)}/${part(recording)}`;
  return {
    list: (): Promise<DatasetInfo[]> =>
      everyPage(async (query) => {
        const { datasets, next } = await transport.json('GET', `/datasets?${query}`, datasetsSchema);
        return { entries: datasets, next };
      }),
    page: (query: { limit?: number; after?: string } = {}): Promise<z.output<typeof datasetsSchema>> =>
      transport.json('GET', `/datasets${queryOf(query)}`, datasetsSchema),
    /** With all of its recordings. */
    get: async (stream: string): Promise<DatasetListing> => {
      let head: DatasetListing | undefined;
      const recordings = await everyPage(async (query) => {
        head = await transport.json('GET', `${path(stream)}?${query}`, datasetSchema);
        return { entries: head.recordings, next: head.next };
      });
      return { ...(head as DatasetListing), recordings, next: null };
    },
    recordings: (
      stream: string,
      query: { device?: string; label?: string; limit?: number; after?: string } = {},
    ): Promise<DatasetListing> => transport.json('GET', `${path(stream)}${queryOf(query)}`, datasetSchema),
    show: (stream: string, device: string, recording: string): Promise<RecordingShown> =>
      transport.json('GET', `${recordingPath(stream, device, recording)}/about`, recordingShownSchema),
    /** What a plot of one recording needs. */
    points: (
      stream: string,
      device: string,
      recording: string,
      query: { points?: number; from?: number; to?: number } = {},
    ): Promise<RecordingPoints> =>
      transport.json(
        'GET',
        `${recordingPath(stream, device, recording)}/points${queryOf(query)}`,
        recordingPointsSchema,
      ),
    /** One recording as CSV with a header of the fields. */
    csv: async (stream: string, device: string, recording: string): Promise<string> => {
      const answer = await transport.call('GET', recordingPath(stream, device, recording));
      return await text(bodyOf(answer, transport.url));
    },
    /** Every sample a row; the bytes as they come, and behind them what could not be read. */
    export: async (
      stream: string,
      query: ExportQuery,
      signal?: AbortSignal,
    ): Promise<AsyncIterable<Uint8Array> & { summary(): ExportSummary | null }> => {
      const answer = await transport.call('GET', `${path(stream)}/export${queryOf({ ...query })}`, {
        bodyTimeoutMs: 120_000,
        ...(signal ? { signal } : {}),
      });
      const summary = () => summaryIn(answer.trailers[exportTrailer]);
      return Object.assign(bodyOf(answer, transport.url), { summary });
    },
    /** @returns how many labels were given */
    label: async (stream: string, request: LabelsRequest): Promise<number> =>
      (await transport.json('POST', `${path(stream)}/labels`, labelsReplySchema, request)).labels,
    remove: (
      stream: string,
      query: { device: string; recording?: string; labelled?: boolean; dryRun?: boolean },
    ): Promise<RemovedRecordings> =>
      transport.json('DELETE', `${path(stream)}/recordings${queryOf(query)}`, removedRecordingsSchema),
  };
}

export function labelCalls(transport: Transport) {
  return {
    /** Says what was recorded; the last word counts. */
    post: (label: LabelRequest): Promise<LabelRequest> =>
      transport.json('POST', '/labels', labelRequestSchema, label),
  };
}

export function retentionCalls(transport: Transport) {
  return {
    list: (): Promise<Retention[]> =>
      everyPage(async (query) => {
        const { policies, next } = await transport.json('GET', `/retention?${query}`, retentionsSchema);
        return { entries: policies, next };
      }),
    set: (stream: string, policy: RetentionRequest): Promise<Retention> =>
      transport.json('PUT', `/retention/${part(stream)}`, retentionSchema, policy),
    /** Nothing is removed by age or size any more. @throws AIOT_NOT_FOUND */
    remove: (stream: string): Promise<Retention> =>
      transport.json('DELETE', `/retention/${part(stream)}`, retentionSchema),
    run: (request: { stream?: string; dryRun?: boolean }): Promise<RemovedRecordings> =>
      transport.json('POST', '/retention/run', removedRecordingsSchema, request),
  };
}

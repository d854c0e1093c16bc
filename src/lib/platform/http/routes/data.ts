import { Readable } from 'node:stream';
import type { FastifyReply } from 'fastify';
import * as z from 'zod';
import {
  datasetSchema,
  datasetsSchema,
  type ExportFormat,
  exportQuerySchema,
  exportTrailer,
  labelRequestSchema,
  labelsReplySchema,
  labelsRequestSchema,
  pointsQuerySchema,
  recordingPointsSchema,
  recordingShownSchema,
  recordingsQuerySchema,
  removalQuerySchema,
  removedRecordingsSchema,
  retentionRequestSchema,
  retentionRunSchema,
  retentionSchema,
  retentionsSchema,
} from '../../../registry/datasets/bodies.js';
import { pageQuerySchema } from '../../../registry/page.js';
import type { DatasetExport } from '../../datasets/datasets.js';
import type { Routes } from '../parts.js';

const stream = z.object({ stream: z.string() });
const recording = z.object({ stream: z.string(), device: z.string(), recording: z.string() });

const types: Record<ExportFormat, string> = {
  csv: 'text/csv; charset=utf-8; header=present',
  ndjson: 'application/x-ndjson',
  parquet: 'application/vnd.apache.parquet',
};

/** Says behind the bytes what could not be read. */
function summed(reply: FastifyReply, { summary }: Pick<DatasetExport, 'summary'>): FastifyReply {
  return reply.trailer(exportTrailer, async () => JSON.stringify(summary()));
}

export const dataRoutes: Routes =
  ({ datasets, labels, retention }) =>
  async (app) => {
    app.get(
      '/datasets',
      {
        schema: { summary: 'All datasets', querystring: pageQuerySchema, response: { 200: datasetsSchema } },
      },
      ({ query }) => datasets.list(query),
    );

    app.get(
      '/datasets/:stream',
      {
        schema: {
          summary: 'Recordings of a stream',
          params: stream,
          querystring: recordingsQuerySchema,
          response: { 200: datasetSchema },
        },
      },
      ({ params, query }) => datasets.get(params.stream, query),
    );

    app.get(
      '/datasets/:stream/export',
      {
        schema: { summary: 'Samples of a stream as a file', params: stream, querystring: exportQuerySchema },
      },
      async ({ params, query }, reply) => {
        const { format, ...filter } = query;
        const bytes = await datasets.export(params.stream, format, filter);
        return summed(reply, bytes)
          .type(types[format])
          .header('content-disposition', `attachment; filename="${params.stream}.${format}"`)
          .send(Readable.from(bytes));
      },
    );

    app.get(
      '/datasets/:stream/recordings/:device/:recording',
      { schema: { summary: 'One recording as CSV', params: recording } },
      async ({ params }, reply) => {
        const rows = await datasets.csv(params.stream, params.device, params.recording);
        return summed(reply, rows).type('text/csv; charset=utf-8').send(Readable.from(rows));
      },
    );

    app.get(
      '/datasets/:stream/recordings/:device/:recording/about',
      {
        schema: {
          summary: 'One recording in figures, with its labels',
          params: recording,
          response: { 200: recordingShownSchema },
        },
      },
      ({ params }) => datasets.show(params.stream, params.device, params.recording),
    );

    app.get(
      '/datasets/:stream/recordings/:device/:recording/points',
      {
        schema: {
          summary: 'One recording as a plot needs it: so many rows at most',
          params: recording,
          querystring: pointsQuerySchema,
          response: { 200: recordingPointsSchema },
        },
      },
      ({ params, query }) => datasets.points(params.stream, params.device, params.recording, query),
    );

    app.delete(
      '/datasets/:stream/recordings',
      {
        schema: {
          summary: 'Remove recordings of a device',
          params: stream,
          querystring: removalQuerySchema,
          response: { 200: removedRecordingsSchema },
        },
      },
      ({ params, query, who }) => retention.remove(params.stream, query, who),
    );

    app.post(
      '/labels',
      {
        config: { mayBeMissing: true },
        schema: {
          summary: 'Say what was recorded',
          body: labelRequestSchema,
          response: { 200: labelRequestSchema },
        },
      },
      async ({ body, who }) => {
        const { stream, ...label } = body;
        await datasets.requireRecordings(stream, [label]);
        await labels.give(stream, [label], who);
        return body;
      },
    );

    app.post(
      '/datasets/:stream/labels',
      {
        // A label is some 100 bytes, and at most 600.
        bodyLimit: 8 * 1024 ** 2,
        schema: {
          summary: 'Say what was recorded, of many recordings at once',
          params: stream,
          body: labelsRequestSchema,
          response: { 200: labelsReplySchema },
        },
      },
      async ({ params, body, who }) => {
        await datasets.requireRecordings(params.stream, body.labels);
        await labels.give(params.stream, body.labels, who);
        return { labels: body.labels.length };
      },
    );
  };

const retentionParams = z.object({ stream: retentionSchema.shape.stream });

export const retentionRoutes: Routes =
  ({ retention }) =>
  async (app) => {
    app.get(
      '/retention',
      {
        schema: {
          summary: 'How long telemetry is kept, by stream',
          querystring: pageQuerySchema,
          response: { 200: retentionsSchema },
        },
      },
      ({ query }) => retention.list(query),
    );

    app.put(
      '/retention/:stream',
      {
        schema: {
          summary: 'Keep telemetry of a stream so long',
          params: retentionParams,
          body: retentionRequestSchema,
          response: { 200: retentionSchema },
        },
      },
      ({ params, body, who }) => retention.set(params.stream, body, who),
    );

    app.delete(
      '/retention/:stream',
      {
        schema: {
          summary: 'Keep telemetry of a stream for ever',
          params: retentionParams,
          response: { 200: retentionSchema },
        },
      },
      ({ params, who }) => retention.forget(params.stream, who),
    );

    app.post(
      '/retention/run',
      {
        schema: {
          summary: 'Remove now what is due, or say what is',
          body: retentionRunSchema,
          response: { 200: removedRecordingsSchema },
        },
      },
      ({ body, who }) => retention.run(body, who),
    );
  };

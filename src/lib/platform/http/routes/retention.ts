import { z } from 'zod';
import {
  pageQuerySchema,
  removedRecordingsSchema,
  retentionRequestSchema,
  retentionRunSchema,
  retentionSchema,
  retentionsSchema,
} from '../../../registry/index.js';
import type { Routes } from '../parts.js';

const stream = z.object({ stream: retentionSchema.shape.stream });

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
          params: stream,
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
          params: stream,
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

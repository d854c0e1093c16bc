import { Readable } from 'node:stream';
import { z } from 'zod';
import { datasetSchema, labelRequestSchema, listSchemas } from '../../../registry/index.js';
import type { Routes } from '../parts.js';

const stream = z.object({ stream: z.string() });
const recording = z.object({ stream: z.string(), device: z.string(), recording: z.string() });

export const dataRoutes: Routes =
  ({ datasets, labels }) =>
  async (app) => {
    app.get(
      '/datasets',
      { schema: { summary: 'All datasets', response: { 200: listSchemas.datasets } } },
      async () => ({
        datasets: await datasets.list(),
      }),
    );

    app.get(
      '/datasets/:stream',
      { schema: { summary: 'Recordings of a stream', params: stream, response: { 200: datasetSchema } } },
      ({ params }) => datasets.get(params.stream),
    );

    app.get(
      '/datasets/:stream/recordings/:device/:recording',
      { schema: { summary: 'One recording as CSV', params: recording } },
      async ({ params }, reply) => {
        const rows = datasets.csv(params.stream, params.device, params.recording);
        return reply.type('text/csv; charset=utf-8').send(Readable.from(rows));
      },
    );

    app.post(
      '/labels',
      {
        schema: {
          summary: 'Say what was recorded',
          body: labelRequestSchema,
          response: { 200: labelRequestSchema },
        },
      },
      async ({ body }) => {
        await labels.give(body);
        return body;
      },
    );
  };

import { Readable } from 'node:stream';
import type { FastifyReply } from 'fastify';
import { contract } from '../../../api/contract/contract.js';
import { type ExportFormat, exportTrailer } from '../../../api/contract/data.js';
import { requireInReach } from '../../access/reach.js';
import type { DatasetExport } from '../../datasets/datasets.js';
import type { Routes } from '../parts.js';
import { reachFor, serve } from '../serve.js';

const types: Record<ExportFormat, string> = {
  csv: 'text/csv; charset=utf-8; header=present',
  ndjson: 'application/x-ndjson',
  parquet: 'application/vnd.apache.parquet',
};

/** Adds a trailer that reports which telemetry could not be read. */
function summed(reply: FastifyReply, { summary }: Pick<DatasetExport, 'summary'>): FastifyReply {
  return reply.trailer(exportTrailer, async () => JSON.stringify(summary()));
}

export const dataRoutes: Routes =
  ({ datasets, fleet, labels, retention, suggestions }) =>
  async (app) => {
    serve(app, contract.datasets, {
      list: ({ query, user }) => datasets.list(query, reachFor(user)),
      recordings: ({ params, query: { selector, ...query }, user }) =>
        datasets.get(params.stream, { ...query, devices: fleet.chosen(selector, reachFor(user)) }),
      export: async ({ params, query, user }, reply) => {
        const { format, selector, ...filter } = query;
        const devices = fleet.chosen(selector, reachFor(user));
        const bytes = await datasets.export(params.stream, format, {
          ...filter,
          devices,
          reach: reachFor(user),
        });
        return summed(reply, bytes)
          .type(types[format])
          .header('content-disposition', `attachment; filename="${params.stream}.${format}"`)
          .send(Readable.from(bytes));
      },
      csv: async ({ params: { stream, device, recording }, user }, reply) => {
        const rows = await datasets.csv(stream, device, recording, reachFor(user));
        return summed(reply, rows).type('text/csv; charset=utf-8').send(Readable.from(rows));
      },
      show: ({ params }) => datasets.show(params.stream, params.device, params.recording),
      points: ({ params, query }) => datasets.points(params.stream, params.device, params.recording, query),
      remove: ({ params, query, who, user }) => {
        requireInReach(reachFor(user), [query.device ?? '']);
        return retention.remove(params.stream, query, who, reachFor(user));
      },
      label: async ({ params, body, who, user }) => {
        requireInReach(
          reachFor(user),
          body.labels.map(({ device }) => device),
        );
        await datasets.requireRecordings(params.stream, body.labels);
        await labels.give(params.stream, body.labels, who);
        return { labels: body.labels.length };
      },
      suggestions: ({ params, user }) => suggestions.get(params.stream, reachFor(user)),
      suggest: ({ params, body, who }) => suggestions.set(params.stream, body, who),
    });
    serve(app, contract.labels, {
      post: async ({ body, who, user }) => {
        const { stream, ...label } = body;
        requireInReach(reachFor(user), [label.device]);
        await datasets.requireRecordings(stream, [label]);
        await labels.give(stream, [label], who);
        return body;
      },
    });
  };

export const retentionRoutes: Routes =
  ({ retention, logRetention }) =>
  async (app) => {
    serve(app, contract.retention, {
      list: ({ query }) => retention.list(query),
      set: ({ params, body, who }) => retention.set(params.stream, body, who),
      remove: ({ params, who }) => retention.forget(params.stream, who),
      run: ({ body, who }) => retention.run(body, who),
    });
    serve(app, contract.logRetention, {
      get: () => logRetention.get(),
      set: ({ body, who }) => logRetention.set(body, who),
      run: ({ body, who }) => logRetention.run(body, who),
    });
  };

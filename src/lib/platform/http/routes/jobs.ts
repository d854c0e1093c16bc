import { setTimeout as delay } from 'node:timers/promises';
import * as z from 'zod';
import { namePattern } from '../../../core/names.js';
import {
  hasJobEnded,
  jobEndSchema,
  jobProgressSchema,
  jobQuerySchema,
  jobSchema,
  jobsSchema,
  newJobSchema,
} from '../../../registry/jobs/api.js';
import {
  pipelineRunSchema,
  pipelinesSchema,
  runsQuerySchema,
  runsSchema,
  toldRunSchema,
} from '../../../registry/runs-api.js';
import { created } from '../describe.js';
import type { Routes } from '../parts.js';

const params = z.object({ id: z.string().max(100) });

/** What runs in CI says how far it is. */
const config = { access: 'ci' } as const;

/** How often a job is looked at for those who wait for it, and a comment sent when nothing has changed, ms. */
const lookEveryMs = 300;

const heartbeatMs = 15_000;

export const jobRoutes: Routes =
  ({ jobs }) =>
  async (app) => {
    app.get(
      '/jobs',
      {
        schema: { summary: 'Jobs, newest first', querystring: jobQuerySchema, response: { 200: jobsSchema } },
      },
      ({ query }) => jobs.list(query),
    );

    app.get(
      '/jobs/:id',
      { schema: { summary: 'One job', params, response: { 200: jobSchema } } },
      ({ params }) => jobs.get(params.id),
    );

    app.get(
      '/jobs/:id/events',
      {
        config: { endless: true },
        schema: { summary: 'The job at each change until it ends (server-sent events)', params },
      },
      async (request, reply) => {
        const { id } = request.params;
        // An unknown job is answered as JSON, so it is looked for before the stream begins.
        let job = await jobs.get(id);
        reply.hijack();
        const { raw } = reply;
        const ended = new AbortController();
        raw.on('close', () => ended.abort());
        raw.writeHead(200, {
          'content-type': 'text/event-stream; charset=utf-8',
          'cache-control': 'no-store',
        });
        let told = '';
        let toldAt = 0;
        while (!ended.signal.aborted) {
          const { updated: _, ...rest } = job;
          const now = JSON.stringify(rest);
          if (now !== told) raw.write(`data: ${JSON.stringify(job)}\n\n`);
          else if (performance.now() - toldAt > heartbeatMs) raw.write(': still here\n\n');
          if (now !== told || performance.now() - toldAt > heartbeatMs) toldAt = performance.now();
          told = now;
          if (hasJobEnded(job)) break;
          await delay(lookEveryMs, undefined, { signal: ended.signal }).catch(() => {});
          const again = await jobs.get(id).catch(() => null);
          if (again === null) break;
          job = again;
        }
        raw.end();
      },
    );

    app.post(
      '/jobs',
      {
        config,
        schema: { summary: 'Begin a job', body: newJobSchema, response: { 201: jobSchema } },
      },
      async ({ body, who }, reply) => {
        const job = await jobs.create(body, who);
        return created(reply, 'jobs', job.id).send(job);
      },
    );

    app.post(
      '/jobs/:id/cancel',
      { config, schema: { summary: 'Say that a job is to end', params, response: { 200: jobSchema } } },
      ({ params, who }) => jobs.cancel(params.id, who),
    );

    app.post(
      '/jobs/:id/progress',
      {
        config,
        schema: {
          summary: 'Say how far an external job is',
          params,
          body: jobProgressSchema,
          response: { 200: jobSchema },
        },
      },
      ({ params, body }) => jobs.progress(params.id, body),
    );

    app.post(
      '/jobs/:id/end',
      {
        config,
        schema: {
          summary: 'Say how an external job ended',
          params,
          body: jobEndSchema,
          response: { 200: jobSchema },
        },
      },
      ({ params, body, who }) => jobs.finish(params.id, body, who),
    );
  };

const project = z.string().regex(namePattern);
const one = z.object({ project, run: z.string().regex(/^run_[0-9a-z]{26}$/) });

export const pipelineRoutes: Routes =
  ({ pipelineRuns }) =>
  async (app) => {
    app.get(
      '/pipelines',
      {
        schema: {
          summary: 'Projects whose pipelines were run, by name, each with its newest run',
          querystring: runsQuerySchema,
          response: { 200: pipelinesSchema },
        },
      },
      ({ query }) => pipelineRuns.projects(query),
    );

    app.get(
      '/pipelines/:project/runs',
      {
        schema: {
          summary: 'Runs of a project’s pipeline, newest first',
          params: z.object({ project }),
          querystring: runsQuerySchema,
          response: { 200: runsSchema },
        },
      },
      ({ params, query }) => pipelineRuns.list(params.project, query),
    );

    app.get(
      '/pipelines/:project/runs/:run',
      { schema: { summary: 'One run, with its steps', params: one, response: { 200: pipelineRunSchema } } },
      ({ params: { project, run } }) => pipelineRuns.get(project, run),
    );

    app.put(
      '/pipelines/:project/runs/:run',
      {
        config: { access: 'ci' },
        schema: {
          summary: 'Say how a run stands',
          params: one,
          body: toldRunSchema,
          response: { 200: pipelineRunSchema },
        },
      },
      ({ params: { project, run }, body, who }) => pipelineRuns.tell(project, run, body, who),
    );
  };

import { setTimeout as delay } from 'node:timers/promises';
import { contract } from '../../../api/contract/contract.js';
import { hasJobEnded } from '../../../api/contract/jobs.js';
import type { Routes } from '../parts.js';
import { serve } from '../serve.js';

/**
 * Interval at which a job is queried on behalf of waiting clients, ms, and interval of the comments that are sent while nothing changes.
 */
const lookEveryMs = 300;

const heartbeatMs = 15_000;

export const jobRoutes: Routes =
  ({ jobs }) =>
  async (app) =>
    serve(app, contract.jobs, {
      list: ({ query }) => jobs.list(query),
      get: ({ params }) => jobs.get(params.id),
      events: async (request, reply) => {
        const { id } = request.params;
        // Looked up before the stream begins, because the response for an unknown job is a JSON error.
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
      create: ({ body, who }) => jobs.create(body, who),
      cancel: ({ params, who }) => jobs.cancel(params.id, who),
      progress: ({ params, body }) => jobs.progress(params.id, body),
      end: ({ params, body, who }) => jobs.finish(params.id, body, who),
    });

export const pipelineRoutes: Routes =
  ({ pipelineRuns }) =>
  async (app) =>
    serve(app, contract.pipelines, {
      projects: ({ query }) => pipelineRuns.projects(query),
      list: ({ params, query }) => pipelineRuns.list(params.project, query),
      get: ({ params: { project, run } }) => pipelineRuns.get(project, run),
      tell: ({ params: { project, run }, body, who }) => pipelineRuns.tell(project, run, body, who),
    });

export const pipelineRequestRoutes: Routes =
  ({ pipelineRequests }) =>
  async (app) => {
    serve(app, contract.pipelineRunners, {
      list: ({ query }) => pipelineRequests.runners(query),
      put: ({ params, body, who }) => pipelineRequests.putRunner(params.id, body, who),
      claim: ({ params, who }) => pipelineRequests.claim(params.id, who),
      remove: ({ params, who }) => pipelineRequests.removeRunner(params.id, who),
    });
    serve(app, contract.pipelineRequests, {
      list: ({ query }) => pipelineRequests.list(query),
      get: ({ params }) => pipelineRequests.get(params.id),
      create: ({ body, who }) => pipelineRequests.create(body, who),
      cancel: ({ params, who }) => pipelineRequests.cancel(params.id, who),
      progress: ({ params, body, who }) => pipelineRequests.progress(params.id, body, who),
      end: ({ params, body, who }) => pipelineRequests.end(params.id, body, who),
    });
  };

export const trainingRunRoutes: Routes =
  ({ trainingRuns }) =>
  async (app) =>
    serve(app, contract.trainingRuns, {
      models: ({ query }) => trainingRuns.models(query),
      list: ({ params, query }) => trainingRuns.list(params.model, query),
      publish: ({ params, body, who }) => trainingRuns.publish(params.model, body.runs, who),
    });

import { z } from 'zod';
import { namePattern } from '../../../core/index.js';
import {
  pipelineRunSchema,
  pipelinesSchema,
  runsQuerySchema,
  runsSchema,
  toldRunSchema,
} from '../../../registry/index.js';
import type { Routes } from '../parts.js';

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

import { everyPage } from './page.js';
import {
  type PipelineRun,
  pipelineRunSchema,
  pipelinesSchema,
  type RunSummary,
  runsSchema,
  type ToldRun,
} from './runs-api.js';
import type { Transport } from './transport.js';

const part = encodeURIComponent;

export function runCalls(transport: Transport) {
  const path = (project: string, run: string) => `/pipelines/${part(project)}/runs/${part(run)}`;
  return {
    /** Says how a run stands. */
    tell: (project: string, run: string, told: ToldRun): Promise<PipelineRun> =>
      transport.json('PUT', path(project, run), pipelineRunSchema, told),
    /** @throws AIOT_RUN_NOT_FOUND */
    get: (project: string, run: string): Promise<PipelineRun> =>
      transport.json('GET', path(project, run), pipelineRunSchema),
    /** Newest first. */
    list: (project: string): Promise<RunSummary[]> =>
      everyPage(async (query) => {
        const at = `/pipelines/${part(project)}/runs?${query}`;
        const { runs: entries, next } = await transport.json('GET', at, runsSchema);
        return { entries, next };
      }),
    /** By name, each with its newest run. */
    projects: (): Promise<RunSummary[]> =>
      everyPage(async (query) => {
        const at = `/pipelines?${query}`;
        const { pipelines: entries, next } = await transport.json('GET', at, pipelinesSchema);
        return { entries, next };
      }),
  };
}

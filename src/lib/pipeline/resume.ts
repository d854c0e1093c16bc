import { AiotError, loadProject } from '../core/index.js';
import { resumeOnArgo } from './argo/run-on-argo.js';
import { pipelineFolders } from './folders.js';
import { findRun, type RunRecord } from './run/record.js';
import { type RunPipelineOptions, runPipeline } from './run/run-pipeline.js';

export interface ResumePipelineOptions extends RunPipelineOptions {
  /** Id of the run, or its beginning; absent = the last one. */
  run?: string | undefined;
  /** For Argo's server (secret), where it runs there. */
  token?: string | undefined;
}

/**
 * Goes on with a run, where its steps are run.
 * @throws as runPipeline, AIOT_ARGO_*, AIOT_USAGE (it is done)
 */
export async function resumePipeline({ run, ...options }: ResumePipelineOptions): Promise<RunRecord> {
  const { dir } = await loadProject(options.dir);
  const record = await findRun(pipelineFolders(dir), run);
  if (record.state === 'done') {
    throw new AiotError('AIOT_USAGE', `run ${record.run} is done: there is nothing to go on with`, {
      next: 'aiot pipeline run',
    });
  }
  if (record.engine === 'argo') return await resumeOnArgo({ ...options, run: record.run });
  return await runPipeline({ ...options, resume: record.run });
}

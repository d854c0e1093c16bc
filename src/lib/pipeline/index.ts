/**
 * The steps from data to devices as one graph, with the steps' inputs, outputs, cached results and triggers. For this module, a step is
 * only a command with input and output files.
 */
export { type RunOnArgoOptions, runOnArgo } from './argo/run-on-argo.js';
export { graphSchema, pipelineGraph } from './graph.js';
export { stepCounts, stepLabel } from './graph-model.js';
export { planPipeline } from './plan/plan.js';
export type { PipelinePlan, PipelineStep, StepInput } from './plan/types.js';
export { type RunRecord, runRecordSchema, type StepRecord } from './run/record.js';
export { requestPipeline } from './run/request.js';
export { lineText, type RunResult, refusalOfRun, resultOfRun, runResultSchema } from './run/result.js';
export { type RunPipelineOptions, runPipeline } from './run/run-pipeline.js';
export { type RunnerEvent, runnerEventSchema, runPipelineRunner } from './run/runner.js';
export {
  cancelPipeline,
  pipelineHistory,
  pipelineStatus,
  type RunStatus,
  resumePipeline,
  runStatusSchema,
} from './status.js';
export { type WatchEvent, watchEventSchema } from './watch/watch.js';
export { watchPipeline } from './watch/watch-pipeline.js';

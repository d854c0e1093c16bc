/**
 * The steps from data to devices as one graph: what each takes and leaves, what is known already, what starts it. A step is a command
 * with files in and files out; how it works is nobody's business here.
 */
export * from './argo/index.js';
export { graphSchema, type PipelineGraph, pipelineGraph } from './graph/graph.js';
export { stepLabel } from './graph/model.js';
export { defaultStepNames } from './plan/default-steps.js';
export { upstreamOf } from './plan/order.js';
export { planPipeline } from './plan/plan.js';
export type * from './plan/types.js';
export { termText } from './plan/when.js';
export { type ResumePipelineOptions, resumePipeline } from './resume.js';
export {
  type Cause,
  type RunRecord,
  type RunState,
  runRecordSchema,
  type StepRecord,
  type StepState,
} from './run/record.js';
export { type RunResult, refusalOfRun, resultOfRun, runResultSchema } from './run/result.js';
export { type RunPipelineOptions, runPipeline } from './run/run-pipeline.js';
export {
  cancelPipeline,
  pipelineHistory,
  pipelineStatus,
  type RunStatus,
  runStatusSchema,
} from './status.js';
export { type WatchEvent, watchEventSchema } from './watch/event.js';
export { type WatchPipelineOptions, watchPipeline } from './watch/watch-pipeline.js';

/** Pipelines as templates of Argo Workflows, and their runs on a cluster. */
export { type RenderPipelineOptions, renderPipeline } from './pipeline.js';
export { type RunOnClusterOptions, runOnCluster } from './run.js';
export { pipelineFiles } from './template.js';

/** Pipelines as templates of Argo Workflows. */
export { type RenderPipelineOptions, renderPipeline } from './pipeline.js';

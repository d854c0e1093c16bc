/** Runs on a cluster, by the REST API of Argo Workflows. */
export type { ArgoAccess } from './client.js';
export { type ArgoTemplate, digestAnnotation, type RunOnArgoOptions, runOnArgo } from './run-on-argo.js';
export { outcomeParameter } from './workflow.js';

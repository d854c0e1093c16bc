/** Renders installations as readable files, checks the files, and applies them with the matching programs. */
export { type Applied, appliedSchema, applyDeployment } from './apply.js';
export { renderPipeline, runOnCluster } from './argo.js';
export { type CheckedDeployment, checkDeployment, checkedDeploymentSchema } from './check/check.js';
export { type DeployDiff, deployDiffSchema, diffDeployment } from './diff.js';
export { type Rendered, renderDeployment, renderedSchema } from './render.js';
export { type DeployStatus, deploymentStatus, deployStatusSchema } from './status.js';
export { targetNames } from './targets.js';

/** What was rendered, applied and asked after, by the programs that do that. */
export { type Applied, appliedSchema, applyDeployment } from './apply.js';
export { type DeployDiff, deployDiffSchema, diffDeployment } from './diff.js';
export { type DeployStatus, deploymentStatus, deployStatusSchema } from './status.js';

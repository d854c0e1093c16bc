/** Renders installations as files to look at, checks them, and has the programs apply them that do. */
export * from './argo/index.js';
export { type CheckedDeployment, checkDeployment, checkedDeploymentSchema } from './check/index.js';
export * from './operate/index.js';
export { type Rendered, type RenderOptions, renderDeployment, renderedSchema } from './render.js';
export { type TargetName, targetNames } from './targets.js';

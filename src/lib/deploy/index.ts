/** Renders installations as files to look at and apply; runs nothing. */
export { type Rendered, type RenderOptions, renderDeployment, renderedSchema } from './render.js';
export { type TargetName, targetNames } from './targets.js';

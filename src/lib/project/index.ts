/** Whole projects: the templates that come with aiot, and making a folder of one. */
export { initProject, initResultSchema } from './init.js';
export { findTemplates, packageRoot, type Template } from './templates.js';

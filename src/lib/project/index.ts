/** Whole projects: the templates that come with aiot, and making a folder of one. */
export { initProject, initResultSchema } from './init.js';
export { findTemplates, type Template } from './templates.js';

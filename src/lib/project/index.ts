/** Whole projects: the templates that come with aiot, making a folder of one, and running what it has beside the platform. */
export * from './firmware/index.js';
export { type InitResult, initOwnProject, initProject, initResultSchema, refuseOccupied } from './init.js';
export { type Survey, surveyData } from './own/survey.js';
export { findTemplates, type Template } from './templates.js';
export { type UpProjectOptions, upProject } from './up/up-project.js';

/** Whole projects: the templates that are part of aiot, creating a project folder, and running a project's services beside the platform. */
export {
  buildFirmware,
  type FirmwareBuild,
  firmwareBuildSchema,
  firmwareTargets,
  vendorTools,
} from './firmware/build.js';
export { firmwareInitSchema, initFirmware } from './firmware/init.js';
export { type FirmwareTest, firmwareTestSchema, testFirmware } from './firmware/test-run.js';
export { type InitResult, initOwnProject, initProject, initResultSchema, refuseOccupied } from './init.js';
export { type Survey, surveyData } from './own-project.js';
export { findTemplates } from './templates.js';
export { upProject } from './up.js';

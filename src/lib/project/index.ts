/** Whole projects: templates, creating a project's folder, building its firmware, and running its services together with the platform. */
export { alarmsOf, applyProjectAlarms, targetsOf } from './alarms.js';
export { applyProjectCommands, applyProjectSettings, commandsOf, settingsOf } from './commands.js';
export {
  buildFirmware,
  containerBuild,
  type FirmwareBuild,
  type FirmwareContainer,
  firmwareBuildSchema,
  firmwareContainerSchema,
  firmwareTargets,
  vendorTools,
} from './firmware/build.js';
export { type FirmwareProfile, firmwareProfiles } from './firmware/folder.js';
export { firmwareInitSchema, initFirmware } from './firmware/init.js';
export { createLibrary, firmwareLibrarySchema } from './firmware/library.js';
export { type FirmwareTest, firmwareTestSchema, testFirmware } from './firmware/test-run.js';
export { type InitResult, initOwnProject, initProject, initResultSchema, refuseOccupied } from './init.js';
export { type Survey, surveyData } from './own-project.js';
export { findTemplates } from './templates.js';
export { upProject } from './up.js';

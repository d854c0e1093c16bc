/**
 * Sensor → window → features → model → smoothing → outputs, unattended for months on a Pi or any Linux machine. Training changes only the
 * model's last layer, and only on request.
 */
export { motionStreams, type StageResult } from './har/layout.js';
export { serveTraining } from './model/trained.js';
export { type CheckedLoop, checkedLoopSchema, checkLoop } from './operate/check.js';
export {
  devicesFor,
  type InstalledLoop,
  installedLoopSchema,
  installLoop,
  loopUnit,
} from './operate/install.js';
export {
  type ListedLoop,
  type ListedLoops,
  listedLoopsSchema,
  listLoops,
  loopsExit,
} from './operate/list.js';
export type { LoopBegun, LoopOptions } from './run/options.js';
export { type LoopResult, loopResultSchema, stageResultSchema } from './run/result.js';
export { startLoop } from './run/run.js';
export { namesFor } from './sense/fields.js';
export type { LoopStatus } from './status.js';
export type { Answer } from './types.js';

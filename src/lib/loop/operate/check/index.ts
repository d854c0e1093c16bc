/** What a loop needs, looked at before it runs. */
export { type CheckedLoop, type CheckLoopOptions, checkedLoopSchema, checkLoop } from './check.js';
export type { CheckLine } from './line.js';

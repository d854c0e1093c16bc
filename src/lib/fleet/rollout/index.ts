export { runningOf } from './report.js';
export { type StartRollout, startRollout } from './start.js';
export { afterStep, releaseOf, rolloutStep } from './step.js';
export { DeviceTable } from './table.js';
export type * from './types.js';
export { failures, isEnd, noDevices, splitIntoWaves, underWay } from './waves.js';
export { windowIsOpen } from './window.js';
export { parseWish, wishOf } from './wish.js';

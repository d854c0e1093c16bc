/**
 * The fleet's rules: states of devices and rollouts, selectors, live figures. Pure: state in, state and effects out;
 * whoever runs them keeps the store and speaks to the devices.
 */
export { changeDevice } from './change.js';
export { type DeviceEvent, type DeviceState, deviceStep, mayConnect } from './device.js';
export {
  countInference,
  emptyCounts,
  type LiveCounts,
  liveFigures,
} from './live.js';
export * from './rehearse/index.js';
export * from './rollout/index.js';
export { parseSelector } from './selector/match.js';
export type { Selectable } from './selector/types.js';
export { compareVersions } from './selector/version.js';
export type { RolloutStore } from './store.js';

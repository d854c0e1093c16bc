/** A loop that runs for months, as others see it: its state, its pages, what systemd is told, what is checked before, its service. */

export * from './check/index.js';
export { type Health, healthOf, healthSchema } from './health.js';
export * from './install/index.js';
export {
  type ListedLoop,
  type ListedLoops,
  type ListOptions,
  listedLoopSchema,
  listedLoopsSchema,
  listLoops,
  loopsExit,
} from './list.js';
export { loopMetrics } from './metrics.js';
export { type OperateOptions, type Operation, operate } from './operate.js';
export { loopFolder } from './place.js';

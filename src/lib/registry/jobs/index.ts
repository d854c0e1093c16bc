/** Jobs: work that takes longer than a request. */
export * from './api.js';
export { jobCalls, type WaitOptions } from './calls.js';
export { type StartJobOptions, startJob } from './start.js';

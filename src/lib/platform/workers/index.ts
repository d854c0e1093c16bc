/** Work in the background, and who of several processes does it. */
export { alwaysLeader, type Campaign, type Leader } from './leader.js';
export { every, startWorkers, type Worker, WorkerStates } from './workers.js';

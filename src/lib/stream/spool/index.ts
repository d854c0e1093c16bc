/** Messages on disk for far sides that are not there: survives outages, restarts and kill -9, within a limit. */
export { type Chunk, openSpool, type Spool, type SpoolOptions } from './spool.js';
export { type SpoolState, spoolState } from './state.js';

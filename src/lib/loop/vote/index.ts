/** Votes over the classes of successive windows. */
export { createVote } from './create.js';
export type * from './types.js';

/** Which app slot a chip starts: the otadata partition. */
export { blankOtadata, firstOtadata, nextOtadata } from './next.js';
export { readOtadata } from './read.js';
export * from './types.js';

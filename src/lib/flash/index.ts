/**
 * The cable: serial lines, the chip's ROM loader, what may be written where, the monitor; and a simulated chip for all
 * of it. Makes no identities.
 */
export * from './loader/types.js';
export { type Holder, holdersOf } from './port/holders.js';
export { type OpenLineOptions, openLine } from './port/open-line.js';
export * from './port/types.js';
export * from './rom/index.js';

/**
 * The cable: serial lines, the chip's ROM loader, what may be written where, the monitor; and a simulated chip for all
 * of it. Makes no identities.
 */
export * from './board/index.js';
export { type BootText, readBootText } from './diagnose/boot-text.js';
export * from './images/index.js';
export { openLoader } from './loader/open-loader.js';
export { type BoardReset, resetBoard } from './loader/reset.js';
export * from './loader/types.js';
export * from './monitor/index.js';
export { type Holder, holdersOf } from './port/holders.js';
export { type OpenLineOptions, openLine } from './port/open-line.js';
export * from './port/types.js';
export * from './ports/index.js';
export * from './rfc2217/index.js';
export * from './rom/index.js';
export * from './write/index.js';

/** What commands are made of: the base class, the shared flags, and rendering. Knows no rule of any domain. */
export { AiotCommand } from './command.js';
export { shared } from './flags.js';
export * from './render/style.js';
export { facts, next, percent, size, table } from './render/text.js';

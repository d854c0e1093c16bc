/** Where answers go: over any sink of a stream, kept on disk while a far side is not there. */
export { type MessageOutputs, type OutputsOptions, openMessageOutputs, openOutputs } from './outputs.js';
export { type OutputSettings, outputSettings } from './settings.js';

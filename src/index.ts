/**
 * aiot for programs: what the commands do, as functions. Importing this loads nothing of it; each function loads what it
 * needs when it is called. docs/library.md has an example of each.
 */
import type * as Library from './lib/library/index.js';

export { AiotError } from './lib/core/index.js';
export type * from './lib/library/index.js';

/** Writes the flash of boards on cables. @throws AiotError, as all functions here: `code` says what, `next` what to do */
export const flash: typeof Library.flash = async (options) =>
  (await import('./lib/library/flash/index.js')).flash(options);

/** Trains a network on recordings, or on the rows of a table. */
export const train: typeof Library.train = async (options) =>
  (await import('./lib/library/train/index.js')).train(options);

/** Quantizes a float network, and measures what it lost. */
export const quantize: typeof Library.quantize = async (options) =>
  (await import('./lib/library/quantize/index.js')).quantize(options);

/** Measures a model on what it was never trained on. */
export const evaluate: typeof Library.evaluate = async (options) =>
  (await import('./lib/library/evaluate/index.js')).evaluate(options);

/** Reads a .tflite file or a bundle. */
export const inspect: typeof Library.inspect = async (file) =>
  (await import('./lib/library/inspect/index.js')).inspect(file);

/** Makes a dataset for training. */
export const extract: typeof Library.extract = async (options) =>
  (await import('./lib/library/extract/index.js')).extract(options);

/** Starts a rollout, and waits for it where it is asked to. */
export const startRollout: typeof Library.startRollout = async (options) =>
  (await import('./lib/library/rollouts/index.js')).startRollout(options);

/** Follows a rollout to its end. */
export const watchRollout: typeof Library.watchRollout = async (id, options) =>
  (await import('./lib/library/rollouts/index.js')).watchRollout(id, options);

/** The model of a loop: where it comes from, kept for when the platform is away, tried before it is used, exchanged while it runs. */
export { openModel } from './open-model.js';
export type { ModelOptions } from './options.js';

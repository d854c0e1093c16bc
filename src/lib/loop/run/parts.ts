import type { ModelOptions } from '../model/options.js';
import type { ModelKeeper } from '../model-types.js';
import type { MessageOutputs, OutputsOptions } from '../output/index.js';
import type { SensingOptions } from '../sense/index.js';
import type { Outputs, Sensing } from '../types.js';

/** What a loop is put together of: the real parts, or a test's. */
export interface LoopParts {
  models(options: ModelOptions): Promise<ModelKeeper>;
  sensing(options: SensingOptions): Promise<Sensing>;
  outputs(options: OutputsOptions): Promise<Outputs>;
  messages(options: OutputsOptions): Promise<MessageOutputs>;
}

/** Loaded when a loop begins, and not with the command. */
export const realParts: LoopParts = {
  models: async (options) => (await import('../model/index.js')).openModel(options),
  sensing: async (options) => (await import('../sense/index.js')).openSensing(options),
  outputs: async (options) => (await import('../output/index.js')).openOutputs(options),
  messages: async (options) => (await import('../output/index.js')).openMessageOutputs(options),
};

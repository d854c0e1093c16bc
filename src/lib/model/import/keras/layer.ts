import type { LayerSettings } from './config.js';
import type { GraphMaker } from './maker.js';
import type { Weight } from './types.js';

/** One call of a layer. */
export interface LayerCall {
  maker: GraphMaker;
  /** The tensors it is called with. */
  inputs: number[];
  settings: LayerSettings;
  /** The layer's own name. */
  name: string;
  /** Its weights by Keras' names, in Keras' order. */
  weights(...roles: string[]): Weight[];
}

/** Adds a layer's operators to the graph; gives the index of what they make. */
export type LayerMaker = (call: LayerCall) => number;

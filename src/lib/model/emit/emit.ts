import { AiotError } from '../../core/index.js';
import type { Graph } from '../../formats/index.js';
import { emitTflm } from './tflm.js';

/** Kinds of source that can be written from a network. */
export const emits = ['tflm'] as const;
export type Emit = (typeof emits)[number];

export interface EmitOptions {
  /** The .tflite file that it is written beside: `model.tflite` gives `model.h` and `model.cc`. */
  out: string;
  graph: Graph;
  /** The file's bytes. */
  contents: Uint8Array;
  /** Name of the model. */
  name: string;
  /** Names of the classes in the order of the outputs; none where they are not known. */
  classes: readonly string[];
}

/**
 * Source of a network for a device, by path.
 * @throws AIOT_QUANTIZE_UNFIT for what the runtime does not run, AIOT_USAGE for another kind
 */
export function emitted(kind: Emit, options: EmitOptions): Map<string, string> {
  if (kind === 'tflm') return emitTflm(options);
  throw new AiotError('AIOT_USAGE', `expected --emit ${emits.join(' or ')}, got ${kind}`);
}

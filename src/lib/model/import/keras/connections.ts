import { malformed } from '../errors.js';
import type { LayerJson } from './types.js';

/** One output of one call of a layer. */
export interface Source {
  layer: string;
  /** Which of the layer's calls, from 0. */
  call: number;
}

export function nameOf(layer: LayerJson): string {
  return layer.name ?? String(layer.config.name ?? layer.class_name);
}

/**
 * What each call of a layer is called with. Keras 3 writes tensors with a `keras_history` somewhere in the arguments; Keras 2 and
 * TensorFlow.js lists of [layer, call, output, …].
 */
export function callsOf({ inbound_nodes: nodes }: LayerJson): Source[][] {
  if (!Array.isArray(nodes)) return [];
  return nodes.map((node) => (Array.isArray(node) ? node.flatMap(fromList) : tensorsIn(node)));
}

/** `input_layers` or `output_layers` of a model: one source, or a list of them. */
export function endsOf(given: unknown): Source[] {
  if (!Array.isArray(given)) throw malformed('the model does not say where it begins and ends');
  return typeof given[0] === 'string' ? fromList(given) : given.flatMap(fromList);
}

function fromList(given: unknown): Source[] {
  if (!Array.isArray(given)) return [];
  const [layer, call] = given;
  return typeof layer === 'string' ? [{ layer, call: Number(call ?? 0) }] : given.flatMap(fromList);
}

function tensorsIn(value: unknown): Source[] {
  if (Array.isArray(value)) return value.flatMap(tensorsIn);
  if (typeof value !== 'object' || value === null) return [];
  const { keras_history: history } = ((value as { config?: unknown }).config ?? {}) as {
    keras_history?: unknown;
  };
  if (history !== undefined) return fromList(history);
  return Object.values(value).flatMap(tensorsIn);
}

import { join } from 'node:path';
import type { Tensor } from '@tensorflow/tfjs-core';
import { AiotError, readBytes } from '../../../../core/index.js';
import { loadTfjs } from '../../../train/engine/tfjs/load.js';
import { malformed } from '../../errors.js';
import type { Imported } from '../../types.js';
import { followSignature } from './follow.js';
import { readGraphDef, type SavedGraph } from './graph-def.js';
import { type Constant, constant } from './value.js';

/** What is used of tfjs-node beside tfjs-core. */
interface NodeBackend {
  loadSavedModelMetaGraph(path: string, tags: string): number;
  deleteSavedModel(id: number): void;
  runSavedModel(id: number, inputs: Tensor[], infos: { name: string }[], outputs: string[]): Tensor[];
}

/**
 * A SavedModel of TensorFlow: its graph is read from saved_model.pb here, the values of its variables by tfjs-node, which restores them.
 * @throws AIOT_BACKEND_MISSING without tfjs-node; AIOT_LAYER_UNSUPPORTED, AIOT_FILE_MALFORMED
 */
export async function readSavedModel(folder: string): Promise<Imported> {
  const saved = readGraphDef(await readBytes(join(folder, 'saved_model.pb')));
  const tensorflow = await loadTfjs('node').catch((cause: unknown) => {
    if (!(cause instanceof AiotError)) throw cause;
    throw new AiotError('AIOT_BACKEND_MISSING', `a SavedModel is read with tfjs-node: ${cause.message}`, {
      cause,
      next: 'npm install @tensorflow/tfjs-node, or save the model as .keras instead',
    });
  });
  const { tf } = tensorflow;
  tensorflow.use();
  const backend = tf.backend() as unknown as NodeBackend;
  let session: number;
  try {
    session = backend.loadSavedModelMetaGraph(folder, 'serve');
  } catch (cause) {
    throw malformed(`${folder} cannot be loaded: ${(cause as Error).message}`, cause);
  }
  try {
    const { layers, ...graph } = followSignature(saved, (name) => variable(name));
    return { format: 'saved-model', writer: 'TensorFlow', layers, graph, notes: [] };
  } finally {
    backend.deleteSavedModel(session);
  }

  function variable(name: string): Constant {
    const reading = readingOf(saved, name);
    // A run wants an input; what is asked for does not depend on it.
    const input = tf.zeros(saved.input.shape.map((size) => Math.max(size, 1)));
    const [tensor] = backend.runSavedModel(session, [input], [{ name: saved.input.name }], [`${reading}:0`]);
    const values = constant([...tensor!.shape], Float32Array.from(tensor!.dataSync()));
    tf.dispose([input, tensor!]);
    return values;
  }
}

/** The node of the main graph that reads a variable. */
function readingOf({ nodes }: SavedGraph, variable: string): string {
  for (const { op, name, inputs } of nodes.values()) {
    if (op === 'ReadVariableOp' && inputs[0] === variable) return name;
  }
  throw malformed(`nothing reads the variable ${variable}`);
}

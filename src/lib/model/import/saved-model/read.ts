import { join } from 'node:path';
import type { Tensor } from '@tensorflow/tfjs-core';
import { AiotError } from '../../../core/errors.js';
import { readBytes } from '../../../core/files.js';
import type { Graph } from '../../../formats/tflite/graph.js';
import { loadTfjs } from '../../engine/tfjs/load.js';
import { malformed, unsupported } from '../errors.js';
import { GraphMaker } from '../keras/maker.js';
import type { Imported } from '../open.js';
import { fold } from './constants.js';
import {
  type Constant,
  constant,
  integers,
  type NodeDef,
  readGraphDef,
  type SavedGraph,
  tensorProto,
  type Value,
} from './graph-def.js';
import { insteadOf, operations } from './operations.js';

/** The parts of tfjs-node that are used in addition to tfjs-core. */
interface NodeBackend {
  loadSavedModelMetaGraph(path: string, tags: string): number;
  deleteSavedModel(id: number): void;
  runSavedModel(id: number, inputs: Tensor[], infos: { name: string }[], outputs: string[]): Tensor[];
}

/**
 * Reads a TensorFlow SavedModel. The graph is read from saved_model.pb here; tfjs-node restores the values of the variables.
 * @throws AIOT_BACKEND_MISSING without tfjs-node; AIOT_LAYER_UNSUPPORTED, AIOT_FILE_MALFORMED
 */
export async function readSavedModel(folder: string): Promise<Imported> {
  const saved = readGraphDef(await readBytes(join(folder, 'saved_model.pb')));
  const tensorflow = await loadTfjs('node').catch((cause: unknown) => {
    if (!(cause instanceof AiotError)) throw cause;
    throw new AiotError('AIOT_BACKEND_MISSING', `reading a SavedModel needs tfjs-node: ${cause.message}`, {
      cause,
      next: 'Run `npm install @tensorflow/tfjs-node`, or save the model as .keras.',
    });
  });
  const { tf } = tensorflow;
  tensorflow.use();
  const backend = tf.backend() as unknown as NodeBackend;
  let session: number;
  try {
    session = backend.loadSavedModelMetaGraph(folder, 'serve');
  } catch (cause) {
    throw malformed(`${folder} cannot be loaded: ${(cause as Error).message}`, { cause });
  }
  try {
    const { layers, ...graph } = followSignature(saved, (name) => variable(name));
    return { format: 'saved-model', writer: 'TensorFlow', layers, graph, notes: [] };
  } finally {
    backend.deleteSavedModel(session);
  }

  function variable(name: string): Constant {
    const reading = readingOf(saved, name);
    // A run requires an input, although the requested values do not depend on the input.
    const input = tf.zeros(saved.input.shape.map((size) => Math.max(size, 1)));
    const [tensor] = backend.runSavedModel(session, [input], [{ name: saved.input.name }], [`${reading}:0`]);
    const values = constant([...tensor!.shape], Float32Array.from(tensor!.dataSync()));
    tf.dispose([input, tensor!]);
    return values;
  }
}

/** The main graph's node that reads a variable. */
function readingOf({ nodes }: SavedGraph, variable: string): string {
  for (const { op, name, inputs } of nodes.values()) {
    if (op === 'ReadVariableOp' && inputs[0] === variable) return name;
  }
  throw malformed(`the variable ${variable} is not used`);
}

/** Reads a variable, given the name of its node in the main graph. */
type ReadVariable = (name: string) => Constant;

interface Scope {
  nodes: Map<string, NodeDef>;
  known: Map<string, Value[]>;
}

/**
 * Follows the signature of a SavedModel from its output back to its input, through the functions it calls. Values that depend only on
 * constants and variables are computed; the others become operators in a float32 graph of batch 1.
 * @throws AIOT_LAYER_UNSUPPORTED naming the operation, AIOT_FILE_MALFORMED
 */
export function followSignature(saved: SavedGraph, read: ReadVariable): Graph & { layers: number } {
  const walk = new SignatureWalk(saved, read);
  const output = walk.output();
  return { ...walk.maker.graph(walk.input, output), layers: walk.count };
}

class SignatureWalk {
  readonly maker = new GraphMaker();
  readonly input: number;
  count = 0;
  private readonly spread = new Map<number, [number, number]>();

  constructor(
    private readonly saved: SavedGraph,
    private readonly read: ReadVariable,
  ) {
    const [, ...sizes] = saved.input.shape;
    if (sizes.length === 0 || sizes.some((size) => size < 1))
      throw unsupported(
        'the input',
        `its shape is [${saved.input.shape}]`,
        'export the model with fixed sizes',
      );
    this.input = this.maker.activation(nodeName(saved.input.name), [1, ...sizes]);
  }

  output(): number {
    const known = new Map<string, Value[]>([
      [nodeName(this.saved.input.name), [{ kind: 'tensor', index: this.input }]],
    ]);
    const value = this.value({ nodes: this.saved.nodes, known }, this.saved.output);
    if (value.kind === 'tensor' && value.index !== this.input) return value.index;
    throw malformed('its output does not depend on its input');
  }

  /** The value to which a node's input refers. */
  private value(scope: Scope, reference: string): Value {
    const name = nodeName(reference);
    const place = Number(/:(\d+)$/.exec(reference)?.[1] ?? 0);
    const values = scope.known.get(name) ?? this.compute(scope, name);
    const value = values[place];
    if (value === undefined)
      throw unsupported(name, `its output ${place} is used`, 'use only its first output');
    return value;
  }

  private compute(scope: Scope, name: string): Value[] {
    const node = scope.nodes.get(name);
    if (!node) throw malformed(`${name} is used but missing`);
    // Marks the node as in progress, so that a cyclic graph does not recurse forever.
    scope.known.set(name, []);
    const values = this.run(scope, node);
    scope.known.set(name, values);
    return values;
  }

  private run(scope: Scope, node: NodeDef): Value[] {
    const inputs = () =>
      node.inputs.filter((each) => !each.startsWith('^')).map((each) => this.value(scope, each));
    switch (node.op) {
      case 'VarHandleOp':
        return [{ kind: 'variable', name: node.name }];
      case 'ReadVariableOp': {
        const [variable] = inputs();
        return [variable?.kind === 'variable' ? this.read(variable.name) : this.missing(node)];
      }
      case 'Const': {
        const tensor = node.attributes.get('value')?.message(8);
        return [tensor ? tensorProto(tensor, node.name) : this.missing(node)];
      }
      case 'Identity':
      case 'IdentityN':
      case 'StopGradient':
        return inputs();
      case 'PartitionedCall':
      case 'StatefulPartitionedCall':
        return this.call(node, inputs());
      default:
        return [this.operation(node, inputs())];
    }
  }

  private call(node: NodeDef, given: Value[]): Value[] {
    const own = this.saved.functions.get(node.attributes.get('f')?.message(10)?.text(1) ?? '');
    if (!own) throw malformed(`${node.name} calls a missing function`);
    const known = new Map(own.arguments.map((name, place): [string, Value[]] => [name, [given[place]!]]));
    return own.returns.map((reference) => this.value({ nodes: own.nodes, known }, reference));
  }

  private operation(node: NodeDef, inputs: Value[]): Value {
    const { maker } = this;
    const where = `operation ${this.count} (${node.name}, ${node.op})`;
    const [first] = inputs;
    if (node.op === 'Shape' && first?.kind === 'tensor') return integers(...maker.shape(first.index));
    if (node.op === 'StridedSlice' && first?.kind === 'constant')
      return sliced(node, inputs as Constant[], where);
    const known = inputs.every(({ kind }) => kind === 'constant') && fold(node.op, inputs as Constant[]);
    if (known) return known;
    const make = Object.hasOwn(operations, node.op) ? operations[node.op] : undefined;
    if (!make) {
      const instead = Object.hasOwn(insteadOf, node.op) ? insteadOf[node.op] : undefined;
      throw unsupported(where, `${node.op} is not supported`, instead);
    }
    this.count += 1;
    const constants = new Map<number, number>();
    const index = make({
      ...{ maker, node, where, inputs, spread: this.spread },
      tensor: (place) => {
        const value = inputs[place];
        if (value?.kind === 'tensor') return value.index;
        if (value?.kind !== 'constant' || !(value.data instanceof Float32Array))
          throw malformed(`${where}: input ${place} is not a number`);
        const made = constants.get(place) ?? maker.floats(value.data, value.shape);
        constants.set(place, made);
        return made;
      },
      constant: (place) => {
        const value = inputs[place];
        if (value?.kind === 'constant') return value;
        throw unsupported(
          where,
          `its input ${place} depends on the model's input`,
          'use constant weights and sizes',
        );
      },
    });
    return { kind: 'tensor', index };
  }

  private missing(node: NodeDef): never {
    throw malformed(`${node.name} (${node.op}) has no value`);
  }
}

/** One element or a range from a list of sizes. */
function sliced({ attributes }: NodeDef, inputs: Constant[], where: string): Constant {
  const [list, begin, end] = inputs;
  if (!list || !begin || !end || list.shape.length !== 1)
    throw unsupported(where, 'this slice of a constant is not supported');
  const bit = (name: string) => (attributes.get(name)?.integer(3) ?? 0) & 1;
  const size = list.data.length;
  const at = (value: number) => (value < 0 ? value + size : value);
  const from = bit('begin_mask') ? 0 : at(begin.data[0]!);
  if (bit('shrink_axis_mask')) return constant([], list.data.slice(from, from + 1));
  const part = list.data.slice(from, bit('end_mask') ? size : at(end.data[0]!));
  return constant([part.length], part);
}

/** `^a`, `a:0` and `a:output:0` → `a` */
function nodeName(reference: string): string {
  return reference.replace(/^\^/, '').split(':')[0]!;
}

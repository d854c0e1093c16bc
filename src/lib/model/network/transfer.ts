import { AiotError } from '../../core/errors.js';
import {
  elementCount,
  type Graph,
  type Operator,
  type Tensor,
  withoutUnused,
} from '../../formats/tflite/graph.js';
import type { Standardization } from '../../signal/spec.js';
import { gridOf } from '../../vision/grid.js';
import type { Trainable } from '../engine/types.js';
import { endingOf, InitialWeights, outputNames } from './build.js';
import { type NetworkSpec, outputSize } from './layers.js';

/** A trained network without its last layer. Its outputs are the features from which a new last layer learns. */
export interface Backbone {
  /** The graph from the input to these features, [1, features]. */
  graph: Graph;
  /** Standardization of the inputs; null = unknown, so the new training run fits its own. */
  standardization: Standardization | null;
  /** Path as written in aiot.yaml, and digest of the file. */
  file: string;
  digest: string;
  /** Number of final weighted layers that are trained further; the others are frozen. */
  trained: number;
}

const weighted: readonly string[] = ['FULLY_CONNECTED', 'CONV_2D', 'DEPTHWISE_CONV_2D'];

/**
 * Removes a network's last dense layer, and everything after it.
 * @param file the file's name, for errors
 * @throws AIOT_MODEL_UNFIT: not float32, several inputs, or no dense layer
 */
export function featuresOf(graph: Graph, file: string): Graph {
  const [input] = graph.inputs.map((index) => graph.tensors[index]!);
  if (graph.inputs.length !== 1 || input?.type !== 'float32')
    throw unfit(`${file}: expected one float32 input, got ${input?.type ?? 'none'}`);
  const at = graph.operators.findLastIndex(({ op }) => op === 'FULLY_CONNECTED');
  const head = graph.operators[at];
  if (!head) throw unfit(`${file}: expected a dense layer at the end`);
  const [features = -1] = head.inputs;
  const { type, data } = graph.tensors[features]!;
  if (type !== 'float32' || data) throw unfit(`${file}: expected a float32 network, got ${type}`);
  if (!graph.operators.slice(0, at).some(({ op }) => weighted.includes(op)))
    throw unfit(`${file}: expected layers before the last one, which is replaced`);
  return withoutUnused({ ...graph, operators: graph.operators.slice(0, at), outputs: [features] });
}

/**
 * Removes everything after the last layer whose output is a grid over the picture with cells of `cellSide` pixels. A last layer that
 * already predicts such a grid is removed too.
 * @param file the file's name, for errors
 * @throws AIOT_MODEL_UNFIT: not float32, several inputs, or no such layer
 */
export function gridFeaturesOf(graph: Graph, file: string): Graph {
  const [input] = graph.inputs.map((index) => graph.tensors[index]!);
  if (graph.inputs.length !== 1 || input?.type !== 'float32')
    throw unfit(`${file}: expected one float32 input, got ${input?.type ?? 'none'}`);
  const [, height = 0, width = 0] = input.shape;
  const [rows, columns] = gridOf({ width, height });
  const head = graph.operators.findLastIndex(({ op }) => weighted.includes(op));
  const at = graph.operators.slice(0, Math.max(0, head)).findLastIndex(({ outputs }) => {
    const { shape, type } = graph.tensors[outputs[0]!]!;
    return type === 'float32' && shape.length === 4 && shape[1] === rows && shape[2] === columns;
  });
  const last = graph.operators[at];
  if (!last)
    throw unfit(
      `${file}: expected a layer with an output of ${rows} × ${columns} cells, an eighth of the picture's size`,
    );
  const operators = graph.operators.slice(0, at + 1);
  return withoutUnused({ ...graph, operators, outputs: [last.outputs[0]!] });
}

/**
 * Adds a new last layer to a backbone, with initial weights that depend only on `seed`. The new layer and the last `backbone.trained`
 * layers are trainable.
 * @throws AIOT_MODEL_UNFIT if the backbone's input differs from the network's
 */
export function transferTrainable(spec: NetworkSpec, backbone: Backbone, seed: number): Trainable {
  const { graph, file, trained } = backbone;
  const wanted = [1, ...spec.inputShape];
  const { shape } = graph.tensors[graph.inputs[0]!]!;
  if (shape.length !== wanted.length || shape.some((size, i) => size !== wanted[i])) {
    throw unfit(`${file}: expected an input of ${wanted.join(' × ')}, got ${shape.join(' × ')}`);
  }
  const [features = -1] = graph.outputs;
  const { output: answer } = spec;
  const cells = answer.kind === 'objects' ? answer : null;
  const inputs = cells ? graph.tensors[features]!.shape[3]! : elementCount(graph.tensors[features]!.shape);
  const units = cells ? cells.count : outputSize(spec);
  const tensors: Tensor[] = [...graph.tensors];
  const add = (tensor: Tensor) => tensors.push(tensor) - 1;
  const name = outputNames[spec.output.kind];
  const data = new InitialWeights(seed).next(units * inputs, inputs);
  const w = add({
    name: `${name}/weights`,
    shape: cells ? [units, 1, 1, inputs] : [units, inputs],
    type: 'float32',
    data,
  });
  const b = add({ name: `${name}/bias`, shape: [units], type: 'float32', data: new Float32Array(units) });
  const output = add({ name, shape: cells ? [1, ...cells.grid, units] : [1, units], type: 'float32' });
  const layers = graph.operators.filter(({ op }) => weighted.includes(op));
  const parameters = (trained === 0 ? [] : layers.slice(-trained))
    .flatMap((layer) => layer.inputs.slice(1))
    .filter((index) => tensors[index]?.data instanceof Float32Array);
  return {
    graph: {
      ...graph,
      tensors,
      operators: [...graph.operators, lastLayer(cells !== null, [features, w, b], output)],
      outputs: [output],
    },
    parameters: [...new Set(parameters), w, b],
    batchNorms: [],
    dropouts: [],
    ending: endingOf(spec),
  };
}

function lastLayer(pointwise: boolean, inputs: number[], output: number): Operator {
  if (!pointwise)
    return {
      op: 'FULLY_CONNECTED',
      inputs,
      outputs: [output],
      options: { activation: 'none', keepNumDims: false },
    };
  const window = { padding: 'same', strideH: 1, strideW: 1, dilationH: 1, dilationW: 1 } as const;
  return { op: 'CONV_2D', inputs, outputs: [output], options: { ...window, activation: 'none' } };
}

function unfit(message: string): AiotError {
  return new AiotError('AIOT_MODEL_UNFIT', message, {
    next: 'Set model.train.from to a float32 .tflite file, or to a project folder with a trained model, with the same input as this project.',
  });
}

import { AiotError } from '../../core/errors.js';
import type { Project } from '../../core/project.js';
import {
  elementCount,
  type Graph,
  type Operator,
  type Tensor,
  withoutUnused,
} from '../../formats/tflite/graph.js';
import type { SignalSpec } from '../../signal/spec.js';
import { type OtherOrder, orderWarning, otherOrder } from '../evaluate/labels.js';
import { confusionOf } from '../evaluate/metrics.js';
import {
  extraOutputs,
  joinInputs,
  joinOutputs,
  mainOutput,
  plainName,
  type WindowSize,
} from '../network/join-ends.js';
import { type NetworkSpec, outputSize } from '../network/layers.js';
import { standardizationFor } from '../train/examples/standardize.js';
import type { learn } from '../train/learn.js';
import { checkEnds, measured, partOf } from '../train/outside-trainer.js';
import { trainProject } from '../train/train-project.js';
import type { ImportOptions, ImportResult } from './import-model.js';

interface Adopted {
  file: string;
  validation: ImportResult['validation'];
  /** Points to check, as sentences. */
  notes: string[];
}

/**
 * Adopts a network as the project's own, and writes the same files as `model train`. Splits and checks the data as for training, and
 * evaluates the network on the validation set. build/ gets everything that quantize, evaluate and push need.
 * @throws AIOT_LABELS_UNFIT if `classes` are not the project's; AIOT_MODEL_UNFIT if the input or output sizes are not the project's;
 * any error of `trainProject`
 */
export async function adoptNetwork(
  graph: Graph,
  project: Project,
  { data, label, classes, inputs = 'raw', force, signal, from, output }: ImportOptions,
): Promise<Adopted> {
  let examplesMeasured = 0;
  const notes: string[] = [];
  const trainer: typeof learn = async ({ train, validation }, options) => {
    const { network, classes: known, signal: spec } = options.plan;
    const arranged = arrange(graph, { from, network, output: output?.[0], window: windowOf(spec) });
    checkEnds(mainOutput(joinOutputs(arranged)), from, network);
    const { kind } = network.output;
    const named = classes ?? known.names;
    const own = joinOutputs(
      classes === undefined ? arranged : inOrderOf(arranged, classes, known.names, kind),
    );
    const extra = extraOutputs(own);
    if (extra.length > 0)
      notes.push(`each prediction also contains ${extra.map((one) => one.name).join(', ')}`);
    // Copied, because the evaluation standardizes inputs in place, and the predictions below need the original inputs.
    const asked = { ...validation, inputs: validation.inputs.slice() };
    const standardization =
      inputs === 'standardized' ? standardizationFor(train, options.plan) : untouched(train.inputSize);
    const parts = { train: partOf(train, standardization), validation: partOf(validation, standardization) };
    examplesMeasured = validation.classes.length;
    const learned = await measured(own, standardization, parts, options, 'import');
    if (kind === 'classes' || kind === 'probability') {
      const confusion = confusionOf(asked.classes, learned.answers(asked).classes, known.names.length);
      const other = otherOrder(known.names, confusion);
      if (other !== null) notes.push(orderWarning(asOutputs(other, known.names, named)));
    }
    return learned;
  };
  const { metrics, file } = await trainProject({ project, data, label, force, signal, trainer });
  const { valLoss, valAccuracy } = metrics;
  return { file, notes, validation: { examples: examplesMeasured, loss: valLoss, accuracy: valAccuracy } };
}

/** The window that a raw input contains; null for features. */
function windowOf({ features, windowSamples, fields }: SignalSpec): WindowSize | null {
  return features === 'raw' ? { samples: windowSamples, fields: fields.length } : null;
}

interface Joining {
  /** The imported file, for messages. */
  from: string;
  network: NetworkSpec;
  /** Name of the output that predicts; default: the only one with the project's number of values. */
  output: string | undefined;
  window: WindowSize | null;
}

/**
 * The network with one input, and with the output that predicts first.
 * @throws AIOT_MODEL_UNFIT if no output, or more than one, could be the prediction
 */
function arrange(graph: Graph, { from, network, output, window }: Joining): Graph {
  const one = joinInputs(graph, window);
  if (one.outputs.length === 1) return one;
  const own = one.outputs.map((index, place) => {
    const { name, shape } = one.tensors[index]!;
    return { index, name, plain: plainName(name, place), count: elementCount(shape) };
  });
  const wanted = outputSize(network);
  const fits = own.filter(({ name, plain, count }) =>
    output === undefined ? count === wanted : name === output || plain === output,
  );
  const [main] = fits;
  if (main === undefined || fits.length > 1) {
    const listed = own.map(({ plain, count }) => `${plain} (${count})`).join(', ');
    throw new AiotError(
      'AIOT_MODEL_UNFIT',
      `${from}: expected one output of ${wanted} values for the project's prediction, got ${fits.length} among ${listed}`,
      { next: `Name the output that predicts: --output ${own[0]!.plain}` },
    );
  }
  const order = [main, ...own.filter((each) => each !== main)];
  return { ...one, outputs: order.map(({ index }) => index) };
}

/** Converts the proposed order of the project's outputs to an order of the file's outputs. */
function asOutputs(other: OtherOrder, names: readonly string[], named: readonly string[]): OtherOrder {
  return { ...other, classes: named.map((name) => other.classes[names.indexOf(name)]!) };
}

function untouched(inputs: number) {
  return { mean: new Array<number>(inputs).fill(0), deviation: new Array<number>(inputs).fill(1) };
}

/**
 * The network with its outputs reordered to match a project's classes.
 * @param named names in the order of the network's outputs; for one probability, the names for 0 and for 1
 * @param names of the project's classes, in their order
 * @throws AIOT_LABELS_UNFIT if the names differ, AIOT_MODEL_UNFIT if the network's outputs cannot be reordered
 */
export function inOrderOf(
  graph: Graph,
  named: readonly string[],
  names: readonly string[],
  kind: NetworkSpec['output']['kind'],
): Graph {
  if (kind !== 'classes' && kind !== 'probability')
    throw new AiotError('AIOT_LABELS_UNFIT', `--classes: the project's model outputs a ${kind}`, {
      next: 'Omit --classes.',
    });
  if ([...named].sort().join('\n') !== [...names].sort().join('\n'))
    throw new AiotError(
      'AIOT_LABELS_UNFIT',
      `--classes: expected the project's classes ${names.join(', ')} in the order of the model's outputs, got ${named.join(', ')}`,
      { next: `List each of them once: --classes ${names.join(',')}` },
    );
  const order = names.map((name) => named.indexOf(name));
  if (order.every((from, to) => from === to)) return graph;
  const last = lastLayer(graph, kind === 'probability');
  const rearranged = kind === 'probability' ? negated : (tensor: Tensor) => reordered(tensor, order);
  const tensors = [...graph.tensors];
  // Only the last layer reads the reordered copies, because other layers may read the same constants.
  const [x = -1, ...constants] = last.inputs;
  const inputs = [x, ...constants.map((at) => (at < 0 ? at : tensors.push(rearranged(tensors[at]!)) - 1))];
  const operators = graph.operators.map((one) => (one === last ? ({ ...one, inputs } as Operator) : one));
  return withoutUnused({ ...graph, tensors, operators });
}

/** The layer that computes one number per class, ignoring later operators that treat all classes alike. */
function lastLayer({ operators, outputs, tensors }: Graph, isProbability: boolean): Operator {
  let at = outputs[0]!;
  let hasSigmoid = false;
  for (;;) {
    const maker = operators.find((operator) => operator.outputs.includes(at));
    const readers = operators.filter(({ inputs }) => inputs.includes(at)).length;
    if (maker?.op === 'SOFTMAX' || maker?.op === 'LOGISTIC') {
      hasSigmoid ||= maker.op === 'LOGISTIC';
      at = maker.inputs[0]!;
      continue;
    }
    const constant = maker?.inputs.slice(1).every((index) => index < 0 || isFloat(tensors[index]));
    const isPlain = maker?.op === 'FULLY_CONNECTED' && maker.options.activation === 'none';
    if (isPlain && constant && readers <= 1 && (hasSigmoid || !isProbability)) return maker;
    throw new AiotError(
      'AIOT_MODEL_UNFIT',
      `--classes: expected a dense layer${isProbability ? ' and a sigmoid' : ''} at the end of the model, so that its outputs can be reordered; got ${maker?.op ?? 'none'}`,
      {
        next: "List model.labels in aiot.yaml in the order of the model's outputs, and omit --classes.",
      },
    );
  }
}

function isFloat(tensor: Tensor | undefined): boolean {
  return tensor?.data instanceof Float32Array;
}

/** Negates the last layer's weights or bias, because the sigmoid of −z is 1 − p. */
function negated(tensor: Tensor): Tensor {
  return { ...tensor, data: (tensor.data as Float32Array).map((value) => -value) };
}

/** Reorders rows [class, …]. */
function reordered(tensor: Tensor, order: readonly number[]): Tensor {
  const data = tensor.data as Float32Array;
  const block = data.length / order.length;
  const moved = new Float32Array(data.length);
  order.forEach((from, to) => {
    moved.set(data.subarray(from * block, (from + 1) * block), to * block);
  });
  return { ...tensor, data: moved };
}

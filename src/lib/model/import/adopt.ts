import { AiotError } from '../../core/errors.js';
import { plural } from '../../core/figures.js';
import type { Project } from '../../core/project.js';
import {
  elementCount,
  type Graph,
  type Operator,
  type Tensor,
  withoutUnused,
} from '../../formats/tflite/graph.js';
import type { SignalSpec, Standardization } from '../../signal/spec.js';
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
import { isQuantized } from '../quantize/graph/quantize-graph.js';
import { fieldsOf, standardizationFor } from '../train/examples/standardize.js';
import type { learn } from '../train/learn.js';
import { checkEnds, measured, partOf, type UnfitEnd } from '../train/outside-trainer.js';
import type { Plan } from '../train/plan.js';
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
  { data, label, classes, inputs = 'raw', mean, deviation, force, signal, from, output }: ImportOptions,
): Promise<Adopted> {
  const types = isQuantized(graph) ? (['float32', 'int8', 'int16'] as const) : (['float32'] as const);
  let examplesMeasured = 0;
  const notes: string[] = [];
  const trainer: typeof learn = async ({ train, validation }, options) => {
    const { network, classes: known, signal: spec } = options.plan;
    const arranged = arrange(graph, { from, network, output: output?.[0], window: windowOf(spec) });
    checkEnds(mainOutput(joinOutputs(arranged)), from, network, {
      types,
      next: (unfit) => fitting(unfit, options.plan),
    });
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
      inputs === 'standardized'
        ? standardizationFor(train, options.plan)
        : statedStandardization({ mean, deviation }, train.inputSize, fieldsOf(spec));
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

/** How to change the project so that an input or output of the imported network fits. */
function fitting({ end, size }: UnfitEnd, { network, classes, rows }: Plan): string {
  const { output } = network;
  if (size === null) return `Export the model with a single float32 ${end}.`;
  if (end === 'input')
    return rows
      ? "Pass rows with one column for each of the model's inputs, and the label."
      : "Change signal.window, signal.features or stream.fields in aiot.yaml to match the model's input (see `aiot docs project`).";
  if (output.kind === 'classes' && size === 1 && output.count === 2)
    return `A single number for two classes is a probability. Set \`model.output: probability\` in aiot.yaml if it is the probability of ${classes.names[1]}.`;
  if (output.kind === 'probability' && size === 2)
    return 'The model has one number for each class: set `model.output: classes` in aiot.yaml.';
  if (output.kind === 'classes' && size > 1)
    return `List ${size} classes in model.labels in aiot.yaml, in the order of the model's outputs.`;
  return "Change model.output and model.labels in aiot.yaml to match the model's output (see `aiot docs project`).";
}

/** `1`, `1 or 2`, `1, 2 or 100` */
function choicesOf(counts: readonly number[]): string {
  return counts.length < 2 ? counts.join() : `${counts.slice(0, -1).join(', ')} or ${counts.at(-1)}`;
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

/**
 * The standardization that the user stated; without one, inputs stay unchanged.
 * @param inputs number of inputs
 * @param fields number of values in one time step, pixel or frame, which may share their numbers
 * @throws AIOT_USAGE
 */
function statedStandardization(
  { mean = '0', deviation = '1' }: Pick<ImportOptions, 'mean' | 'deviation'>,
  inputs: number,
  fields: number,
): Standardization {
  const counts = [...new Set([1, inputs % fields === 0 ? fields : 1, inputs])];
  const read = (flag: string, text: string) => {
    const values = text.split(',').map((part) => (part.trim() === '' ? Number.NaN : Number(part)));
    const wrong = values.findIndex(
      (value) => !Number.isFinite(value) || (flag === 'deviation' && value <= 0),
    );
    if (wrong < 0 && counts.includes(values.length))
      return Array.from({ length: inputs }, (_, i) => values[i % values.length]!);
    const wanted = flag === 'deviation' ? 'numbers above 0' : 'numbers';
    const got = wrong < 0 ? plural(values.length, 'number') : JSON.stringify(text.split(',')[wrong]);
    throw new AiotError('AIOT_USAGE', `--${flag}: expected ${choicesOf(counts)} ${wanted}, got ${got}`, {
      next: `Specify one number for all inputs: --${flag} ${flag === 'deviation' ? '25.6' : '127.5'}`,
    });
  };
  return { mean: read('mean', mean), deviation: read('deviation', deviation) };
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
  if (kind === 'probability' && named[0] !== names[0] && isQuantized(graph))
    throw new AiotError(
      'AIOT_MODEL_UNFIT',
      '--classes: the model is already quantized, so its probability cannot be turned into that of the other class',
      { next: `List model.labels in aiot.yaml in this order: ${named.join(', ')}. Then omit --classes.` },
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
    if (maker !== undefined && sameForAll.has(maker.op)) {
      hasSigmoid ||= maker.op === 'LOGISTIC';
      at = maker.inputs[0]!;
      continue;
    }
    const constant = maker?.inputs.slice(1).every((index) => index < 0 || tensors[index]?.data !== undefined);
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

/** Operators on the outputs that treat all classes alike. */
const sameForAll: ReadonlySet<string> = new Set(['SOFTMAX', 'LOGISTIC', 'QUANTIZE', 'DEQUANTIZE']);

/** Negates the last layer's weights or bias, because the sigmoid of −z is 1 − p. */
function negated(tensor: Tensor): Tensor {
  return { ...tensor, data: (tensor.data as Float32Array).map((value) => -value) };
}

/** Reorders rows [class, …], with their scales if each class has its own. */
function reordered(tensor: Tensor, order: readonly number[]): Tensor {
  const data = tensor.data as Float32Array;
  const block = data.length / order.length;
  const moved = data.slice();
  order.forEach((from, to) => {
    moved.set(data.subarray(from * block, (from + 1) * block), to * block);
  });
  const { quantization } = tensor;
  if (quantization === undefined || quantization.scale.length < order.length)
    return { ...tensor, data: moved };
  const { scale, zeroPoint } = quantization;
  const own = {
    ...quantization,
    scale: order.map((from) => scale[from]!),
    zeroPoint: order.map((from) => zeroPoint[from] ?? 0),
  };
  return { ...tensor, data: moved, quantization: own };
}

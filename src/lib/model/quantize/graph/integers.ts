import type { Graph, Operator, Quantization, Tensor } from '../../../formats/tflite/graph.js';
import { activationPlaces, rowOf } from '../../../formats/tflite/operators.js';
import type { Kind } from '../types.js';
import { unfit } from './calibrate.js';
import {
  activationQuantization,
  gridScales,
  quantizeLayer,
  quantizeValues,
  quantizeWide,
  type Range,
  rangeOf,
  wideQuantization,
  withLeastScale,
} from './numbers.js';
import { isRecurrent, type Recurrent, recurrentInputs } from './recurrent.js';
import { channelAxis, fixedOutput, outputRule, usesVariable, weightPlaces } from './rules.js';

interface IntegerPlan {
  /** How each operator of the float graph computes. */
  kinds: readonly Kind[];
  /** Data type of the network's inputs and outputs. */
  io: Kind;
  /** Called with the name of weights that were not quantized before, if the other weights keep their scales. */
  onNewScales?: (weights: string) => void;
}

interface IntegerGraph {
  graph: Graph;
  /** Tensor of the float graph → the tensor that replaces it. */
  twins: Map<number, number>;
}

/**
 * Converts a float32 network to integers: per-channel symmetric int8 weights; int8 activations with zero points and int32 biases, or int16
 * activations with int64 biases. Operators of other kinds are placed between QUANTIZE and DEQUANTIZE. Rules: those of TensorFlow 2.18's
 * converter, without its calibration defect for elementwise operators. The given graph is not modified.
 * @param ranges ranges by tensor; a tensor whose range has a `given` scale gets exactly that scale
 * @throws AIOT_QUANTIZE_UNFIT
 */
export function toIntegers(
  graph: Graph,
  ranges: ReadonlyMap<number, Range>,
  plan: IntegerPlan,
): IntegerGraph {
  const united = uniteRanges(
    graph,
    uniteStates(graph, ranges),
    ({ op, outputs }) => outputRule(op) === 'own' && ranges.get(outputs[0] ?? -1)?.given === undefined,
  );
  const twins = new Twins(graph, united, plan.onNewScales);
  const inputs = graph.inputs.map((index) => twins.make(index, plan.io));
  graph.operators.forEach((operator, at) => {
    addOperator(twins, operator, plan.kinds[at]!);
  });
  const outputs = graph.outputs.map((index) => outputOf(twins, index, plan.io));
  const { tensors, operators } = twins;
  return { graph: { ...graph, tensors, operators, inputs, outputs }, twins: new Map(twins.native()) };
}

/** The output in the requested kind, named as in the float network. */
function outputOf(twins: Twins, index: number, io: Kind): number {
  const maker = twins.graph.operators.find(({ outputs }) => outputs.includes(index));
  const place = twins.of(index, io, maker && fixedOutput(maker.op, io));
  const { name } = twins.graph.tensors[index]!;
  for (const tensor of twins.tensors) if (tensor.name === name) tensor.name = `${name}/${tensor.type}`;
  twins.tensors[place]!.name = name;
  return place;
}

function addOperator(twins: Twins, operator: Operator, kind: Kind): void {
  if (usesVariable(operator)) addState(twins, operator, kind);
  else if (kind === 'float32') addFloat(twins, operator);
  else if (isRecurrent(operator)) addRecurrent(twins, operator, kind);
  else if (rowOf(operator.op).scale === 'joined') addJoined(twins, operator, kind);
  else addInteger(twins, operator, kind);
}

function addFloat(twins: Twins, operator: Operator): void {
  const places = activationPlaces(operator);
  const inputs = operator.inputs.map((index, place) =>
    places.includes(place) ? twins.of(index, 'float32') : twins.other(index),
  );
  const outputs = operator.outputs.map((index) => twins.make(index, 'float32'));
  twins.operators.push({ ...operator, inputs, outputs });
}

/** READ_VARIABLE or ASSIGN_VARIABLE. Values with a scale other than the variable's are converted. */
function addState(twins: Twins, operator: Operator, kind: Kind): void {
  const [index = -1, value] = operator.inputs;
  const variable = twins.variable(index, kind);
  const { quantization } = twins.tensors[variable]!;
  if (value === undefined) {
    const outputs = operator.outputs.map((output) => twins.make(output, kind, quantization));
    twins.operators.push({ ...operator, inputs: [variable], outputs } as Operator);
    return;
  }
  const given = twins.as(value, kind, quantization);
  twins.operators.push({ ...operator, inputs: [variable, given], outputs: [] } as Operator);
}

function addRecurrent(twins: Twins, operator: Recurrent, kind: Exclude<Kind, 'float32'>): void {
  const [output = -1] = operator.outputs;
  const input = twins.of(operator.inputs[0]!, kind);
  const own = twins.own(output, kind);
  const state = twins.ranges.get(operator.inputs[operator.op === 'SVDF' ? 4 : 19]!);
  if (!state) throw unfit(`no values were observed for the state of ${operator.op}`);
  const maker = { graph: twins.graph, add: (tensor: Tensor) => twins.add(tensor), unfit };
  const ends = { kind, input: twins.quantizationOf(input, operator.op), output: own, state };
  const inputs = [input, ...recurrentInputs(maker, operator, ends)];
  twins.operators.push({ ...operator, inputs, outputs: [twins.make(output, kind, own)] } as Operator);
  twins.rescale(output, kind);
}

function addInteger(twins: Twins, operator: Operator, kind: Kind): void {
  const { op } = operator;
  const places = activationPlaces(operator);
  const layer = weightPlaces(op);
  const first = twins.of(operator.inputs[places[0]!]!, kind);
  const input = twins.quantizationOf(first, op);
  const inputs = operator.inputs.map((index, place) => {
    if (place === places[0]) return first;
    // The slopes of a PRELU are int8 with activations of either type.
    if (op === 'PRELU' && place === 1) return twins.of(index, 'int8');
    if (layer?.includes(place)) return -1;
    if (!places.includes(place)) return twins.other(index);
    return twins.of(index, kind, outputRule(op) === 'input' ? input : undefined);
  });
  const quantization = outputQuantization(twins, operator, kind, inputs);
  const outputs = operator.outputs.map((index) => twins.make(index, kind, quantization));
  if (layer) {
    const [weights, bias] = addWeights(twins, operator, layer, input.scale[0]!, kind);
    inputs[layer[0]] = weights;
    inputs[layer[1]] = bias;
  }
  twins.operators.push({ ...operator, inputs, outputs, options: optionsFor(operator, kind) } as Operator);
  for (const index of operator.outputs) twins.rescale(index, kind);
}

function outputQuantization(twins: Twins, operator: Operator, kind: Kind, inputs: number[]): Quantization {
  const { op } = operator;
  const scales = activationPlaces(operator).map((place) => twins.quantizationOf(inputs[place]!, op));
  const fixed = fixedOutput(op, kind);
  if (fixed) {
    guardTable(op, scales[0]!.scale[0]!, kind === 'int16' ? 'int16' : 'int8');
    return fixed;
  }
  if (outputRule(op) === 'input') return scales[0]!;
  if (rowOf(op).yields !== undefined) return scales[0]!;
  const own = twins.own(operator.outputs[0]!, kind);
  if (op !== 'ADD' && op !== 'SUB') return own;
  // The kernel's last multiplier, twice the larger scale / (2^L · output scale), must stay below 1. L is 20 for int8 and 15 for int16.
  const largest = Math.max(...scales.map(({ scale }) => scale[0]!));
  return withLeastScale(own, largest * 2 ** (kind === 'int16' ? -13 : -18));
}

function optionsFor({ op, options }: Operator, kind: Kind): Operator['options'] {
  if (kind !== 'int16') return options;
  if (op === 'ADD' || op === 'SUB') return { ...options, potScaleInt16: false };
  // Like the converter: 64 bits even if there is no bias.
  return op === 'FULLY_CONNECTED' ? { ...options, quantizedBiasType: 'int64' } : options;
}

/** An operator whose inputs and output share one scale, such as CONCATENATION. Inputs with another scale are converted. */
function addJoined(twins: Twins, operator: Operator, kind: Kind): void {
  const [output = -1] = operator.outputs;
  const quantization = twins.own(output, kind);
  const places = activationPlaces(operator);
  const inputs = operator.inputs.map((index, place) => {
    if (!places.includes(place)) return twins.other(index);
    return twins.as(index, kind, quantization);
  });
  const outputs = [twins.make(output, kind, quantization)];
  twins.operators.push({ ...operator, inputs, outputs } as Operator);
}

/** Input scales for which the integer kernels of the exponential and the sigmoid work: above the first number, and below the second. */
const tableScales = {
  // Products with the table's multiplier must stay within 32 bits.
  int16: { SOFTMAX: [0, 5], other: [0, 32768 / 12288] },
  int8: { SOFTMAX: [2 ** -26, 2 ** 5], other: [2 ** -40, 16] },
} as const;

function guardTable(op: string, scale: number, kind: 'int8' | 'int16'): void {
  const [least, most] = tableScales[kind][op === 'SOFTMAX' ? 'SOFTMAX' : 'other'];
  if (scale <= least || scale >= most)
    throw unfit(`${op}: expected an input scale between ${least} and ${most}, got ${scale}`);
}

/** Weights and bias as integers. A fully connected layer without bias does not get one. */
function addWeights(
  twins: Twins,
  { op, inputs }: Operator,
  [weightPlace, biasPlace]: readonly [number, number],
  inputScale: number,
  kind: Kind,
): [number, number] {
  const [w = -1, b = -1] = [inputs[weightPlace], inputs[biasPlace]];
  const [weights, bias] = [twins.graph.tensors[w], twins.graph.tensors[b]];
  if (!(weights?.data instanceof Float32Array)) throw unfit(`${op}: expected constant float32 weights`);
  if (b !== -1 && !(bias?.data instanceof Float32Array))
    throw unfit(`${op}: expected a constant float32 bias`);
  const axis = channelAxis(op);
  const channels = weights.shape[axis]!;
  const block = axis === 3 ? 1 : weights.data.length / channels;
  const biases = bias?.data instanceof Float32Array ? bias.data : new Float32Array(channels);
  let scales: number[] | undefined;
  if (twins.onNewScales !== undefined) {
    scales = gridScales(weights.data, channels, block);
    if (scales === undefined) twins.onNewScales(weights.name);
  }
  const layer = quantizeLayer(weights.data, biases, channels, block, axis, inputScale, scales);
  const place = twins.add({
    ...weights,
    type: 'int8',
    data: layer.weights,
    quantization: layer.weightQuantization,
  });
  if (op === 'FULLY_CONNECTED' && b === -1) return [place, -1];
  const shape = [channels];
  const wide = { type: 'int64', data: BigInt64Array.from(layer.bias, BigInt) } as const;
  const typed = kind === 'int16' ? wide : ({ type: 'int32', data: layer.bias } as const);
  const name = bias?.name ?? `${weights.name}/bias`;
  return [place, twins.add({ name, shape, ...typed, quantization: layer.biasQuantization })];
}

/**
 * Gives the inputs of each CONCATENATION or similar operator a common scale. An input gets the result's range if `free` allows any range
 * for it and nothing else reads it. (A QUANTIZE converts the others. TensorFlow's converter instead propagates the range upward, through
 * pools up to the model's input, which then clips.)
 * @returns the ranges, with the inputs' ranges replaced
 */
function uniteRanges(
  { operators, outputs }: Graph,
  ranges: ReadonlyMap<number, Range>,
  free: (operator: Graph['operators'][number]) => boolean,
): Map<number, Range> {
  const united = new Map(ranges);
  const uses = new Map<number, number>();
  for (const index of [...outputs, ...operators.flatMap(({ inputs }) => inputs)])
    uses.set(index, (uses.get(index) ?? 0) + 1);
  const makers = new Map(operators.map((operator) => [operator.outputs[0], operator]));
  // From last to first, so that an outer concatenation passes its range on to an inner one.
  for (const { op, inputs, outputs: made } of [...operators].reverse()) {
    const whole = united.get(made[0] ?? -1);
    if (rowOf(op).scale !== 'joined' || whole === undefined) continue;
    for (const index of inputs) {
      const maker = makers.get(index);
      if (maker !== undefined && uses.get(index) === 1 && free(maker)) united.set(index, whole);
    }
  }
  return united;
}

/**
 * Gives each variable a range, and the same range to the activations that are assigned to it. Otherwise, its values would be converted in
 * each step, and rounding errors would accumulate.
 */
function uniteStates(graph: Graph, ranges: ReadonlyMap<number, Range>): Map<number, Range> {
  const united = new Map(ranges);
  const makers = new Map(
    graph.operators.flatMap((operator) => operator.outputs.map((output) => [output, operator])),
  );
  /** The activation whose scale an activation has, because operators between them only move its elements. */
  const originOf = (index: number): number => {
    const maker = makers.get(index);
    const [place = 0] = maker ? activationPlaces(maker) : [];
    return maker && outputRule(maker.op) === 'input' && maker.op !== 'READ_VARIABLE'
      ? originOf(maker.inputs[place]!)
      : index;
  };
  const variables = graph.tensors.flatMap(({ variable }, index) => {
    if (!(variable instanceof Float32Array)) return [];
    const uses = graph.operators.filter((operator) => usesVariable(operator) && operator.inputs[0] === index);
    const values = uses.flatMap(({ inputs: [, value], outputs }) =>
      value === undefined ? outputs : originOf(value),
    );
    return [{ index, start: rangeOf(variable), values }];
  });
  // One variable's values may be assigned to another one.
  for (let round = 0; round <= variables.length; round++)
    for (const { index, start, values } of variables) {
      const known = [start, united.get(index), ...values.map((value) => united.get(value))].flatMap(
        (range) => range ?? [],
      );
      const range = {
        low: Math.min(...known.map(({ low }) => low)),
        high: Math.max(...known.map(({ high }) => high)),
      };
      for (const place of [index, ...values])
        if (united.get(place)?.given === undefined) united.set(place, range);
    }
  return united;
}

/**
 * The graph under construction. Each activation of the float graph has a twin of the kind that the operator produces. Readers of another
 * kind get additional twins, made by QUANTIZE or DEQUANTIZE.
 */
class Twins {
  readonly tensors: Tensor[] = [];
  readonly operators: Operator[] = [];
  /** Float tensor → kind → tensor in this graph. The first tensor is the operator's output. */
  readonly #made = new Map<number, Map<Kind, number>>();
  readonly #constants = new Map<number, number>();

  constructor(
    readonly graph: Graph,
    readonly ranges: ReadonlyMap<number, Range>,
    readonly onNewScales: IntegerPlan['onNewScales'],
  ) {}

  /** A tensor for an operator's output that corresponds to float tensor `index`. */
  make(index: number, kind: Kind, quantization?: Quantization): number {
    const { name, shape } = this.graph.tensors[index]!;
    const kinds = this.#made.get(index) ?? new Map<Kind, number>();
    this.#made.set(index, kinds);
    const { type: given } = this.graph.tensors[index]!;
    // Outputs of comparisons and positions have no scale, regardless of the type in which the operator computes.
    const type = given === 'float32' ? kind : given;
    const own =
      type === 'int8' || type === 'int16' ? { quantization: quantization ?? this.own(index, type) } : {};
    const place = this.add({ name: kinds.size === 0 ? name : `${name}/${kind}`, shape, type, ...own });
    kinds.set(kind, place);
    return place;
  }

  /**
   * An activation's twin of this kind, created by conversion if there is none; a float constant is converted.
   * @param quantization used for a newly created tensor instead of the quantization from its own range
   */
  of(index: number, kind: Kind, quantization?: Quantization): number {
    // Indices and conditions have no other form.
    if (this.graph.tensors[index]?.type !== 'float32') return this.other(index);
    if (this.graph.tensors[index]?.data !== undefined) return this.#constantOf(index, kind, quantization);
    const kinds = this.#made.get(index);
    const [first] = kinds ?? [];
    if (kinds === undefined || first === undefined)
      throw unfit(`tensor ${this.graph.tensors[index]?.name} is read before it is produced`);
    const known = kinds.get(kind);
    if (known !== undefined) return known;
    const place = this.make(index, kind, quantization);
    this.operators.push({
      op: kind === 'float32' ? 'DEQUANTIZE' : 'QUANTIZE',
      inputs: [first[1]],
      outputs: [place],
      options: {},
    });
    return place;
  }

  /** An activation's twin of this kind with exactly this scale, made by conversion if necessary. */
  as(index: number, kind: Kind, quantization: Quantization | undefined): number {
    const given = this.of(index, kind, quantization);
    const { name, shape, quantization: own } = this.tensors[given]!;
    if (!quantization || !own) return given;
    if (own.scale[0] === quantization.scale[0] && own.zeroPoint[0] === quantization.zeroPoint[0])
      return given;
    const joined = this.add({ name: `${name}/joined`, shape, type: kind, quantization });
    this.operators.push({ op: 'QUANTIZE', inputs: [given], outputs: [joined], options: {} });
    return joined;
  }

  /** A variable, with its initial values in this kind. */
  variable(index: number, kind: Kind): number {
    const known = this.#constants.get(index);
    if (known !== undefined) return known;
    const tensor = this.graph.tensors[index]!;
    const values = tensor.variable;
    const place = this.tensors.length;
    this.#constants.set(index, place);
    if (kind === 'float32' || !(values instanceof Float32Array)) return this.add(tensor);
    const quantization = this.own(index, kind);
    const variable = (kind === 'int16' ? quantizeWide : quantizeValues)(values, quantization);
    return this.add({ ...tensor, type: kind, variable, quantization });
  }

  /** Converts an output to its given scale if the operator cannot produce that scale. */
  rescale(index: number, kind: Kind): void {
    const kinds = this.#made.get(index);
    const made = kinds?.get(kind);
    const given = kind === 'int8' ? this.ranges.get(index)?.given : undefined;
    if (made === undefined || given === undefined) return;
    const { name, shape, type, quantization } = this.tensors[made]!;
    const isSame =
      quantization?.scale[0] === given.scale[0] && quantization?.zeroPoint[0] === given.zeroPoint[0];
    if (type !== 'int8' || isSame) return;
    const place = this.add({ name: `${name}/rescaled`, shape, type, quantization: given });
    this.operators.push({ op: 'QUANTIZE', inputs: [made], outputs: [place], options: {} });
    kinds!.set(kind, place);
  }

  /** The float graph's tensors with their replacements in this graph. */
  *native(): Iterable<[float: number, place: number]> {
    for (const [index, kinds] of this.#made) {
      const [first] = kinds.values();
      if (first !== undefined) yield [index, first];
    }
  }

  /** An input that is not an activation: a constant, or another operator's bool or int32 output. */
  other(index: number): number {
    const [first] = this.#made.get(index)?.values() ?? [];
    return first ?? this.constant(index);
  }

  /**
   * Copies a constant unchanged: shapes, axes, or float weights of an operator that stays float. Returns −1 (an omitted input) unchanged.
   */
  constant(index: number): number {
    if (index === -1) return -1;
    const known = this.#constants.get(index) ?? this.add(this.graph.tensors[index]!);
    this.#constants.set(index, known);
    return known;
  }

  add(tensor: Tensor): number {
    return this.tensors.push({ ...tensor }) - 1;
  }

  quantizationOf(place: number, where: string): Quantization {
    const { quantization, name } = this.tensors[place]!;
    if (quantization === undefined) throw unfit(`${where}: ${name} has no scale`);
    return quantization;
  }

  /** An activation's scale, from its range. */
  own(index: number, kind: Kind): Quantization {
    const range = this.ranges.get(index);
    if (range === undefined)
      throw unfit(`no values were observed for tensor ${this.graph.tensors[index]?.name}`);
    if (kind === 'int16') return wideQuantization(range);
    return range.given ?? activationQuantization(range);
  }

  #constantOf(index: number, kind: Kind, given?: Quantization): number {
    const tensor = this.graph.tensors[index]!;
    if (kind === 'float32' || !(tensor.data instanceof Float32Array)) return this.constant(index);
    const range = rangeOf(tensor.data);
    const quantization =
      given ?? (kind === 'int16' ? wideQuantization(range) : activationQuantization(range));
    const data = (kind === 'int16' ? quantizeWide : quantizeValues)(tensor.data, quantization);
    return this.add({ ...tensor, type: kind, data, quantization });
  }
}

import type { Graph, Operator, Tensor } from '../../../formats/tflite/graph.js';
import { activationPlaces, rowOf } from '../../../formats/tflite/operators.js';
import { float16Words, largestFloat16, withFloatConstants } from '../../../formats/tflite/real-values.js';
import { createInterpreter, hasMicroKernel } from '../../../runtime/interpreter/interpreter.js';
import { shareConstants } from '../../network/share-constants.js';
import { brokenConstant, simplifyGraph } from '../../network/simplify.js';
import type { LayerReport } from '../result.js';
import type { Kind, Quantized, QuantizeSettings, RangeMethod } from '../types.js';
import { calibrate, unfit } from './calibrate.js';
import { biasCorrected, equalized } from './corrections.js';
import { toIntegers } from './integers.js';
import { boundMasks } from './masks.js';
import { affordable, measureNoise, type Noise } from './noise.js';
import { channelScales, quantizeWeights } from './numbers.js';
import { chooseRanges } from './ranges.js';
import { avoidsInt8, canQuantize, channelAxis, isWeighted, outputRule, usesVariable } from './rules.js';

/** Multiply-add budget for measuring the noise. */
const noiseBudget = 5e7;

/** Maximum number of rows for measuring the noise. More rows would not change the second digit. */
const mostNoiseRows = 200;

/**
 * Quantizes a float32 network. For int8 and int16x8, activation ranges come from the representative rows, and weights have one scale per
 * output channel. For dynamic and float16, only weights are quantized. For float32, nothing is quantized. The given graph is not modified;
 * a copy is folded first (see `prepareGraph`).
 * @param rows representative inputs, each with the length of the network's input; may be empty for the float modes, whose noise is then not
 * measured
 * @throws AIOT_QUANTIZE_UNFIT, AIOT_TFLITE_UNSUPPORTED, AIOT_TFLITE_INPUT
 */
export function quantizeGraph(
  graph: Graph,
  rows: readonly Float32Array[],
  settings: QuantizeSettings = { mode: 'int8' },
): Quantized {
  const { twins: _, against: __, ...quantized } = quantizePrepared(prepareGraph(graph), rows, settings);
  return quantized;
}

/** Optional information about the network to be quantized. */
interface Further {
  /** A network with the same tensors, against which noise is measured: the one before fine-tuning. */
  reference?: Graph;
  /** False if the caller measures noise itself. */
  measured?: boolean;
}

/** A quantized network and its reference. */
export interface Compared extends Quantized {
  /** For each tensor of the float network, the quantized tensor that replaces it. */
  twins: ReadonlyMap<number, number>;
  /** The float network with which inner tensors are compared. */
  against: Graph;
}

/**
 * Like `quantizeGraph`, but for the result of `prepareGraph`. The search for a better quantization calls this function repeatedly, and so
 * folds only once.
 */
export function quantizePrepared(
  prepared: Graph,
  rows: readonly Float32Array[],
  settings: QuantizeSettings,
  further: Further = {},
): Compared {
  const integers = settings.mode === 'int8' || settings.mode === 'int16x8';
  if (!integers && settings.io === 'int8')
    throw unfit(`--io int8 needs the mode int8 or int16x8, not ${settings.mode}`);
  const notes: string[] = [];
  const form = integers ? integerForm(prepared, rows, settings, notes) : floatForm(prepared, settings, notes);
  const { methods, base } = form;
  const { graph, places } = shareConstants(form.graph);
  const twins = new Map(
    [...form.twins].flatMap(([index, twin]) =>
      places.has(twin) ? [[index, places.get(twin)!] as const] : [],
    ),
  );
  const { reference = prepared, measured = true } = further;
  const noise = measured && rows.length > 0 ? noiseOf(base ?? reference, graph, twins, rows) : undefined;
  if (noise !== undefined && base !== undefined) {
    // Inner tensors are compared with the equalized network's, but the output with the original network's.
    const ends = new Map(prepared.outputs.map((output) => [output, twins.get(output)!]));
    for (const [output, decibels] of noiseOf(reference, graph, ends, rows)) noise.set(output, decibels);
  }
  const [io = 'float32'] = [...graph.inputs, ...graph.outputs].flatMap((index): Kind[] => {
    const { type } = graph.tensors[index]!;
    return type === 'float32' || type === 'int8' || type === 'int16' ? [type] : [];
  });
  const report = reportOf(prepared, graph, twins, methods, noise);
  return { graph, twins, against: base ?? reference, report: { mode: settings.mode, io, ...report, notes } };
}

interface Form {
  graph: Graph;
  twins: ReadonlyMap<number, number>;
  methods: ReadonlyMap<number, RangeMethod>;
  /** The equalized float network that was quantized, if it differs from the given network. */
  base?: Graph;
}

function floatForm(prepared: Graph, { mode, kinds }: QuantizeSettings, notes: string[]): Form {
  // Indices of tensors do not change.
  const twins = new Map(prepared.tensors.map((_, index) => [index, index]));
  const methods = new Map<number, RangeMethod>();
  if (mode === 'float16') {
    const { graph, kept } = toFloat16(prepared);
    for (const name of kept) notes.push(`${name} stays float32: it has a value beyond ±65504`);
    return { graph, twins, methods };
  }
  if (mode === 'float32') return { graph: prepared, twins, methods };
  const graph = toDynamic(
    prepared,
    (operator, at) => isDynamic(prepared, operator) && kinds?.get(at) !== 'float32',
  );
  if (graph.operators.every((operator, at) => operator === prepared.operators[at]))
    notes.push(
      'all layers stay float32: dynamic range saves nothing for layers with fewer than 1,024 weights',
    );
  return { graph, twins, methods };
}

function integerForm(
  prepared: Graph,
  rows: readonly Float32Array[],
  { mode, io, calibration = 'auto', biasCorrection, equalize, kinds: apart }: QuantizeSettings,
  notes: string[],
): Form {
  let float = prepared;
  let seen = calibrate(float, rows);
  const bounded = boundMasks(float, seen);
  if (bounded.masks > 0) {
    float = bounded.graph;
    seen = calibrate(float, rows);
    notes.push(`masks of Softmax raised to just below the scores: ${bounded.masks}`);
  }
  if (equalize) {
    const { graph, pairs } = equalized(float, seen);
    float = graph;
    if (pairs > 0) seen = calibrate(float, rows);
    notes.push(`equalized ${pairs} pairs of layers`);
  }
  const integer: Kind = mode === 'int8' ? 'int8' : 'int16';
  const kinds = kindsOf(float, integer, apart, notes);
  const ranges = chooseRanges(float, seen, calibration, kinds, rows);
  const corrected = biasCorrection ? biasCorrected(float, seen, kinds) : float;
  const plan = { kinds, io: io === 'float32' ? 'float32' : integer } as const;
  const { graph, twins } = toIntegers(corrected, ranges, plan);
  const methods = new Map([...ranges].map(([index, { method }]) => [index, method]));
  return { graph, twins, methods, ...(float !== prepared && { base: float }) };
}

function kindsOf(
  { operators, tensors }: Graph,
  integer: Kind,
  apart: ReadonlyMap<number, Kind> | undefined,
  notes: string[],
): Kind[] {
  const kinds = operators.map((operator, at): Kind => {
    const { op } = operator;
    const kind = apart?.get(at) ?? integer;
    // Indices and conditions are whole numbers already, and a CAST converts real values.
    if (op === 'CAST' || !isReal(tensors, operator)) return 'float32';
    const unable = ignoredActivation(operator);
    if (kind !== 'float32' && unable !== null) {
      notes.push(`operator ${at} (${op}) stays float32: its int8 kernel ignores ${unable}`);
      return 'float32';
    }
    if (kind === 'int8' && avoidsInt8(op)) {
      notes.push(`operator ${at} (${op}) stays float32: int8 rounds small divisors to 0`);
      return 'float32';
    }
    if (kind === 'float32' || hasMicroKernel(op, kind)) return kind;
    notes.push(`operator ${at} (${op}) stays float32: TFLite Micro has no ${kind} kernel for it`);
    return 'float32';
  });
  // A variable has one type for all its operators.
  const floats = new Set(
    operators.flatMap(({ inputs: [first = -1] }, at) => (kinds[at] === 'float32' ? [first] : [])),
  );
  return kinds.map((kind, at) =>
    usesVariable(operators[at]!) && floats.has(operators[at]!.inputs[0]!) ? 'float32' : kind,
  );
}

/** The activation of an SVDF that its integer kernel does not apply; null = none. */
function ignoredActivation({ op, options }: Operator): string | null {
  if (op !== 'SVDF') return null;
  return options.activation === 'none' || options.activation === 'relu' ? null : options.activation;
}

/** Whether an operator computes with real values: an activation or an output is float32. */
function isReal(tensors: readonly Tensor[], operator: Operator): boolean {
  const taken = activationPlaces(operator).map((place) => operator.inputs[place]!);
  return [...taken, ...operator.outputs].some((index) => tensors[index]?.type === 'float32');
}

function noiseOf(
  float: Graph,
  made: Graph,
  twins: ReadonlyMap<number, number>,
  rows: readonly Float32Array[],
) {
  return measureNoise(float, made, twins, affordable(float, rows, noiseBudget, 16, mostNoiseRows));
}

/**
 * Converts the float32 network into the form that quantization needs: float16 constants as float32, batch norms and activations folded, and
 * float32 inputs and outputs. The given graph is not modified.
 * @throws AIOT_QUANTIZE_UNFIT for a network that is already quantized, or has an input or output of another type, an operator without a
 * rule, or non-finite weights
 */
export function prepareGraph(graph: Graph): Graph {
  const float = withFloatConstants(graph);
  const inside = float.operators.find((operator) => isInteger(float, operator));
  if (inside !== undefined)
    throw unfit(
      `expected a float32 model, but it is already quantized (${inside.op} on ${typesOf(float, inside)})`,
    );
  const sides: [string, number[]][] = [
    ['input', float.inputs],
    ['output', float.outputs],
  ];
  for (const [what, indices] of sides) {
    if (indices.length === 0) throw unfit(`expected an ${what}, got none`);
    for (const index of indices) {
      const { name, type } = float.tensors[index]!;
      if (!ends.includes(type)) throw unfit(`expected an ${what} of float32, got ${type} (${name})`);
    }
  }
  const broken = brokenConstant(float);
  if (broken !== undefined) throw unfit(`the model's ${broken}: train it again`);
  const simple = simplifyGraph(withComputedConstants(float));
  for (const [index, { op }] of simple.operators.entries())
    if (!canQuantize(op))
      throw unfit(`operator ${index}: expected an operator on float32 activations, got ${op}`);
  return simple;
}

/** Types of a float network's inputs and outputs. Indices and conditions keep their types. */
const ends: readonly Tensor['type'][] = ['float32', 'int32', 'bool'];

/**
 * Replaces operators that read only constants by their results. Calibration could not observe a range for them, because they never change.
 * An example is the first step of an unrolled recurrent layer, whose state starts with zeros.
 */
function withComputedConstants(graph: Graph): Graph {
  const tensors = [...graph.tensors];
  const isKnown = (index: number) => index === -1 || tensors[index]!.data !== undefined;
  if (!graph.operators.some(({ inputs }) => inputs.every(isKnown))) return graph;
  const { tensors: values } = createInterpreter(graph);
  const operators = graph.operators.filter(({ inputs, outputs }) => {
    if (!inputs.every(isKnown) || outputs.some((output) => graph.outputs.includes(output))) return true;
    for (const output of outputs) tensors[output] = { ...tensors[output]!, data: values[output]!.slice() };
    return false;
  });
  return { ...graph, tensors, operators };
}

/** Whether a file already computes with integers, so that it cannot be quantized again. */
export function isQuantized(graph: Graph): boolean {
  const float = withFloatConstants(graph);
  return float.operators.some((operator) => isInteger(float, operator));
}

function isInteger(graph: Graph, { inputs, outputs, op }: Operator): boolean {
  if (op === 'QUANTIZE' || op === 'DEQUANTIZE') return true;
  return [...inputs, ...outputs].some((index) => {
    const type = graph.tensors[index]?.type;
    return type === 'int8' || type === 'int16' || type === 'uint8';
  });
}

function typesOf({ tensors }: Graph, { inputs }: Operator): string {
  return [...new Set(inputs.flatMap((index) => tensors[index]?.type ?? []))].join(', ');
}

/**
 * Minimum number of weights for int8. With fewer weights, the scales would take more space than int8 saves (as in TensorFlow's converter).
 */
const fewestDynamic = 1024;

/**
 * float16: each float32 constant is stored as float16 followed by a DEQUANTIZE, which LiteRT runs once; arithmetic stays float32. If
 * float16 cannot represent a value, the constant is not converted, and is listed in `kept`.
 */
function toFloat16(graph: Graph): { graph: Graph; kept: string[] } {
  const tensors: Tensor[] = [...graph.tensors];
  const before: Operator[] = [];
  const kept: string[] = [];
  const twins = new Map<number, number>();
  // Kernels with a state read their weights when they are prepared, before any DEQUANTIZE runs.
  const early = new Set(
    graph.operators.flatMap(({ op, inputs }) => ((rowOf(op).states?.length ?? 0) > 0 ? inputs : [])),
  );
  graph.tensors.forEach((tensor, index) => {
    if (!(tensor.data instanceof Float32Array) || early.has(index)) return;
    if (tensor.data.some((value) => !(Math.abs(value) <= largestFloat16))) {
      kept.push(tensor.name);
      return;
    }
    const { data: _, ...wide } = tensor;
    tensors[index] = { ...tensor, type: 'float16', data: float16Words(tensor.data) };
    const twin = tensors.push({ ...wide, name: `${tensor.name}/float32` }) - 1;
    twins.set(index, twin);
    before.push({ op: 'DEQUANTIZE', inputs: [index], outputs: [twin], options: {} });
  });
  const operators = graph.operators.map((operator) => ({
    ...operator,
    inputs: operator.inputs.map((index) => twins.get(index) ?? index),
  }));
  return { graph: { ...graph, tensors, operators: [...before, ...operators] }, kept };
}

/** Whether dynamic range applies to this operator's weights. */
function isDynamic(graph: Graph, operator: Operator): boolean {
  const { data } = graph.tensors[operator.inputs[1] ?? -1] ?? {};
  return isWeighted(operator) && data instanceof Float32Array && data.length >= fewestDynamic;
}

/**
 * Dynamic range: weights of at least 1,024 elements become int8 per output channel. Biases stay float32, and so do activations, which the
 * kernel quantizes at run time. Tensor indices do not change.
 * @param taken selected operators
 */
function toDynamic(graph: Graph, taken: (operator: Operator, at: number) => boolean): Graph {
  const tensors: Tensor[] = [...graph.tensors];
  const readers = (index: number) => graph.operators.filter(({ inputs }) => inputs.includes(index)).length;
  const operators = graph.operators.map((operator, at): Operator => {
    if (!taken(operator, at)) return operator;
    const [x = -1, w = -1, ...rest] = operator.inputs;
    const weights = graph.tensors[w]!;
    if (!(weights.data instanceof Float32Array)) return operator;
    const axis = channelAxis(operator.op);
    const channels = weights.shape[axis]!;
    const block = axis === 3 ? 1 : weights.data.length / channels;
    const scale = channelScales(weights.data, channels, block);
    const data = quantizeWeights(weights.data, scale, block);
    const rounded: Tensor = {
      ...weights,
      type: 'int8',
      data,
      quantization: { scale, zeroPoint: scale.map(() => 0), axis },
    };
    // If another operator also reads the weights, the original tensor is kept for that operator.
    const place = readers(w) === 1 ? w : tensors.push(rounded) - 1;
    tensors[place] = rounded;
    const inputs = [x, place, ...rest];
    return operator.op === 'FULLY_CONNECTED'
      ? { ...operator, inputs, options: { ...operator.options, asymmetricQuantizeInputs: true } }
      : ({ ...operator, inputs } as Operator);
  });
  return { ...graph, tensors, operators };
}

/**
 * Reports each activation of the float network: its type, scale, range method and noise after quantization. The network's noise is that of
 * the noisiest output. @param twins the float network's tensors → the quantized network's
 */
function reportOf(
  float: Graph,
  quantized: Graph,
  twins: ReadonlyMap<number, number>,
  methods: ReadonlyMap<number, RangeMethod>,
  noise: Noise | undefined,
): { sqnrDb: number | null; layers: LayerReport[] } {
  const line = (op: string, index: number, own: boolean): LayerReport => {
    const { type, quantization } = quantized.tensors[twins.get(index)!]!;
    return {
      op,
      tensor: float.tensors[index]!.name,
      type: type as Kind,
      calibration: own && type !== 'float32' ? (methods.get(index) ?? null) : null,
      scale: quantization?.scale[0] ?? null,
      zeroPoint: quantization?.zeroPoint[0] ?? null,
      sqnrDb: rounded(noise?.get(index)),
    };
  };
  const real = (indices: readonly number[]) =>
    indices.filter((index) => float.tensors[index]!.type === 'float32');
  const made = ({ op, outputs }: Operator) =>
    real(outputs).map((index) => line(op, index, outputRule(op) === 'own'));
  const ofOutputs = float.outputs.flatMap((index) => noise?.get(index) ?? []);
  return {
    sqnrDb: ofOutputs.length === 0 ? null : rounded(Math.min(...ofOutputs)),
    layers: [
      ...real(float.inputs).map((index) => line('input', index, true)),
      ...float.operators.flatMap(made),
    ],
  };
}

/** Rounds to two decimals; further digits depend on the choice of rows. */
function rounded(value: number | undefined): number | null {
  return value === undefined ? null : Math.round(value * 100) / 100;
}

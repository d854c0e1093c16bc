import type { Graph } from '../../formats/index.js';
import { biasCorrected } from './bias-correction.js';
import { calibrate, unfit } from './calibrate.js';
import { equalized } from './equalize.js';
import { isDynamic, toDynamic, toFloat16 } from './float-modes.js';
import { toIntegers } from './integers.js';
import { affordable, measureNoise } from './noise.js';
import { prepareGraph } from './prepare.js';
import { chooseRanges } from './ranges.js';
import { reportOf } from './report.js';
import type { Kind, Quantized, QuantizeSettings, RangeMethod } from './types.js';

/** Multiply-adds that measuring the noise may take. */
const noiseBudget = 5e7;
/** More rows would not change its second figure. */
const mostNoiseRows = 200;

/**
 * Quantizes a float32 network. int8 and int16x8: ranges of the activations from the representative rows, weights per
 * output channel. dynamic and float16: weights alone. float32: the network as it is to be written. The given graph is left
 * unchanged; folding comes first (see `prepareGraph`).
 * @param rows representative inputs, each as long as the network's input; none will do for the float modes, which then
 *   are not measured
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

/** What further is known of a network to be quantized. */
export interface Further {
  /** The network to measure noise against, of the same tensors: the one before fine-tuning. */
  reference?: Graph;
  /** False: no noise is measured, because trials measure their own. */
  measured?: boolean;
}

/** A quantized network and what to compare it with. */
export interface Compared extends Quantized {
  /** Which tensor stands for each of the float network. */
  twins: ReadonlyMap<number, number>;
  /** The float network that its inner tensors are to be compared with. */
  against: Graph;
}

/** The same for a graph that `prepareGraph` gave: fallbacks begin here again. */
export function quantizePrepared(
  prepared: Graph,
  rows: readonly Float32Array[],
  settings: QuantizeSettings,
  further: Further = {},
): Compared {
  const integers = settings.mode === 'int8' || settings.mode === 'int16x8';
  if (!integers && settings.io === 'int8')
    throw unfit(`--io int8 goes with the modes int8 and int16x8, not ${settings.mode}`);
  const notes: string[] = [];
  const { graph, twins, methods, base } = integers
    ? integerForm(prepared, rows, settings, notes)
    : floatForm(prepared, settings, notes);
  const { reference = prepared, measured = true } = further;
  const noise = measured && rows.length > 0 ? noiseOf(base ?? reference, graph, twins, rows) : undefined;
  if (noise !== undefined && base !== undefined) {
    // Inner tensors are compared with what they are after equalization, the output with what it was.
    const [output = -1] = prepared.outputs;
    const ends = new Map([[output, twins.get(output)!]]);
    noise.set(output, noiseOf(reference, graph, ends, rows).get(output)!);
  }
  const io = graph.tensors[graph.inputs[0]!]!.type as Kind;
  const report = reportOf(prepared, graph, twins, methods, noise);
  return { graph, twins, against: base ?? reference, report: { mode: settings.mode, io, ...report, notes } };
}

interface Form {
  graph: Graph;
  twins: ReadonlyMap<number, number>;
  methods: ReadonlyMap<number, RangeMethod>;
  /** The float network that it was made of, where that is another than the one given: equalized. */
  base?: Graph;
}

function floatForm(prepared: Graph, { mode, kinds }: QuantizeSettings, notes: string[]): Form {
  // Tensors keep their places.
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
    notes.push('no layer has the 1,024 weights from which dynamic range saves anything: all stay float32');
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
  if (equalize) {
    const { graph, pairs } = equalized(float, seen);
    float = graph;
    if (pairs > 0) seen = calibrate(float, rows);
    notes.push(`${pairs} pairs of layers equalized`);
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
  { operators }: Graph,
  integer: Kind,
  apart: ReadonlyMap<number, Kind> | undefined,
  notes: string[],
): Kind[] {
  return operators.map(({ op }, at) => {
    const kind = apart?.get(at) ?? integer;
    if (kind !== 'int16' || op !== 'REDUCE_MAX') return kind;
    notes.push(`operator ${at} (${op}) stays float32: TFLite Micro has no int16 kernel of it`);
    return 'float32';
  });
}

function noiseOf(
  float: Graph,
  made: Graph,
  twins: ReadonlyMap<number, number>,
  rows: readonly Float32Array[],
) {
  return measureNoise(float, made, twins, affordable(float, rows, noiseBudget, 16, mostNoiseRows));
}

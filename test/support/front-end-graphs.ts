import type { Random } from '../../src/lib/core/numbers.js';
import {
  elementBytes,
  elementCount,
  type Graph,
  type Operator,
  type OperatorName,
  type TensorType,
  tensorTypeCode,
  zeros,
} from '../../src/lib/formats/tflite/graph.js';
import { keptShapes } from '../../src/lib/formats/tflite/operators.js';
import { inputSize } from './architectures.js';
import { GraphBuilder } from './graph-builder.js';

type SignalName = Extract<OperatorName, `SIGNAL_${string}`>;

/** Adds an operator with its states and outputs. @returns the outputs */
function apply<Name extends SignalName>(
  b: GraphBuilder,
  op: Name,
  inputs: number[],
  outputs: { type: TensorType; shape: readonly number[] }[],
  options: Extract<Operator, { op: Name }>['options'],
): number[] {
  const states = keptShapes({ op, options } as Operator, b.tensors[inputs[0]!]!).map((state) =>
    b.add({ ...state, variable: zeros({ name: '', ...state }) }),
  );
  const made = outputs.map(({ type, shape }) => b.add({ type, shape: [...shape] }));
  b.operators.push({ op, inputs: [...inputs, ...states], outputs: made, options } as Operator);
  return made;
}

function whole(b: GraphBuilder, length: number, low: number, high: number): number {
  return b.add({
    type: 'int16',
    shape: [length],
    data: Int16Array.from({ length }, () => b.integer(low, high)),
  });
}

const sound = (b: GraphBuilder, ...shape: number[]) => b.add({ type: 'int16', shape });
const levels = (b: GraphBuilder, count: number) => b.add({ type: 'uint32', shape: [count] });

function modelOf(b: GraphBuilder, inputs: number[], outputs: number[]): Graph {
  return { name: 'main', description: '', tensors: b.tensors, operators: b.operators, inputs, outputs };
}

function framer(
  b: GraphBuilder,
  x: number,
  frameSize: number,
  frameStep: number,
  prefill: boolean,
): number[] {
  const { shape } = b.tensors[x]!;
  const frames = shape.at(-1)! / frameStep;
  return apply(
    b,
    'SIGNAL_FRAMER',
    [x],
    [
      { type: 'int16', shape: [...shape.slice(0, -1), frames, frameSize] },
      { type: 'bool', shape: [] },
    ],
    { frameSize, frameStep, prefill },
  );
}

/** Constants of a filter bank over `bins` bins. Unless `real`, weights have any sign, and sums need 64 bits. */
function filterBank(b: GraphBuilder, x: number, numChannels: number, real: boolean): number[] {
  const bins = b.tensors[x]!.shape[0]!;
  const widths = Array.from({ length: numChannels + 1 }, () =>
    b.integer(0, Math.max(1, Math.floor(bins / (numChannels + 1)))),
  );
  const firsts = widths.map((width) => b.integer(0, bins - width));
  let total = 0;
  const starts = widths.map((width) => {
    total += width;
    return total - width;
  });
  const vector = (values: number[]) =>
    b.add({ type: 'int16', shape: [values.length], data: Int16Array.from(values) });
  const weights = () => (real ? whole(b, total + 1, 0, 4096) : whole(b, total + 1, -32768, 32767));
  const tables = [weights(), weights(), vector(firsts), vector(starts), vector(widths)];
  return apply(b, 'SIGNAL_FILTER_BANK', [x, ...tables], [{ type: 'uint64', shape: [numChannels] }], {
    numChannels,
  });
}

function squareRoots(b: GraphBuilder, x: number, bits: number): number[] {
  return apply(
    b,
    'SIGNAL_FILTER_BANK_SQUARE_ROOT',
    [x, bits],
    [{ type: 'uint32', shape: b.tensors[x]!.shape }],
    {},
  );
}

function spectralSubtraction(b: GraphBuilder, x: number): number[] {
  const numChannels = b.tensors[x]!.shape[0]!;
  const [smoothing, alternateSmoothing] = [b.integer(0, 16384), b.integer(0, 16384)];
  const output = { type: 'uint32', shape: [numChannels] } as const;
  return apply(b, 'SIGNAL_FILTER_BANK_SPECTRAL_SUBTRACTION', [x], [output, output], {
    numChannels,
    smoothing,
    alternateSmoothing,
    oneMinusSmoothing: 16384 - smoothing,
    alternateOneMinusSmoothing: 16384 - alternateSmoothing,
    smoothingBits: b.integer(0, 12),
    minSignalRemaining: b.integer(0, 16384),
    spectralSubtractionBits: 14,
    clamping: b.random() < 0.5,
  });
}

/** Gains that decrease, as in a front end's power law; unless `real`, any numbers that cause no overflow in the interpolation. */
function pcan(b: GraphBuilder, x: number, noise: number, real: boolean): number[] {
  const gain = (at: number) => Math.round(32767 / (1 + at / 8));
  const table = new Int16Array(125);
  for (let at = 0; at < 125; at++)
    table[at] =
      at < 2 ? 32767 : [gain(at), gain(at + 4) - gain(at), 0][at % 3 === 2 ? 0 : at % 3 === 0 ? 1 : 2]!;
  const gains = real ? b.add({ type: 'int16', shape: [125], data: table }) : whole(b, 125, -900, 900);
  return apply(b, 'SIGNAL_PCAN', [x, noise, gains], [{ type: 'uint32', shape: b.tensors[x]!.shape }], {
    snrShift: b.integer(0, 12),
  });
}

function logarithms(b: GraphBuilder, x: number): number[] {
  return apply(b, 'SIGNAL_FILTER_BANK_LOG', [x], [{ type: 'int16', shape: b.tensors[x]!.shape }], {
    outputScale: b.pick(1, 64, 1600, b.integer(0, 65536)),
    inputCorrectionBits: b.integer(0, 8),
  });
}

function stacker(b: GraphBuilder, x: number): number[] {
  const numChannels = b.tensors[x]!.shape[0]!;
  const [stackerLeftContext, stackerRightContext] = [b.integer(0, 3), b.integer(0, 3)];
  const frames = stackerLeftContext + 1 + stackerRightContext;
  return apply(
    b,
    'SIGNAL_STACKER',
    [x],
    [
      { type: 'int16', shape: [numChannels * frames] },
      { type: 'bool', shape: [] },
    ],
    { numChannels, stackerLeftContext, stackerRightContext, stackerStep: b.integer(1, frames) },
  );
}

function transform(b: GraphBuilder, x: number, fftLength: number): number[] {
  const { shape, type } = b.tensors[x]!;
  const output = { type, shape: [...shape.slice(0, -1), fftLength + 2] };
  return apply(b, 'SIGNAL_RFFT', [x], [output], { fftLength, sampleType: tensorTypeCode(type) });
}

/** A transform of samples of this type, padded with zeros, or an inverse transform. */
function transformGraph(type: TensorType, inverse: boolean): (random: Random) => Graph {
  return (random) => {
    const b = new GraphBuilder(random);
    const fftLength = 2 ** b.integer(2, 11);
    const size = inverse ? fftLength + 2 : b.random() < 0.5 ? fftLength : b.integer(1, fftLength);
    const shape = b.pick([size], [2, size]);
    const x = b.add({ type, shape });
    if (!inverse) return modelOf(b, [x], transform(b, x, fftLength));
    const output = { type, shape: [...shape.slice(0, -1), fftLength] };
    const options = { fftLength, sampleType: tensorTypeCode(type) };
    return modelOf(b, [x], apply(b, 'SIGNAL_IRFFT', [x], [output], options));
  };
}

function overlapGraph(type: TensorType): (random: Random) => Graph {
  return (random) => {
    const b = new GraphBuilder(random);
    const [size, frames] = [b.integer(1, 40), b.integer(1, 4)];
    const frameStep = b.integer(1, size);
    const outer = b.pick<number[]>([], [1], [b.integer(1, 3)]);
    const x = b.add({ type, shape: [...outer, frames, size] });
    const output = { type, shape: [...outer, frames * frameStep] };
    const options = { frameStep, sampleType: tensorTypeCode(type) };
    return modelOf(b, [x], apply(b, 'SIGNAL_OVERLAP_ADD', [x], [output], options));
  };
}

function autoScale(b: GraphBuilder, x: number): number[] {
  const { shape } = b.tensors[x]!;
  return apply(
    b,
    'SIGNAL_FFT_AUTO_SCALE',
    [x],
    [
      { type: 'int16', shape },
      { type: 'int32', shape: [] },
    ],
    {},
  );
}

/** Models of one operator, or of a filter bank with its square roots, and `whole`: the whole front end on a stream of samples. */
export const frontEndGraphs: Readonly<Record<string, (random: Random) => Graph>> = {
  SIGNAL_FRAMER: (random) => {
    const b = new GraphBuilder(random);
    const step = b.integer(1, 20);
    const outer = b.pick<number[]>([], [1], [b.integer(1, 3)]);
    const x = sound(b, ...outer, step * b.integer(1, 4));
    return modelOf(b, [x], framer(b, x, step + b.integer(0, 50), step, b.random() < 0.5));
  },
  SIGNAL_WINDOW: (random) => {
    const b = new GraphBuilder(random);
    const size = b.integer(1, 40);
    const x = sound(b, ...b.pick([size], [b.integer(1, 4), size]));
    const output = { type: 'int16', shape: b.tensors[x]!.shape } as const;
    const weights = b.random() < 0.5 ? whole(b, size, 0, 4096) : whole(b, size, -32768, 32767);
    const shift = b.random() < 0.5 ? 12 : b.integer(0, 31);
    return modelOf(b, [x], apply(b, 'SIGNAL_WINDOW', [x, weights], [output], { shift }));
  },
  SIGNAL_FFT_AUTO_SCALE: (random) => {
    const b = new GraphBuilder(random);
    const x = sound(b, b.integer(1, 40));
    return modelOf(b, [x], autoScale(b, x));
  },
  SIGNAL_RFFT: (random) => {
    const b = new GraphBuilder(random);
    const length = 2 ** b.integer(2, 11);
    const size = b.random() < 0.5 ? length : b.integer(1, length);
    const x = sound(b, ...b.pick([size], [2, size]));
    return modelOf(b, [x], transform(b, x, length));
  },
  'SIGNAL_RFFT int32': transformGraph('int32', false),
  SIGNAL_IRFFT: transformGraph('int16', true),
  'SIGNAL_IRFFT int32': transformGraph('int32', true),
  SIGNAL_DELAY: (random) => {
    const b = new GraphBuilder(random);
    const size = b.integer(1, 40);
    const x = sound(b, ...b.pick([size], [b.integer(1, 3), size]));
    const output = { type: 'int16', shape: b.tensors[x]!.shape } as const;
    return modelOf(b, [x], apply(b, 'SIGNAL_DELAY', [x], [output], { delayLength: b.integer(1, 100) }));
  },
  SIGNAL_OVERLAP_ADD: overlapGraph('int16'),
  SIGNAL_ENERGY: (random) => {
    const b = new GraphBuilder(random);
    const bins = b.integer(1, 40);
    const [startIndex, endIndex] = [b.integer(0, Math.floor(bins / 2)), b.integer(Math.ceil(bins / 2), bins)];
    const x = sound(b, 2 * bins);
    const output = { type: 'uint32', shape: [bins] } as const;
    return modelOf(b, [x], apply(b, 'SIGNAL_ENERGY', [x], [output], { startIndex, endIndex }));
  },
  SIGNAL_FILTER_BANK_SQUARE_ROOT: (random) => {
    const b = new GraphBuilder(random);
    const x = levels(b, b.integer(1, 60));
    const [sums] = filterBank(b, x, b.integer(1, 12), b.random() < 0.5);
    const bits = b.add({ type: 'int32', shape: [], data: Int32Array.of(b.integer(0, 15)) });
    return modelOf(b, [x], squareRoots(b, sums!, bits));
  },
  SIGNAL_FILTER_BANK_SPECTRAL_SUBTRACTION: (random) => {
    const b = new GraphBuilder(random);
    const x = levels(b, b.integer(1, 12));
    return modelOf(b, [x], spectralSubtraction(b, x));
  },
  SIGNAL_PCAN: (random) => {
    const b = new GraphBuilder(random);
    const count = b.integer(1, 12);
    const [x, noise] = [levels(b, count), levels(b, count)];
    return modelOf(b, [x, noise], pcan(b, x, noise, b.random() < 0.5));
  },
  SIGNAL_FILTER_BANK_LOG: (random) => {
    const b = new GraphBuilder(random);
    const x = levels(b, b.integer(1, 20));
    return modelOf(b, [x], logarithms(b, x));
  },
  SIGNAL_STACKER: (random) => {
    const b = new GraphBuilder(random);
    const x = sound(b, b.integer(1, 10));
    return modelOf(b, [x], stacker(b, x));
  },
  whole: (random) => {
    const b = new GraphBuilder(random);
    const step = b.integer(20, 60);
    const size = step + b.integer(0, 60);
    const length = 2 ** Math.ceil(Math.log2(size));
    const x = sound(b, 1, step);
    // With a prefill, the first frame is complete, so that no operator reads undefined values.
    const [frames] = framer(b, x, size, step, true);
    const windowed = sound(b, 1, 1, size);
    const flat = sound(b, size);
    const taper = whole(b, size, 0, 4096);
    b.operators.push(
      { op: 'SIGNAL_WINDOW', inputs: [frames!, taper], outputs: [windowed], options: { shift: 12 } },
      { op: 'RESHAPE', inputs: [windowed], outputs: [flat], options: { newShape: [size] } },
    );
    const [scaled, bits] = autoScale(b, flat);
    const [bins] = transform(b, scaled!, length);
    const [energy] = apply(b, 'SIGNAL_ENERGY', [bins!], [{ type: 'uint32', shape: [length / 2 + 1] }], {
      startIndex: 0,
      endIndex: length / 2 + 1,
    });
    const [sums] = filterBank(b, energy!, b.integer(2, 10), true);
    const [roots] = squareRoots(b, sums!, bits!);
    const [signal, noise] = spectralSubtraction(b, roots!);
    const [normalized] = pcan(b, signal!, noise!, true);
    const [features] = logarithms(b, normalized!);
    return modelOf(b, [x], stacker(b, features!));
  },
};

/** Models of one operator on float32. */
export const realFrontEndGraphs: typeof frontEndGraphs = {
  'SIGNAL_RFFT float32': transformGraph('float32', false),
  'SIGNAL_IRFFT float32': transformGraph('float32', true),
  'SIGNAL_OVERLAP_ADD float32': overlapGraph('float32'),
};

/** A small model from int16 sounds to int16, of parts of the front end, between CASTs from and to int8. */
function onInt8(make: (b: GraphBuilder, x: number) => number): (random: Random) => Graph {
  return (random) => {
    const b = new GraphBuilder(random);
    const quantization = { scale: [1], zeroPoint: [0], axis: 0 };
    const shape = [16];
    const cast = (from: number, type: 'int8' | 'int16') => {
      const y = b.add({ type, shape: [...b.tensors[from]!.shape], quantization });
      const options = { inDataType: b.tensors[from]!.type, outDataType: type };
      b.operators.push({ op: 'CAST', inputs: [from], outputs: [y], options } as Operator);
      return y;
    };
    const x = b.add({ type: 'int8', shape, quantization });
    const last = make(b, cast(x, 'int16'));
    return modelOf(b, [x], [cast(last, 'int8')]);
  };
}

function energyOf(b: GraphBuilder, bins: number): number {
  const count = b.tensors[bins]!.shape[0]! / 2;
  const options = { startIndex: 1, endIndex: count };
  return apply(b, 'SIGNAL_ENERGY', [bins], [{ type: 'uint32', shape: [count] }], options)[0]!;
}

/** Small models with int8 inputs and outputs, for the firmware's golden vectors and damaged files. */
export const smallFrontEnds: Readonly<Record<string, (random: Random) => Graph>> = {
  'frames and stacks': onInt8((b, x) => {
    const [frames] = framer(b, x, 12, 8, false);
    const output = { type: 'int16', shape: b.tensors[frames!]!.shape } as const;
    const [windowed] = apply(b, 'SIGNAL_WINDOW', [frames!, whole(b, 12, 0, 4096)], [output], { shift: 12 });
    const flat = sound(b, 24);
    b.operators.push({
      op: 'RESHAPE',
      inputs: [windowed!],
      outputs: [flat],
      options: { newShape: [24] },
    });
    return stacker(b, flat)[0]!;
  }),
  'filter bank': onInt8((b, x) => {
    const [scaled, bits] = autoScale(b, x);
    const [bins] = transform(b, scaled!, 16);
    const [sums] = filterBank(b, energyOf(b, bins!), 3, true);
    return logarithms(b, squareRoots(b, sums!, bits!)[0]!)[0]!;
  }),
  'noise reduction': onInt8((b, x) => {
    const [bins] = transform(b, x, 32);
    const [signal, noise] = spectralSubtraction(b, energyOf(b, bins!));
    return logarithms(b, pcan(b, signal!, noise!, true)[0]!)[0]!;
  }),
};

/** The model with its first input in place of all its other inputs, which have the same shape. */
export function oneInput(graph: Graph): Graph {
  const [first = 0, ...others] = graph.inputs;
  const operators = graph.operators.map((operator) => ({
    ...operator,
    inputs: operator.inputs.map((index) => (others.includes(index) ? first : index)),
  }));
  return { ...graph, operators, inputs: [first] };
}

/**
 * Every operator's outputs, with zeros in place of values that TFLite Micro leaves undefined: incomplete frames and rows, and bins outside
 * the range.
 * @param all outputs of consecutive runs, one operator after another
 */
export function definedValues({ tensors, operators }: Graph, all: Buffer): Buffer {
  const values = Buffer.from(all);
  for (let at = 0; at < values.length; ) {
    for (const { op, outputs, options } of operators) {
      const sizes = outputs.map(
        (index) => elementCount(tensors[index]!.shape) * elementBytes(tensors[index]!.type),
      );
      const [first = 0] = sizes;
      if ((op === 'SIGNAL_FRAMER' || op === 'SIGNAL_STACKER') && values[at + first] === 0)
        values.fill(0, at, at + first);
      if (op === 'SIGNAL_ENERGY') {
        values.fill(0, at, at + 4 * options.startIndex);
        values.fill(0, at + 4 * options.endIndex, at + first);
      }
      at += sizes.reduce((sum, size) => sum + size, 0);
    }
  }
  return values;
}

/** `runs` consecutive inputs of any loudness: samples of int16, int32 or float32, or uint32 levels. */
export function soundInputs(
  graph: Graph,
  random: Random,
  runs: number,
): Int16Array | Int32Array | Uint32Array | Float32Array {
  const { type } = graph.tensors[graph.inputs[0]!]!;
  const size = inputSize(graph);
  const parts = Array.from({ length: runs }, () => {
    const most = 2 ** (random() * (type === 'int16' ? 15 : type === 'int32' ? 30 : 32));
    if (type === 'float32') return Array.from({ length: size }, () => ((random() * 2 - 1) * most) / 2 ** 20);
    return Array.from({ length: size }, () =>
      Math.floor(type === 'uint32' ? random() * most : (random() * 2 - 1) * most),
    );
  });
  if (type === 'uint32') return Uint32Array.from(parts.flat());
  if (type === 'int32') return Int32Array.from(parts.flat());
  if (type === 'float32') return Float32Array.from(parts.flat());
  // The lowest sample is special, because its magnitude does not fit int16.
  return Int16Array.from(parts.flat(), (sample) => (random() < 0.002 ? -32768 : sample));
}

import { forestIn, keyOfBits, sumLeaves } from '../../formats/tflite/forest.js';
import {
  type Graph,
  type OperatorOptions,
  type TensorType,
  tensorTypeCode,
} from '../../formats/tflite/graph.js';
import {
  bitsOf,
  gainOf,
  type NoiseReduction,
  RealTransform,
  rootOf,
  scaledLog,
  shrunk,
  withoutNoise,
} from '../../signal/microfrontend.js';
import { type Samples, SampleTransform } from '../../signal/sample-transform.js';
import type { Node, Operand } from './node.js';

/**
 * FOREST: adds integers as described in formats/tflite/forest.ts. Each sum is then multiplied by a power of two. This is exact in float32.
 * x has one row.
 */
export function forest(node: Node): () => void {
  const tensors: Graph['tensors'] = node.inputs.map((operand) => operand!.tensor);
  const own = { ...node.operator, inputs: tensors.map((_, place) => place), outputs: [tensors.length] };
  const tables = forestIn({ tensors: [...tensors, node.output.tensor] }, own);
  const [x, y] = [node.float32(0), node.float32Output];
  const words = new Int32Array(x.buffer, x.byteOffset, x.length);
  const keys = new Int32Array(x.length);
  const sums = new Int32Array(tables.outputs);
  return () => {
    for (let i = 0; i < keys.length; i++) keys[i] = keyOfBits(words[i]!);
    sumLeaves(tables, keys, sums);
    for (let o = 0; o < sums.length; o++) y[o] = sums[o]! * tables.scale;
  };
}

/** An operand that must have this type and shape; a shape of one dimension may be left open by −1. */
function typed<Data>(
  node: Node,
  { tensor, values }: Operand,
  type: TensorType,
  shape?: readonly number[],
): Data {
  if (tensor.type !== type) throw node.malformed(`expected ${tensor.name} of ${type}, got ${tensor.type}`);
  const fits =
    shape?.length === tensor.shape.length && shape.every((size, i) => size < 0 || size === tensor.shape[i]);
  if (shape && !fits) throw node.malformed(`expected ${tensor.name} of [${shape}], got [${tensor.shape}]`);
  return values as Data;
}

/** A constant vector of int16. */
function table(node: Node, place: number): Int16Array {
  const operand = node.input(place);
  if (!(operand.tensor.data instanceof Int16Array))
    throw node.unsupported(`input ${place} that is not a constant of int16`);
  return typed(node, operand, 'int16', [-1]);
}

/** One dimension of any size. */
const vector = [-1];

/**
 * SIGNAL_FRAMER: overlapping frames of a stream. `filled` counts the samples in each row of `history`, without the zeros of a prefill. An
 * incomplete frame keeps its previous values.
 */
function framer(node: Node<OperatorOptions['SIGNAL_FRAMER']>): () => void {
  const { frameSize, frameStep, prefill } = node.options;
  const { shape } = node.input(0).tensor;
  const [length = 1] = shape.slice(-1);
  if (frameStep > frameSize)
    throw node.unsupported(`a step of ${frameStep} samples, longer than a frame of ${frameSize}`);
  if (length % frameStep !== 0)
    throw node.malformed(`expected a multiple of ${frameStep} samples, got ${length}`);
  const frames = length / frameStep;
  const samples = node.int16(0);
  const history = typed<Int16Array>(node, node.input(1), 'int16');
  const filled = typed<Int32Array>(node, node.input(2), 'int32');
  const complete = typed<Uint8Array>(node, node.outputs[1]!, 'bool', []);
  const rows = samples.length / length;
  const y = typed<Int16Array>(node, node.output, 'int16');
  node.expectOutputSize(rows * frames * frameSize);
  if (node.output.tensor.shape.length !== shape.length + 1)
    throw node.malformed(`expected ${shape.length + 1} dimensions, got [${node.output.tensor.shape}]`);
  const capacity = history.length / rows;
  const zeros = prefill ? frameSize - frameStep : 0;
  return () => {
    complete[0] = 1;
    let count = 0;
    for (let row = 0; row < rows; row++) {
      count = filled[0]! + zeros;
      const own = history.subarray(row * capacity, (row + 1) * capacity);
      for (let frame = 0; frame < frames; frame++) {
        const at = (row * frames + frame) * frameStep;
        own.set(samples.subarray(at, at + frameStep), count);
        count += frameStep;
        if (count < frameSize) {
          complete[0] = 0;
          continue;
        }
        y.set(own.subarray(0, frameSize), (row * frames + frame) * frameSize);
        own.copyWithin(0, frameStep, count);
        count -= frameStep;
      }
    }
    filled[0] = count - zeros;
  };
}

/** SIGNAL_WINDOW: each product is shifted, and limited to int16. */
function window(node: Node<OperatorOptions['SIGNAL_WINDOW']>): () => void {
  const { shift } = node.options;
  const [x, weights] = [node.int16(0), table(node, 1)];
  const y = typed<Int16Array>(node, node.output, 'int16', node.input(0).tensor.shape);
  if (x.length % weights.length !== 0)
    throw node.malformed(`expected a multiple of ${weights.length} samples, got ${x.length}`);
  return () => {
    for (let i = 0; i < y.length; i++) {
      const product = (x[i]! * weights[i % weights.length]!) >> shift;
      y[i] = product < -32768 ? -32768 : product > 32767 ? 32767 : product;
    }
  };
}

/** SIGNAL_FFT_AUTO_SCALE. The magnitude of −32,768 wraps to a negative number, as in TFLite Micro. */
function autoScale(node: Node): () => void {
  const x = typed<Int16Array>(node, node.input(0), 'int16', vector);
  const y = typed<Int16Array>(node, node.output, 'int16', node.input(0).tensor.shape);
  const scaled = typed<Int32Array>(node, node.outputs[1]!, 'int32', []);
  return () => {
    let most = 0;
    for (let i = 0; i < x.length; i++) {
      if (x[i]! > most) most = x[i]!;
      else if (-x[i]! > most) most = (-x[i]! << 16) >> 16;
    }
    // Silence is not scaled, because TFLite Micro treats 0 as a number of 32 bits.
    const bits = most === 0 ? 0 : Math.max(0, 15 - bitsOf(most));
    for (let i = 0; i < x.length; i++) y[i] = x[i]! << bits;
    scaled[0] = bits;
  };
}

/** SIGNAL_RFFT: a transform of each row, which is padded with zeros. */
function transform(node: Node<OperatorOptions['SIGNAL_RFFT']>): () => void {
  const { fftLength } = node.options;
  const { shape } = node.input(0).tensor;
  const [size = 1] = shape.slice(-1);
  samplesOf(node);
  if (!Number.isInteger(Math.log2(fftLength)))
    throw node.unsupported(`${fftLength} samples, which are not a power of two`);
  if (size > fftLength)
    throw node.malformed(`expected at most ${fftLength} samples, the length of the transform, got ${size}`);
  const x = node.int16(0);
  const y = typed<Int16Array>(node, node.output, 'int16', [...shape.slice(0, -1), fftLength + 2]);
  const fourier = new RealTransform(fftLength);
  const padded = new Int16Array(fftLength);
  return () => {
    for (let from = 0, to = 0; from < x.length; from += size) {
      padded.set(x.subarray(from, from + size));
      fourier.run(padded);
      for (let bin = 0; bin <= fftLength / 2; bin++) {
        y[to++] = fourier.re[bin]!;
        y[to++] = fourier.im[bin]!;
      }
    }
  };
}

/** Samples of the type that the options name. */
function samplesOf(node: Node<{ sampleType: number }>): Samples {
  const { tensor, values } = node.input(0);
  const code = tensorTypeCode(tensor.type);
  if (code !== node.options.sampleType)
    throw node.malformed(`expected samples of type ${node.options.sampleType}, got ${code} (${tensor.type})`);
  return values as Samples;
}

/** SIGNAL_RFFT of int32 and float32, and SIGNAL_IRFFT. */
function fourier(inverse: boolean) {
  return (node: Node<OperatorOptions['SIGNAL_RFFT']>): (() => void) => {
    const { fftLength } = node.options;
    const { shape, type } = node.input(0).tensor;
    const [size = 1] = shape.slice(-1);
    const x = samplesOf(node);
    if (!Number.isInteger(Math.log2(fftLength)))
      throw node.unsupported(`${fftLength} samples, which are not a power of two`);
    if (inverse ? size !== fftLength + 2 : size > fftLength)
      throw node.malformed(
        `expected ${inverse ? fftLength + 2 : `at most ${fftLength}`} values per row, got ${size}`,
      );
    const made = inverse ? fftLength : fftLength + 2;
    const y = typed<Samples>(node, node.output, type, [...shape.slice(0, -1), made]);
    const transform = new SampleTransform(type as 'int16', fftLength, inverse);
    const padded = x.slice(0, 0).constructor as new (length: number) => Samples;
    const row = new padded(inverse ? size : fftLength);
    return () => {
      for (let from = 0, to = 0; from < x.length; from += size, to += made) {
        row.set(x.subarray(from, from + size));
        const out = y.subarray(to, to + made);
        if (inverse) transform.backward(row, out);
        else transform.forward(row, out);
        if (inverse && out instanceof Float32Array)
          for (let i = 0; i < made; i++) out[i] = out[i]! / fftLength;
      }
    };
  };
}

/** SIGNAL_DELAY: each row of samples follows the last `delayLength` samples of the previous runs. */
function delay(node: Node<OperatorOptions['SIGNAL_DELAY']>): () => void {
  const { delayLength } = node.options;
  const { shape } = node.input(0).tensor;
  const [size = 1] = shape.slice(-1);
  const x = node.int16(0);
  const history = typed<Int16Array>(node, node.input(1), 'int16', [x.length / size, delayLength]);
  const y = typed<Int16Array>(node, node.output, 'int16', shape);
  const row = new Int16Array(delayLength + size);
  return () => {
    for (let from = 0, own = 0; from < x.length; from += size, own += delayLength) {
      row.set(history.subarray(own, own + delayLength));
      row.set(x.subarray(from, from + size), delayLength);
      y.set(row.subarray(0, size), from);
      history.set(row.subarray(size), own);
    }
  };
}

/** SIGNAL_OVERLAP_ADD. Sums of int16 are limited to int16. */
function overlapAdd(node: Node<OperatorOptions['SIGNAL_OVERLAP_ADD']>): () => void {
  const { frameStep } = node.options;
  const { shape, type } = node.input(0).tensor;
  const [frames = 1, size = 1] = shape.slice(-2);
  const x = samplesOf(node);
  if (shape.length < 2) throw node.malformed(`expected frames of samples, got [${shape}]`);
  if (frameStep > size)
    throw node.unsupported(`a step of ${frameStep} samples, longer than a frame of ${size}`);
  const rows = x.length / size / frames;
  const sums = typed<Samples>(node, node.input(1), type, [rows, size]);
  const y = node.output.values as Samples;
  if (node.output.tensor.type !== type || node.output.tensor.shape.length !== shape.length - 1)
    throw node.malformed(
      `expected an output of ${type} with ${shape.length - 1} dimensions, got ${node.output.tensor.type} [${node.output.tensor.shape}]`,
    );
  node.expectOutputSize(rows * frames * frameStep);
  const whole = type === 'int16';
  return () => {
    for (let frame = 0; frame < rows * frames; frame++) {
      const own = sums.subarray(Math.floor(frame / frames) * size, (Math.floor(frame / frames) + 1) * size);
      for (let i = 0; i < size; i++) {
        const sum = own[i]! + x[frame * size + i]!;
        own[i] = whole ? Math.max(-32768, Math.min(32767, sum)) : sum;
      }
      y.set(own.subarray(0, frameStep), frame * frameStep);
      own.copyWithin(0, frameStep);
      own.fill(0, size - frameStep);
    }
  };
}

/** SIGNAL_ENERGY. Bins outside the range stay 0. */
function energy(node: Node<OperatorOptions['SIGNAL_ENERGY']>): () => void {
  const { startIndex, endIndex } = node.options;
  const x = typed<Int16Array>(node, node.input(0), 'int16', vector);
  const y = typed<Uint32Array>(node, node.output, 'uint32', vector);
  if (2 * endIndex > x.length || endIndex > y.length)
    throw node.malformed(`${endIndex} bins do not fit ${x.length / 2} inputs and ${y.length} outputs`);
  return () => {
    for (let i = startIndex; i < endIndex; i++) y[i] = x[2 * i]! ** 2 + x[2 * i + 1]! ** 2;
  };
}

/** Views a uint64 tensor, whose values are pairs of uint32. */
function wideView({ buffer, byteOffset, length }: Uint32Array): BigUint64Array {
  return new BigUint64Array(buffer as ArrayBuffer, byteOffset, length / 2);
}

/**
 * SIGNAL_FILTER_BANK: each bin between two centers belongs to both channels, with a weight for the next and an unweight for the previous
 * channel. Sums wrap at 64 bits.
 */
function filterBank(node: Node<OperatorOptions['SIGNAL_FILTER_BANK']>): () => void {
  const { numChannels } = node.options;
  const x = typed<Uint32Array>(node, node.input(0), 'uint32', vector);
  const y = typed<Uint32Array>(node, node.output, 'uint64', [numChannels]);
  const [weights, unweights] = [table(node, 1), table(node, 2)];
  const [bins, starts, widths] = [table(node, 3), table(node, 4), table(node, 5)];
  let largest = 0;
  for (let edge = 0; edge <= numChannels; edge++) {
    const [bin = -1, start = -1, width = 0] = [bins[edge], starts[edge], widths[edge]];
    const weighted = Math.min(weights.length, unweights.length);
    if (width > 0 && (bin < 0 || start < 0 || bin + width > x.length || start + width > weighted))
      throw node.malformed(`channel ${edge} has bins or weights that do not exist`);
    for (let k = 0; k < width; k++) {
      const both = [weights[start + k]!, unweights[start + k]!];
      largest += both.some((weight) => weight < 0) ? Number.POSITIVE_INFINITY : both[0]! + both[1]!;
    }
  }
  // If no weight is negative, sums up to 2^53 are exact as numbers, which are faster than BigInt.
  const exact = largest <= 2 ** 21;
  const wide = wideView(y);
  const add = exact ? sumOf : wideSumOf;
  return () => {
    let rest = 0n;
    for (let edge = 0; edge <= numChannels; edge++) {
      const [bin, start, width] = [bins[edge]!, starts[edge]!, widths[edge]!];
      if (edge > 0) wide[edge - 1] = rest + add(x, bin, weights, start, width);
      rest = add(x, bin, unweights, start, width);
    }
  };
}

function sumOf(x: Uint32Array, bin: number, weights: Int16Array, start: number, width: number): bigint {
  let sum = 0;
  for (let k = 0; k < width; k++) sum += weights[start + k]! * x[bin + k]!;
  return BigInt(sum);
}

function wideSumOf(x: Uint32Array, bin: number, weights: Int16Array, start: number, width: number): bigint {
  let sum = 0n;
  for (let k = 0; k < width; k++) sum += BigInt(weights[start + k]!) * BigInt(x[bin + k]!);
  return sum;
}

/** SIGNAL_FILTER_BANK_SQUARE_ROOT: rounded roots, shifted right by the number of bits by which the samples were shifted left. */
function squareRoots(node: Node): () => void {
  const x = typed<Uint32Array>(node, node.input(0), 'uint64', vector);
  const shift = typed<Int32Array>(node, node.input(1), 'int32', []);
  const y = typed<Uint32Array>(node, node.output, 'uint32', node.input(0).tensor.shape);
  const wide = wideView(x);
  return () => {
    for (let i = 0; i < y.length; i++) {
      const exact = x[2 * i + 1]! < 2 ** 21;
      y[i] = (exact ? rootOf(2 ** 32 * x[2 * i + 1]! + x[2 * i]!) : wideRootOf(wide[i]!)) >>> shift[0]!;
    }
  };
}

/** Like `rootOf`, for integers below 2^64. */
function wideRootOf(x: bigint): number {
  let root = BigInt(Math.floor(Math.sqrt(Number(x))));
  while (root * root > x) root--;
  while ((root + 1n) * (root + 1n) <= x) root++;
  return Math.min(0xffffffff, Number(x - root * root > root ? root + 1n : root));
}

/** SIGNAL_FILTER_BANK_SPECTRAL_SUBTRACTION. */
function spectralSubtraction(
  node: Node<OperatorOptions['SIGNAL_FILTER_BANK_SPECTRAL_SUBTRACTION']>,
): () => void {
  const { options } = node;
  const shape = [options.numChannels];
  const x = typed<Uint32Array>(node, node.input(0), 'uint32', shape);
  const noise = typed<Uint32Array>(node, node.input(1), 'uint32', shape);
  const y = typed<Uint32Array>(node, node.output, 'uint32', shape);
  const estimate = typed<Uint32Array>(node, node.outputs[1]!, 'uint32', shape);
  const settings: NoiseReduction = {
    smoothingBits: options.smoothingBits,
    shareBits: options.spectralSubtractionBits,
    shares: [
      [options.smoothing, options.oneMinusSmoothing],
      [options.alternateSmoothing, options.alternateOneMinusSmoothing],
    ],
    remaining: options.minSignalRemaining,
    clamps: options.clamping,
  };
  return () => {
    for (let band = 0; band < y.length; band++) y[band] = withoutNoise(x[band]!, band, noise, settings);
    estimate.set(noise);
  };
}

/** SIGNAL_PCAN: normalizes each channel by its noise estimate. */
function pcan(node: Node<OperatorOptions['SIGNAL_PCAN']>): () => void {
  const { snrShift } = node.options;
  const x = typed<Uint32Array>(node, node.input(0), 'uint32', vector);
  const { shape } = node.input(0).tensor;
  const noise = typed<Uint32Array>(node, node.input(1), 'uint32', shape);
  const y = typed<Uint32Array>(node, node.output, 'uint32', shape);
  const gains = table(node, 2);
  if (gains.length < 125) throw node.malformed(`expected a table of at least 125 gains, got ${gains.length}`);
  return () => {
    for (let band = 0; band < y.length; band++) {
      const gain = gainOf(noise[band]!, gains);
      // A gain below 0 becomes a large uint32, whose product may need 64 bits.
      const snr =
        gain < 0
          ? Number(BigInt.asUintN(32, (BigInt(x[band]!) * BigInt(gain >>> 0)) >> BigInt(snrShift)))
          : Math.floor((x[band]! * gain) / 2 ** snrShift) % 2 ** 32;
      y[band] = shrunk(snr);
    }
  };
}

/** SIGNAL_FILTER_BANK_LOG. The shifted signal wraps at 32 bits, and the logarithm is limited to int16. */
function logarithms(node: Node<OperatorOptions['SIGNAL_FILTER_BANK_LOG']>): () => void {
  const { inputCorrectionBits, outputScale } = node.options;
  const x = typed<Uint32Array>(node, node.input(0), 'uint32', vector);
  const y = typed<Int16Array>(node, node.output, 'int16', node.input(0).tensor.shape);
  return () => {
    for (let band = 0; band < y.length; band++) {
      const value = (x[band]! << inputCorrectionBits) >>> 0;
      y[band] = value > 1 ? Math.min(32767, scaledLog(value, outputScale)) : 0;
    }
  };
}

/** SIGNAL_STACKER: `state` is the number of values in `history`, and whether there was a first frame, which counts several times. */
function stacker(node: Node<OperatorOptions['SIGNAL_STACKER']>): () => void {
  const { numChannels, stackerLeftContext: left, stackerRightContext: right, stackerStep } = node.options;
  if (stackerStep > left + 1 + right)
    throw node.unsupported(`a step of ${stackerStep} frames, longer than a row of ${left + 1 + right}`);
  const x = typed<Int16Array>(node, node.input(0), 'int16', [numChannels]);
  const history = typed<Int16Array>(node, node.input(1), 'int16');
  const state = typed<Int32Array>(node, node.input(2), 'int32');
  const y = typed<Int16Array>(node, node.output, 'int16', [history.length]);
  const complete = typed<Uint8Array>(node, node.outputs[1]!, 'bool', []);
  return () => {
    let count = state[0]!;
    for (let copies = state[1] === 0 ? left + 1 : 1; copies > 0; copies--) {
      history.set(x, count);
      count += numChannels;
    }
    complete[0] = count >= history.length ? 1 : 0;
    if (complete[0] === 1) {
      y.set(history);
      history.copyWithin(0, stackerStep * numChannels);
      count -= stackerStep * numChannels;
    }
    state[0] = count;
    state[1] = 1;
  };
}

/**
 * The operators of TFLite Micro's audio front end, in integers as in its reference kernels. Their arithmetic is shared with the signal kind
 * `micro` (signal/microfrontend.ts).
 */
export const signals = {
  SIGNAL_FRAMER: { 'int16 int16': framer },
  SIGNAL_WINDOW: { 'int16 int16': window },
  SIGNAL_FFT_AUTO_SCALE: { 'int16 int16': autoScale },
  SIGNAL_RFFT: {
    'int16 int16': transform,
    'int32 int32': fourier(false),
    'float32 float32': fourier(false),
  },
  SIGNAL_IRFFT: {
    'int16 int16': fourier(true),
    'int32 int32': fourier(true),
    'float32 float32': fourier(true),
  },
  SIGNAL_DELAY: { 'int16 int16': delay },
  SIGNAL_OVERLAP_ADD: { 'int16 int16': overlapAdd, 'float32 float32': overlapAdd },
  SIGNAL_ENERGY: { 'int16 uint32': energy },
  SIGNAL_FILTER_BANK: { 'uint32 uint64': filterBank },
  SIGNAL_FILTER_BANK_SQUARE_ROOT: { 'uint64 uint32': squareRoots },
  SIGNAL_FILTER_BANK_SPECTRAL_SUBTRACTION: { 'uint32 uint32': spectralSubtraction },
  SIGNAL_PCAN: { 'uint32 uint32': pcan },
  SIGNAL_FILTER_BANK_LOG: { 'uint32 int16': logarithms },
  SIGNAL_STACKER: { 'int16 int16': stacker },
};

import { AiotError } from '../../core/errors.js';
import { plural } from '../../core/figures.js';
import { gaussian, type Random, seededRandom } from '../../core/numbers.js';
import type { LayerConfig } from '../../core/project-schema.js';
import type { Activation } from '../../formats/tflite/graph.js';
import type { Trainable } from '../engine/types.js';
import { TrainableBuilder, type WindowShape } from './graph-builder.js';
import { type NetworkSpec, outputSize } from './layers.js';

/** Slope of `leaky-relu` below 0. */
const leak = 0.1;

/**
 * Builds an untrained network as a trainable graph. Its weights depend only on `seed`. The input is [1, features], or an image. Windows
 * [samples, fields] are [1, 1, samples, fields], so that convolutions over time are CONV_2D of height 1 and no RESHAPE copies the input. A
 * batch norm directly after a layer is applied to the layer's sums, before the activation, so that the batch norm can be folded into the
 * layer. Dense layers flatten their input.
 * @throws AIOT_MODEL_UNFIT naming the layer whose input does not fit
 */
export function buildTrainable(spec: NetworkSpec, seed: number): Trainable {
  const builder = new TrainableBuilder();
  const maker = new LayerMaker(builder, new InitialWeights(seed), spec.inputShape.length === 2);
  const input = builder.activation('input', graphInput(spec));
  let x = input;
  spec.layers.forEach((layer, i) => {
    const normed = spec.layers[i + 1]?.type === 'batch-norm' && isLinear(layer);
    const norms = layer.type === 'batch-norm' && i > 0 && isLinear(spec.layers[i - 1]!);
    const after = norms ? activationOf(spec.layers[i - 1]!) : undefined;
    x = maker.add(x, layer, `layer ${i + 1} (${layer.type})`, { delayed: normed, after });
  });
  const name = outputNames[spec.output.kind];
  const end: End = { activation: 'none', bias: true };
  const output =
    spec.output.kind === 'objects'
      ? maker.cells(x, spec.output, name, end)
      : maker.dense(x, outputSize(spec), name, end);
  const { parameters, batchNorms, dropouts } = builder;
  return { graph: builder.graph(input, output), parameters, batchNorms, dropouts, ending: endingOf(spec) };
}

/** Names of the output tensors, by kind of prediction. */
export const outputNames = {
  classes: 'logits',
  probability: 'logit',
  value: 'values',
  reconstruction: 'reconstruction',
  objects: 'cells',
} as const;

/** The operator at the end of the written graph. */
export function endingOf({ output }: Pick<NetworkSpec, 'output'>): Trainable['ending'] {
  if (output.kind === 'objects') return 'SOFTMAX';
  return output.kind === 'classes' ? 'SOFTMAX' : output.kind === 'probability' ? 'LOGISTIC' : 'none';
}

/** Shape of the network's input, including batch 1. */
export function graphInput({ inputShape, layers }: NetworkSpec): number[] {
  const first = layers.find(({ type }) => type !== 'batch-norm' && type !== 'dropout')?.type ?? 'dense';
  const flat = inputShape.length === 1 || first === 'dense' || first === 'flatten';
  if (flat) return [1, inputShape.reduce((a, b) => a * b, 1)];
  return inputShape.length === 2 ? [1, 1, ...inputShape] : [1, ...inputShape];
}

type NamedActivation = Extract<LayerConfig, { activation: unknown }>['activation'];

function isLinear(layer: LayerConfig): layer is Extract<LayerConfig, { activation: unknown }> {
  return 'activation' in layer;
}

function activationOf(layer: LayerConfig): NamedActivation {
  return isLinear(layer) ? layer.activation : 'none';
}

interface Neighbours {
  /** Whether a batch norm follows, which then applies this layer's activation. */
  delayed: boolean;
  /** For a batch norm: the activation taken over from the previous layer. */
  after: NamedActivation | undefined;
}

/** The activation and bias at the end of a layer. A layer before a batch norm has neither. */
interface End {
  activation: NamedActivation;
  bias: boolean;
}

class LayerMaker {
  private readonly counts = new Map<string, number>();

  constructor(
    private readonly builder: TrainableBuilder,
    private readonly weights: InitialWeights,
    /** Whether images are windows over time, with height 1. */
    private readonly overTime: boolean,
  ) {}

  add(x: number, layer: LayerConfig, place: string, { delayed, after }: Neighbours): number {
    const { builder } = this;
    const end: End = delayed
      ? { activation: 'none', bias: false }
      : { activation: activationOf(layer), bias: true };
    switch (layer.type) {
      case 'dense':
        return this.dense(x, layer.units, this.name('dense'), end);
      case 'conv':
        return this.convolution(this.image(x, place), layer.filters, this.window(layer, place), place, end);
      case 'depthwise':
        return this.depthwise(this.image(x, place), this.window(layer, place), place, end);
      case 'separable': {
        const window = this.window(layer, place);
        const inner = { activation: layer.activation, bias: true };
        const y = this.depthwise(this.image(x, place), window, place, inner);
        return this.convolution(y, layer.filters, pointwise, place, end);
      }
      case 'inverted-residual':
        return this.invertedResidual(this.image(x, place), layer, place);
      case 'max-pool':
      case 'average-pool': {
        const stride = layer.stride ?? layer.size;
        const window = this.window({ kernel: layer.size, stride, padding: 'valid' }, place);
        const op = layer.type === 'max-pool' ? 'MAX_POOL_2D' : 'AVERAGE_POOL_2D';
        const size = this.sizeAfter(this.image(x, place), window, place);
        return builder.pool(op, x, window, size, this.name('pool'));
      }
      case 'global-average':
        return builder.mean(this.image(x, place));
      case 'flatten':
        return builder.shape(x).length === 2 ? x : builder.flatten(x, this.name('flatten'));
      case 'batch-norm': {
        const { fused, own } = split(after ?? 'none');
        const name = this.name('norm');
        return this.unary(builder.batchNorm(x, name, fused), own, name);
      }
      case 'dropout':
        if (layer.rate > 0) builder.dropouts.push({ tensor: x, rate: layer.rate });
        return x;
    }
  }

  /**
   * A pointwise convolution that yields the class probabilities of each cell. @throws AIOT_MODEL_UNFIT if the preceding layers yield
   * another grid
   */
  cells(
    x: number,
    { grid, count }: Extract<NetworkSpec['output'], { kind: 'objects' }>,
    name: string,
    { activation, bias }: End,
  ): number {
    const [, rows, columns, channels = 0] = this.builder.shape(this.image(x, 'the last layer'));
    if (rows !== grid[0] || columns !== grid[1])
      throw unfit(`expected a grid of ${grid.join(' × ')} cells, got ${rows} × ${columns}`);
    const weights = this.weights.next(count * channels, channels);
    const { fused } = split(activation);
    return this.builder.convolution(x, count, pointwise, grid, name, fused, weights, bias);
  }

  dense(x: number, units: number, name: string, { activation, bias }: End): number {
    const { fused, own } = split(activation);
    const inputs = this.builder.size(x);
    const y = this.builder.dense(x, units, name, fused, this.weights.next(units * inputs, inputs), bias);
    return this.unary(y, own, name);
  }

  private convolution(
    x: number,
    filters: number,
    window: WindowShape,
    place: string,
    { activation, bias }: End,
  ): number {
    const { fused, own } = split(activation);
    const name = this.name('conv');
    const fanIn = window.filter[0] * window.filter[1] * this.builder.shape(x)[3]!;
    const weights = this.weights.next(filters * fanIn, fanIn);
    const size = this.sizeAfter(x, window, place);
    return this.unary(
      this.builder.convolution(x, filters, window, size, name, fused, weights, bias),
      own,
      name,
    );
  }

  private depthwise(x: number, window: WindowShape, place: string, { activation, bias }: End): number {
    const { fused, own } = split(activation);
    const name = this.name('depthwise');
    const taps = window.filter[0] * window.filter[1];
    const weights = this.weights.next(taps * this.builder.shape(x)[3]!, taps);
    const size = this.sizeAfter(x, window, place);
    return this.unary(this.builder.depthwise(x, window, size, name, fused, weights, bias), own, name);
  }

  /**
   * Widens the channels, convolves them one by one, and narrows them without an activation, each with a batch norm. Adds the input if the
   * result has the same shape (Sandler et al., 2018, arXiv:1801.04381, section 3.3).
   */
  private invertedResidual(
    x: number,
    { filters, stride, expansion }: Extract<LayerConfig, { type: 'inverted-residual' }>,
    place: string,
  ): number {
    const { builder } = this;
    const linear: End = { activation: 'none', bias: false };
    const channels = builder.shape(x)[3]!;
    const normed = (y: number, activation: Activation) => builder.batchNorm(y, this.name('norm'), activation);
    const wide =
      expansion === 1
        ? x
        : normed(this.convolution(x, channels * expansion, pointwise, place, linear), 'relu6');
    const window = this.window({ kernel: this.overTime ? [3, 1] : 3, stride, padding: 'same' }, place);
    const middle = normed(this.depthwise(wide, window, place, linear), 'relu6');
    const y = normed(this.convolution(middle, filters, pointwise, place, linear), 'none');
    const shape = builder.shape(y);
    if (builder.shape(x).some((size, axis) => size !== shape[axis])) return y;
    return builder.operator('ADD', [x, y], this.name('residual'), shape, { activation: 'none' });
  }

  private unary(x: number, op: 'LEAKY_RELU' | 'TANH' | 'LOGISTIC' | undefined, name: string): number {
    if (op === undefined) return x;
    const options = op === 'LEAKY_RELU' ? { alpha: Math.fround(leak) } : {};
    return this.builder.operator(
      op,
      [x],
      `${name}/${op.toLowerCase()}`,
      this.builder.shape(x),
      options as never,
    );
  }

  private image(x: number, place: string): number {
    const shape = this.builder.shape(x);
    if (shape.length === 4) return x;
    throw unfit(
      `${place}: expected raw windows or an image as input, got ${shape.at(-1)} separate numbers`,
      'In aiot.yaml, set signal.features: raw, or use dense layers.',
    );
  }

  private window(
    { kernel, stride, padding }: { kernel: Pair; stride: Pair; padding: 'same' | 'valid' },
    place: string,
  ): WindowShape {
    return { filter: this.pair(kernel, place), stride: this.pair(stride, place), padding };
  }

  private pair(value: Pair, place: string): [number, number] {
    const given = typeof value === 'number' ? undefined : value;
    if (!this.overTime) return given ? [given[0], given[1]] : [value as number, value as number];
    if (given && given[1] !== 1)
      throw unfit(
        `${place}: expected [${given[0]}, 1] or ${given[0]} over [samples, fields], got [${given}]`,
      );
    return [1, given ? given[0] : (value as number)];
  }

  private sizeAfter(x: number, { filter, stride, padding }: WindowShape, place: string): [number, number] {
    const shape = this.builder.shape(x);
    const [height, width] = [0, 1].map((k) => {
      const cells = padding === 'same' ? shape[k + 1]! : shape[k + 1]! - filter[k]! + 1;
      return Math.ceil(cells / stride[k]!);
    }) as [number, number];
    if (height >= 1 && width >= 1) return [height, width];
    const [had, want] = this.overTime
      ? [plural(shape[2]!, 'sample'), `${filter[1]}`]
      : [`${shape[1]} × ${shape[2]}`, filter.join(' × ')];
    throw unfit(`${place}: a window of ${want} does not fit into ${had}`);
  }

  private name(kind: string): string {
    const count = (this.counts.get(kind) ?? 0) + 1;
    this.counts.set(kind, count);
    return `${kind}_${count}`;
  }
}

type Pair = number | [number, number];

const pointwise: WindowShape = { filter: [1, 1], stride: [1, 1], padding: 'same' };

/** The activation fused into a kernel, and the activation that needs a separate operator. */
function split(activation: NamedActivation): { fused: Activation; own?: 'LEAKY_RELU' | 'TANH' | 'LOGISTIC' } {
  switch (activation) {
    case 'none':
    case 'relu':
    case 'relu6':
      return { fused: activation };
    case 'leaky-relu':
      return { fused: 'none', own: 'LEAKY_RELU' };
    case 'tanh':
      return { fused: 'none', own: 'TANH' };
    case 'sigmoid':
      return { fused: 'none', own: 'LOGISTIC' };
  }
}

function unfit(message: string, next?: string): AiotError {
  return new AiotError('AIOT_MODEL_UNFIT', message, next === undefined ? {} : { next });
}

/** Standard deviation of a standard normal distribution truncated at ±2. */
const truncatedDeviation = 0.87962566103423978;

/**
 * Initial weights of layers. Each layer has a separate random stream, so that a change in one layer does not affect other layers' weights.
 * He-normal: normal distribution truncated at two standard deviations, variance 2 / fan-in (He et al., 2015, arXiv:1502.01852, section
 * 2.2).
 */
export class InitialWeights {
  private layer = 0;
  constructor(private readonly seed: number) {}

  /** @param fanIn number of terms summed for each output */
  next(count: number, fanIn: number): Float32Array {
    const random = seededRandom(this.seed * 1000 + this.layer++);
    const deviation = Math.sqrt(2 / fanIn) / truncatedDeviation;
    return Float32Array.from({ length: count }, () => deviation * truncated(random));
  }
}

function truncated(random: Random): number {
  for (;;) {
    const value = gaussian(random);
    if (Math.abs(value) <= 2) return value;
  }
}

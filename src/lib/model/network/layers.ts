import { AiotError } from '../../core/errors.js';
import type { LayerConfig } from '../../core/project-schema.js';
import { cellSide } from '../../vision/grid.js';

export const networkKinds = [
  'mlp',
  'cnn1d',
  'ds-cnn',
  'mobilenet',
  'fomo',
  'autoencoder',
  'forest',
  'layers',
] as const;

export type NetworkKind = (typeof networkKinds)[number];

/**
 * Kind of prediction: a probability for each class, the probability of one event, real values, a reconstruction of the input, or objects in
 * a picture. A reconstruction's distance from the input measures how unusual the input is. Objects are probabilities for each cell of a
 * grid over the picture: `count` is 1 + the number of classes, because the background comes first.
 */
export type NetworkOutput =
  | { kind: 'classes'; count: number }
  | { kind: 'probability' }
  | { kind: 'value'; count: number }
  | { kind: 'reconstruction' }
  | { kind: 'objects'; count: number; grid: [rows: number, columns: number] };

export interface NetworkSpec {
  kind: NetworkKind;
  /** Shape of one example: [features], [samples, fields], or [height, width, channels]. */
  inputShape: number[];
  /** Every hidden layer, in order; the output layer follows from `output`. */
  layers: LayerConfig[];
  output: NetworkOutput;
}

export function outputSize({ output, inputShape }: Pick<NetworkSpec, 'output' | 'inputShape'>): number {
  switch (output.kind) {
    case 'classes':
    case 'value':
      return output.count;
    case 'probability':
      return 1;
    case 'reconstruction':
      return inputShape.reduce((a, b) => a * b, 1);
    case 'objects':
      return output.grid[0] * output.grid[1] * output.count;
  }
}

type Layer = LayerConfig;

/** Default hidden layers, if aiot.yaml specifies none. */
export const defaultLayers: Readonly<Record<Exclude<NetworkKind, 'layers' | 'forest'>, readonly number[]>> = {
  mlp: [32, 16],
  cnn1d: [16, 32],
  'ds-cnn': [16, 24, 32],
  mobilenet: [8, 16, 32, 32, 64, 64, 128],
  fomo: [8, 16, 24, 24, 48, 48, 64],
  autoencoder: [32, 8],
};

/** Default filters for a mobilenet with v2 blocks: narrower, because the blocks expand them sixfold. */
const defaultV2: readonly number[] = [8, 8, 12, 12, 16, 16, 24, 96];

/** Default filters for a fomo with v2 blocks. */
const defaultFomoV2: readonly number[] = [8, 8, 12, 12, 16, 16, 64];

/** Taps of every convolution of a cnn1d. */
const convolutionTaps = 5;

/**
 * Every hidden layer of a network, from model.kind and model.layers in aiot.yaml. Numbers are units or filters in the kind's own pattern;
 * layers listed individually are used unchanged.
 *
 * - mlp: dense layers.
 * - cnn1d: convolutions of 5 taps, each followed by a pool of 2 while there are enough samples; then the mean over time.
 * - ds-cnn: a convolution of stride 2, then depthwise separable ones (depthwise 3, pointwise), each with a batch norm; then the mean over
 * the image. (Zhang et al., Hello Edge, 2017, arXiv:1711.07128, figure 3.) Over time for [samples, fields], over an image for [height,
 * width, channels].
 * - mobilenet: MobileNet v1 (Howard et al., 2017, arXiv:1704.04861, table 1): a 3 × 3 convolution of stride 2, then depthwise separable
 *   ones, each with a batch norm and relu6. From the second block, a block with more filters than the previous one has stride 2. Then the
 *   mean over the image.
 * - mobilenet with v2 blocks: MobileNet v2 (Sandler et al., 2018, arXiv:1801.04381, table 2): the blocks are inverted residuals, the first
 *   without expansion, and the last number is a pointwise convolution.
 * - fomo: a mobilenet that ends where the picture has become an eighth as wide and high, without the mean (the idea of Edge Impulse's
 * FOMO). Each position of its output covers one part of the picture. Only the first two blocks with more filters than the previous one have
 * stride 2.
 * - autoencoder: dense layers down to the last number, and the same layers in reverse order.
 * - forest: no layers; see `learnForest`.
 * @throws AIOT_MODEL_UNFIT
 */
export function layersOf(
  kind: NetworkKind,
  layers: readonly number[] | readonly LayerConfig[] | undefined,
  inputShape: readonly number[],
  blocks?: 'v1' | 'v2',
): Layer[] {
  if (kind === 'forest') return [];
  if (layers !== undefined && typeof layers[0] === 'object') return layers.map((each) => each as Layer);
  if (kind === 'layers') {
    throw new AiotError(
      'AIOT_MODEL_UNFIT',
      'model.kind is layers, but model.layers is not a list of layers',
      {
        next: 'Use, for example, `layers: [{ type: dense, units: 32 }]`, or choose model.kind: mlp.',
      },
    );
  }
  const sizes = (layers as readonly number[] | undefined) ?? defaultLayers[kind];
  switch (kind) {
    case 'mlp':
      return sizes.map((units) => dense(units));
    case 'autoencoder':
      return [...sizes, ...sizes.slice(0, -1).reverse()].map((units) => dense(units));
    case 'cnn1d':
      return overTime(sizes, inputShape[0] ?? 0);
    case 'ds-cnn':
      return separable(sizes, inputShape);
    case 'mobilenet':
      return blocks === 'v2' ? mobilenetV2(layers === undefined ? defaultV2 : sizes) : mobilenet(sizes);
    case 'fomo': {
      const own = blocks === 'v2' && layers === undefined ? defaultFomoV2 : sizes;
      return truncated(blocks === 'v2' ? mobilenetV2(own, 2) : mobilenet(own, 2), own);
    }
  }
}

/** The layers without the mean over the image. @throws AIOT_MODEL_UNFIT if the output is not an eighth as wide and high */
function truncated(layers: readonly Layer[], sizes: readonly number[]): Layer[] {
  const own = layers.filter(({ type }) => type !== 'global-average');
  const reduction = own.reduce((sum, layer) => sum * ('stride' in layer ? Number(layer.stride ?? 1) : 1), 1);
  if (reduction === cellSide) return own;
  throw new AiotError(
    'AIOT_MODEL_UNFIT',
    `model.layers: expected a grid with cells of ${cellSide} × ${cellSide} pixels for a fomo, got ${reduction} × ${reduction} with [${sizes.join(', ')}]`,
    {
      next: 'From the third number on, at least two numbers must be larger than the one before, as in [8, 16, 24, 24, 48, 48, 64].',
    },
  );
}

function dense(units: number): Layer {
  return { type: 'dense', units, activation: 'relu' };
}

function overTime(sizes: readonly number[], length: number): Layer[] {
  let samples = length;
  const layers = sizes.flatMap((filters): Layer[] => {
    const convolution: Layer = { ...convolutionOf(filters), kernel: convolutionTaps };
    if (samples < 2) return [convolution];
    samples = Math.floor(samples / 2);
    return [convolution, { type: 'max-pool', size: 2 }];
  });
  return [...layers, { type: 'global-average' }];
}

function separable([first = 16, ...blocks]: readonly number[], inputShape: readonly number[]): Layer[] {
  const kernel = inputShape.length === 2 ? 5 : 3;
  const norm: Layer = { type: 'batch-norm' };
  return [
    { ...convolutionOf(first), kernel, stride: 2 },
    norm,
    ...blocks.flatMap((filters): Layer[] => [
      { type: 'depthwise', kernel: 3, stride: 1, padding: 'same', activation: 'relu' },
      norm,
      { ...convolutionOf(filters), kernel: 1 },
      norm,
    ]),
    { type: 'global-average' },
  ];
}

/** @param halvings maximum number of blocks with stride 2 */
function mobilenet([first = 8, ...blocks]: readonly number[], halvings = Number.POSITIVE_INFINITY): Layer[] {
  const strides = stridesOf(blocks, halvings);
  const norm: Layer = { type: 'batch-norm' };
  const relu6 = { padding: 'same', activation: 'relu6' } as const;
  return [
    { type: 'conv', filters: first, kernel: 3, stride: 2, ...relu6 },
    norm,
    ...blocks.flatMap((filters, i): Layer[] => {
      return [
        { type: 'depthwise', kernel: 3, stride: strides[i]!, ...relu6 },
        norm,
        { type: 'conv', filters, kernel: 1, stride: 1, ...relu6 },
        norm,
      ];
    }),
    { type: 'global-average' },
  ];
}

/** From the second block, a block with more filters than the previous one has stride 2, until the maximum number of them is reached. */
function stridesOf(blocks: readonly number[], halvings: number): number[] {
  let left = halvings;
  return blocks.map((filters, i) => (i > 0 && filters > blocks[i - 1]! && left-- > 0 ? 2 : 1));
}

function mobilenetV2(sizes: readonly number[], halvings = Number.POSITIVE_INFINITY): Layer[] {
  const [first = 8, ...rest] = sizes;
  const [blocks, last] = rest.length > 1 ? [rest.slice(0, -1), rest.at(-1)!] : [rest, undefined];
  const strides = stridesOf(blocks, halvings);
  const norm: Layer = { type: 'batch-norm' };
  const relu6 = { padding: 'same', activation: 'relu6' } as const;
  const ending: Layer[] =
    last === undefined ? [] : [{ type: 'conv', filters: last, kernel: 1, stride: 1, ...relu6 }, norm];
  return [
    { type: 'conv', filters: first, kernel: 3, stride: 2, ...relu6 },
    norm,
    ...blocks.map(
      (filters, i): Layer => ({
        type: 'inverted-residual',
        filters,
        stride: strides[i]!,
        expansion: i === 0 ? 1 : 6,
      }),
    ),
    ...ending,
    { type: 'global-average' },
  ];
}

function convolutionOf(filters: number): Extract<Layer, { type: 'conv' | 'separable' }> {
  return { type: 'conv', filters, kernel: 3, stride: 1, padding: 'same', activation: 'relu' };
}

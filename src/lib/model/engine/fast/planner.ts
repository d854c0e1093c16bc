import { errorMaker } from '../../../core/errors.js';
import { elementCount, type Graph, type Operator, type Padding } from '../../../formats/tflite/graph.js';
import type { Memory } from '../../../runtime/compiled/assembler.js';
import type { FakeQuantization, Trainable } from '../types.js';
import { fakeWeights } from './elementwise.js';
import { Arena } from './memory.js';
import type { Slot, TrainNode } from './node.js';
import { Parameters } from './parameters.js';
import type { Cells } from './pooling.js';

export const unfit = errorMaker('AIOT_MODEL_UNFIT', 'this model cannot be trained: ');

interface WindowOptions {
  padding: Padding;
  strideH: number;
  strideW: number;
  dilationH?: number;
  dilationW?: number;
}

/**
 * Height, width, channels, filter, strides, dilations, padding before, and the output's height and width, in the order of the kernels'
 * arguments.
 */
type WindowSizes = [
  ...[number, number, number, number, number, number, number],
  ...[number, number, number, number, number, number],
];

/** Memory and tensors of a graph prepared for training with up to `rows` examples at a time. */
export class Planner {
  readonly arena = new Arena();
  readonly parameters: Parameters;
  /** Steps that run before the operators of each pass. */
  readonly before: TrainNode[] = [];
  private readonly slots = new Map<number, Slot>();
  private readonly constants: [Slot, Float32Array][] = [];

  constructor(
    private readonly trainable: Trainable,
    readonly rows: number,
    private readonly fake: FakeQuantization | undefined,
  ) {
    this.parameters = new Parameters(this.arena, trainable);
    trainable.parameters.forEach((index, place) => {
      this.slots.set(index, this.parameters.slot(place));
    });
    const [input = -1] = this.graph.inputs;
    this.slots.set(input, {
      size: this.size(input),
      constant: false,
      value: this.arena.floats(rows * this.size(input)),
    });
  }

  get graph(): Graph {
    return this.trainable.graph;
  }

  shape(index: number): number[] {
    return this.graph.tensors[index]!.shape;
  }

  size(index: number): number {
    return elementCount(this.shape(index));
  }

  isFloat(index: number): boolean {
    return this.graph.tensors[index]?.type === 'float32';
  }

  integers(index: number): number[] {
    const { data } = this.graph.tensors[index]!;
    if (data instanceof Int32Array) return [...data];
    throw unfit(`${this.graph.tensors[index]!.name} is not an int32 constant`);
  }

  /** The slot from which later operators read a tensor. */
  slot(index: number): Slot {
    const known = this.slots.get(index);
    if (known) return known;
    const { data, name } = this.graph.tensors[index]!;
    if (!(data instanceof Float32Array)) throw unfit(`no operator produces ${name} before it is read`);
    const slot: Slot = { size: data.length, constant: true, value: this.arena.floats(data.length) };
    this.constants.push([slot, data]);
    this.slots.set(index, slot);
    return slot;
  }

  bind(index: number, slot: Slot): void {
    this.slots.set(index, slot);
  }

  input({ inputs }: Operator, place: number): Slot {
    return this.slot(inputs[place]!);
  }

  output(operator: Operator): Slot {
    return this.slotFor(operator.outputs[0]!, operator);
  }

  /** A new tensor; it has a gradient if any of the operator's inputs has one. */
  slotFor(index: number, { inputs }: Pick<Operator, 'inputs'>): Slot {
    const trained = inputs.some((other) => other !== -1 && this.isFloat(other) && this.slot(other).gradient);
    const slot = this.activation(this.size(index), trained);
    this.slots.set(index, slot);
    return slot;
  }

  activation(size: number, trained: boolean): Slot {
    const value = this.arena.floats(this.rows * size);
    const gradient = trained ? this.arena.gradient(this.rows * size) : undefined;
    return { size, constant: false, value, ...(gradient && { gradient }) };
  }

  /** Input, weights (fake-quantized along `axis` if requested) and bias of a linear layer. */
  layerInputs(operator: Operator, axis: number): [Slot, Slot, Slot | undefined] {
    const [x = -1, w = -1, b = -1] = operator.inputs;
    const weights = this.slot(w);
    if (!weights.constant || (b !== -1 && !this.slot(b).constant))
      throw unfit(`${operator.op}: expected constant weights and bias`);
    const used = this.fake?.weights ? fakeWeights(this, weights, this.shape(w), axis) : weights;
    return [this.slot(x), used, b === -1 ? undefined : this.slot(b)];
  }

  /** Geometry of a window operator, with SAME and VALID as TensorFlow defines them. */
  windows(
    operator: Operator,
    options: WindowOptions,
    [filterH, filterW]: [number, number],
    channels?: number,
  ) {
    const [images, height, width, depth] = this.shape(operator.inputs[0]!) as [
      number,
      number,
      number,
      number,
    ];
    const [, outH, outW] = this.shape(operator.outputs[0]!) as [number, number, number];
    const { strideH, strideW, dilationH = 1, dilationW = 1, padding } = options;
    const before = (input: number, output: number, filter: number, stride: number, dilation: number) =>
      padding === 'valid' ? 0 : Math.max((output - 1) * stride + (filter - 1) * dilation + 1 - input, 0) >> 1;
    const top = before(height, outH, filterH, strideH, dilationH);
    const left = before(width, outW, filterW, strideW, dilationW);
    const sizes: WindowSizes = [
      ...([height, width, channels ?? depth, filterH, filterW] as const),
      ...([strideH, strideW, dilationH, dilationW, top, left, outH, outW] as const),
    ];
    return { images, sizes, pointwise: filterH * filterW * strideH * strideW === 1 };
  }

  windowCells(operator: Operator, options: WindowOptions, filter: [number, number]): Cells {
    const { images, sizes } = this.windows(operator, options, filter);
    const [height, width, channels, filterH, filterW, strideH, strideW, , , top, left, outH, outW] = sizes;
    const places: number[] = [];
    const starts = [0];
    for (let at = 0; at < images * outH * outW; at++) {
      const [image, oy, ox] = [Math.floor(at / (outH * outW)), Math.floor(at / outW) % outH, at % outW];
      for (let k = 0; k < filterH * filterW; k++) {
        const y = oy * strideH + Math.floor(k / filterW) - top;
        const x = ox * strideW + (k % filterW) - left;
        if (y >= 0 && y < height && x >= 0 && x < width)
          places.push(((image * height + y) * width + x) * channels);
      }
      starts.push(places.length);
    }
    return { places: Int32Array.from(places), starts: Int32Array.from(starts), channels };
  }

  /** Creates the memory and stores constants and initial parameters in it. */
  seal(): Memory {
    const memory = this.arena.seal();
    this.parameters.settle();
    for (const [slot, data] of this.constants) slot.value.data.set(data);
    return memory;
  }
}

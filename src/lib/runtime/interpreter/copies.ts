import { elementCount, type OperatorOptions } from '../../formats/tflite/graph.js';
import { stridesOf, walk } from './moves.js';
import type { Kernel, Node } from './node.js';

/** A regular set of elements that an operator copies: for every index within `sizes`, y[to + Σ index · y] = x[from + Σ index · x]. */
export interface Copy {
  /** Indices of the input and the output. */
  input: number;
  output: number;
  sizes: number[];
  x: number[];
  y: number[];
  from: number;
  to: number;
}

/**
 * All copies that an operator makes. `filled`: the copies do not cover the whole output, so the rest is filled with real zeros (the zero
 * point).
 */
export interface Moves {
  copies: Copy[];
  filled: boolean;
}

/** The copies made by each operator that only rearranges elements. Both the interpreter and the generated C code use these copies. */
export const movesOf = {
  PACK: (node: Node<OperatorOptions['PACK']>): Moves => {
    const { shape } = node.input(0).tensor;
    const axis = node.axis(node.options.axis, [...shape, 1]);
    const output = [...shape.slice(0, axis), node.inputs.length, ...shape.slice(axis)];
    for (const [place] of node.inputs.entries())
      if (node.input(place).tensor.shape.join() !== shape.join())
        throw node.malformed(`[${shape}] and [${node.input(place).tensor.shape}] cannot be packed`);
    node.expectOutput(...output);
    const strides = stridesOf(output);
    const y = strides.filter((_, k) => k !== axis);
    const copies = node.inputs.map((_, input) => ({
      input,
      output: 0,
      sizes: shape,
      x: stridesOf(shape),
      y,
      from: 0,
      to: input * strides[axis]!,
    }));
    return { copies, filled: false };
  },
  UNPACK: (node: Node<OperatorOptions['UNPACK']>): Moves => {
    const { shape } = node.input(0).tensor;
    const axis = node.axis(node.options.axis, shape);
    const sizes = shape.filter((_, k) => k !== axis);
    if (shape[axis] !== node.outputs.length)
      throw node.malformed(`axis ${axis} of [${shape}] does not have ${node.outputs.length} elements`);
    for (const { tensor } of node.outputs)
      if (tensor.shape.join() !== sizes.join())
        throw node.malformed(`expected outputs of [${sizes}], got [${tensor.shape}]`);
    const strides = stridesOf(shape);
    const x = strides.filter((_, k) => k !== axis);
    const copies = node.outputs.map((_, output) => ({
      input: 0,
      output,
      sizes,
      x,
      y: stridesOf(sizes),
      from: output * strides[axis]!,
      to: 0,
    }));
    return { copies, filled: false };
  },
  SLICE: (node: Node): Moves => {
    const { shape } = node.input(0).tensor;
    const [begin, size] = [node.int32Constant(1), node.int32Constant(2)];
    if (begin.length !== shape.length || size.length !== shape.length)
      throw node.malformed(`begin [${begin}] and size [${size}] do not fit [${shape}]`);
    const sizes = shape.map((whole, axis) => (size[axis] === -1 ? whole - begin[axis]! : size[axis]!));
    if (sizes.some((own, axis) => own < 1 || begin[axis]! < 0 || begin[axis]! + own > shape[axis]!))
      throw node.malformed(`begin [${begin}] and size [${size}] do not fit [${shape}]`);
    node.expectOutput(...sizes);
    const x = stridesOf(shape);
    const from = x.reduce((sum, stride, axis) => sum + stride * begin[axis]!, 0);
    return { copies: [{ input: 0, output: 0, sizes, x, y: stridesOf(sizes), from, to: 0 }], filled: false };
  },
  DEPTH_TO_SPACE: (node: Node<OperatorOptions['DEPTH_TO_SPACE']>): Moves => {
    const { blockSize } = node.options;
    const [batches, height, width, depth] = node.shape(node.input(0), 4) as [number, number, number, number];
    const channels = depth / (blockSize * blockSize);
    if (!Number.isInteger(channels))
      throw node.malformed(`${depth} channels cannot be divided into blocks of ${blockSize}²`);
    node.expectOutput(batches, height * blockSize, width * blockSize, channels);
    return { copies: [blocked([batches, height, width, channels], blockSize, true)], filled: false };
  },
  SPACE_TO_DEPTH: (node: Node<OperatorOptions['SPACE_TO_DEPTH']>): Moves => {
    const { blockSize } = node.options;
    const [batches, high, wide, channels] = node.shape(node.input(0), 4) as [number, number, number, number];
    const [height, width] = [high / blockSize, wide / blockSize];
    if (!Number.isInteger(height) || !Number.isInteger(width))
      throw node.malformed(`an image of ${high} × ${wide} cannot be divided into blocks of ${blockSize}`);
    node.expectOutput(batches, height, width, channels * blockSize * blockSize);
    return { copies: [blocked([batches, height, width, channels], blockSize, false)], filled: false };
  },
  MIRROR_PAD: (node: Node<OperatorOptions['MIRROR_PAD']>): Moves => {
    const { shape } = node.input(0).tensor;
    const paddings = node.int32Constant(1);
    const skipped = node.options.mode === 'reflect' ? 1 : 0;
    if (paddings.length !== 2 * shape.length)
      throw node.malformed(`paddings of ${paddings.length} values do not fit [${shape}]`);
    if (paddings.some((count, i) => count < 0 || count > shape[i >> 1]! - skipped))
      throw node.malformed(`paddings of [${paddings}] exceed [${shape}]`);
    const output = shape.map((size, axis) => size + paddings[2 * axis]! + paddings[2 * axis + 1]!);
    node.expectOutput(...output);
    const [own, wide] = [stridesOf(shape), stridesOf(output)];
    const whole: Copy = { input: 0, output: 0, sizes: [], x: [], y: [], from: 0, to: 0 };
    const copies = shape.reduce(
      (all, size, axis) => {
        const [before, after] = [paddings[2 * axis]!, paddings[2 * axis + 1]!];
        const parts = [
          { count: before, first: before - 1 + skipped, step: -1, at: 0 },
          { count: size, first: 0, step: 1, at: before },
          { count: after, first: size - 1 - skipped, step: -1, at: before + size },
        ].filter(({ count }) => count > 0);
        return all.flatMap((copy) =>
          parts.map(({ count, first, step, at }) => ({
            ...copy,
            sizes: [...copy.sizes, count],
            x: [...copy.x, step * own[axis]!],
            y: [...copy.y, wide[axis]!],
            from: copy.from + first * own[axis]!,
            to: copy.to + at * wide[axis]!,
          })),
        );
      },
      [whole],
    );
    return { copies, filled: false };
  },
  BROADCAST_TO: (node: Node): Moves => {
    const { shape } = node.input(0).tensor;
    const output = [...node.int32Constant(1)];
    const missing = output.length - shape.length;
    if (missing < 0 || shape.some((size, axis) => size !== 1 && size !== output[axis + missing]))
      throw node.malformed(`[${shape}] cannot be broadcast to [${output}]`);
    node.expectOutput(...output);
    const own = stridesOf(shape);
    const x = output.map((_, axis) => ((shape[axis - missing] ?? 1) === 1 ? 0 : own[axis - missing]!));
    const copy = { input: 0, output: 0, sizes: output, x, y: stridesOf(output), from: 0, to: 0 };
    return { copies: [copy], filled: false };
  },
  REVERSE_V2: (node: Node): Moves => {
    const { shape } = node.input(0).tensor;
    const axes = new Set([...node.int32Constant(1)].map((axis) => node.axis(axis, shape)));
    if (axes.size !== node.int32Constant(1).length) throw node.malformed(`an axis is listed twice`);
    node.expectOutput(...shape);
    const own = stridesOf(shape);
    const x = own.map((stride, axis) => (axes.has(axis) ? -stride : stride));
    const from = shape.reduce((sum, size, axis) => sum + (axes.has(axis) ? (size - 1) * own[axis]! : 0), 0);
    return { copies: [{ input: 0, output: 0, sizes: shape, x, y: own, from, to: 0 }], filled: false };
  },
  SPACE_TO_BATCH_ND: (node: Node): Moves => {
    // TFLite Micro's Prepare function does not set the fill value; LiteRT fills with the zero point.
    const { copies, filled } = batchBlocks(node, node.input(0).tensor.shape, node.output.tensor.shape);
    return { copies, filled };
  },
  BATCH_TO_SPACE_ND: (node: Node): Moves => {
    const { copies, covered } = batchBlocks(node, node.output.tensor.shape, node.input(0).tensor.shape);
    if (!covered) throw node.malformed(`[${node.input(0).tensor.shape}] does not cover its output`);
    return {
      copies: copies.map((copy) => ({ ...copy, x: copy.y, y: copy.x, from: copy.to, to: copy.from })),
      filled: false,
    };
  },
};

/** Sizes of a GATHER: x is [batches, outer, size, inner], the indices are [batches, count], and y is [batches, outer, count, inner]. */
export interface GatherPlan {
  batches: number;
  outer: number;
  size: number;
  count: number;
  inner: number;
}

/** @throws AIOT_TFLITE_MALFORMED for shapes that contradict each other, or for a constant index that does not exist */
export function gatherPlan(node: Node<OperatorOptions['GATHER']>): GatherPlan {
  const { shape } = node.input(0).tensor;
  const { shape: own, type, data } = node.input(1).tensor;
  if (type !== 'int32') throw node.unsupported(`indices of ${type}`);
  const axis = node.axis(node.options.axis, shape);
  const batchDims = node.options.batchDims < 0 ? node.options.batchDims + own.length : node.options.batchDims;
  if (batchDims < 0 || batchDims > Math.min(axis, own.length))
    throw node.malformed(`[${own}] does not have ${node.options.batchDims} batch dimensions`);
  if (own.slice(0, batchDims).join() !== shape.slice(0, batchDims).join())
    throw node.malformed(`[${own}] and [${shape}] differ in their batch dimensions`);
  const wrong = (data as Int32Array | undefined)?.find((at) => at < 0 || at >= shape[axis]!);
  if (wrong !== undefined)
    throw node.malformed(`element ${wrong} does not exist on an axis of ${shape[axis]} elements`);
  node.expectOutput(...shape.slice(0, axis), ...own.slice(batchDims), ...shape.slice(axis + 1));
  return {
    batches: elementCount(shape.slice(0, batchDims)),
    outer: elementCount(shape.slice(batchDims, axis)),
    size: shape[axis]!,
    count: elementCount(own.slice(batchDims)),
    inner: elementCount(shape.slice(axis + 1)),
  };
}

/**
 * GATHER. The kernel throws AIOT_TFLITE_INPUT for a computed index that does not exist, because TFLite Micro would read memory outside the
 * tensor.
 */
export function gather(node: Node<OperatorOptions['GATHER']>): () => void {
  const { batches, outer, size, count, inner } = gatherPlan(node);
  const [x, indices, y] = [node.input(0).values, node.input(1).values, node.output.values];
  return () => {
    let to = 0;
    for (let batch = 0; batch < batches; batch++)
      for (let row = batch * outer; row < (batch + 1) * outer; row++)
        for (let i = batch * count; i < (batch + 1) * count; i++) {
          const at = indices[i]!;
          if (at < 0 || at >= size) throw node.outside(at, size);
          for (let k = (row * size + at) * inner, end = k + inner; k < end; k++) y[to++] = x[k]!;
        }
  };
}

/** The copy between [n, h, w, block², c] and [n, h · block, w · block, c]. */
function blocked([n, h, w, c]: [number, number, number, number], block: number, toSpace: boolean): Copy {
  const sizes = [n, h, block, w, block, c];
  const depth = block * block * c;
  const packed = [h * w * depth, w * depth, block * c, depth, c, 1];
  const spread = stridesOf(sizes);
  const [x, y] = toSpace ? [packed, spread] : [spread, packed];
  return { input: 0, output: 0, sizes, x, y, from: 0, to: 0 };
}

/**
 * The copies from an image to blocks in its batch dimension, one for each position within a block. Inputs 1 and 2 are constants: the block
 * shape and the image's paddings. A three-dimensional shape has no width.
 */
function batchBlocks(node: Node, image: number[], blocks: number[]): Moves & { covered: boolean } {
  const [block, paddings] = [[...node.int32Constant(1)], [...node.int32Constant(2)]];
  const spatial = image.length - 2;
  if (image.length !== blocks.length || spatial < 1 || spatial > 2 || block.length !== spatial)
    throw node.unsupported(`blocks of [${block}] in [${image}]`);
  if (paddings.length !== 2 * spatial || paddings.some((size) => size < 0) || block.some((size) => size < 1))
    throw node.malformed(
      `expected positive blocks and paddings of at least 0, got blocks of [${block}] with paddings [${paddings}]`,
    );
  const four = (shape: number[]) => (spatial === 2 ? shape : [shape[0]!, shape[1]!, 1, shape[2]!]);
  const [n, h, w, c] = four(image) as [number, number, number, number];
  const [outN, outH, outW, outC] = four(blocks) as [number, number, number, number];
  const [blockH, blockW] = [block[0]!, block[1] ?? 1];
  const [top, bottom, left, right] = [paddings[0]!, paddings[1]!, paddings[2] ?? 0, paddings[3] ?? 0];
  if (
    outC !== c ||
    outN !== n * blockH * blockW ||
    outH * blockH !== h + top + bottom ||
    outW * blockW !== w + left + right
  )
    throw node.malformed(
      `[${image}] and [${blocks}] do not match blocks of [${block}] with paddings [${paddings}]`,
    );
  const copies: Copy[] = [];
  let moved = 0;
  for (let row = 0; row < blockH; row++)
    for (let column = 0; column < blockW; column++) {
      const rows = insideOf(row, blockH, top, h, outH);
      const columns = insideOf(column, blockW, left, w, outW);
      if (rows.count < 1 || columns.count < 1) continue;
      const sizes = [n, rows.count, columns.count, c];
      moved += elementCount(sizes);
      copies.push({
        input: 0,
        output: 0,
        sizes,
        x: [h * w * c, blockH * w * c, blockW * c, 1],
        y: [outH * outW * c, outW * c, c, 1],
        from: ((rows.first * blockH + row - top) * w + columns.first * blockW + column - left) * c,
        to: (((row * blockW + column) * n * outH + rows.first) * outW + columns.first) * c,
      });
    }
  return { copies, filled: moved < elementCount(blocks), covered: moved === elementCount(image) };
}

/** The blocks along one axis whose cell at `within` is inside the image. */
function insideOf(within: number, block: number, before: number, size: number, count: number) {
  const first = Math.max(0, Math.ceil((before - within) / block));
  const last = Math.min(count - 1, Math.floor((size - 1 + before - within) / block));
  return { first, count: last - first + 1 };
}

/** A kernel that makes an operator's copies. */
export function moving<Options>(moves: (node: Node<Options>) => Moves): Kernel<Options> {
  return (node) => {
    const { copies, filled } = moves(node);
    if (filled) for (const { values } of node.outputs) values.fill(zeroOf(node));
    const runs = copies.map(({ input, output, sizes, x, y, from, to }) => {
      const [source, target] = [walk(sizes, x, from), walk(sizes, y, to)];
      const [a, b] = [node.input(input).values, node.outputs[output]!.values];
      return () => {
        for (let i = 0; i < source.length; i++) b[target[i]!] = a[source[i]!]!;
      };
    });
    return () => {
      for (let i = 0; i < runs.length; i++) runs[i]!();
    };
  };
}

function zeroOf({ output }: Pick<Node, 'output'>): number {
  return output.tensor.quantization?.zeroPoint[0] ?? 0;
}

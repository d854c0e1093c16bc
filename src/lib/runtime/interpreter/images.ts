import { elementCount, type OperatorOptions } from '../../formats/tflite/graph.js';
import {
  activationRange,
  inverseSquareRoot,
  multiply64,
  multiplyByQuantized,
  ratio,
  scaleOf,
} from './fixed-point.js';
import { floatRange } from './float.js';
import { axisOf, requireSteps } from './geometry.js';
import { wideBias } from './int16.js';
import { stridesOf } from './moves.js';
import type { Node } from './node.js';

const { fround } = Math;

interface Resize {
  batches: number;
  channels: number;
  input: [height: number, width: number];
  output: [height: number, width: number];
}

/** The shapes in a resize. Input 1 is a constant with the output size [height, width]. */
export function resizeOf(node: Node<OperatorOptions['RESIZE_BILINEAR']>): Resize {
  const [batches, height, width, channels] = node.shape(node.input(0), 4) as [number, number, number, number];
  const size = node.int32Constant(1);
  if (size.length !== 2) throw node.malformed(`expected a size of two numbers, got [${size}]`);
  if (node.options.halfPixelCenters && node.options.alignCorners)
    throw node.malformed('halfPixelCenters and alignCorners must not both be set');
  const [outH, outW] = [size[0]!, size[1]!];
  node.expectOutput(batches, outH, outW, channels);
  return { batches, channels, input: [height, width], output: [outH, outW] };
}

/** RESIZE_NEAREST_NEIGHBOR on any type. */
export function nearest(node: Node<OperatorOptions['RESIZE_NEAREST_NEIGHBOR']>): () => void {
  const { batches, channels, input, output } = resizeOf(node);
  const [rows, columns] = [0, 1].map((axis) => nearestPlaces(input[axis]!, output[axis]!, node.options)) as [
    number[],
    number[],
  ];
  const [x, y] = [node.input(0).values, node.output.values];
  return () => {
    let to = 0;
    for (let batch = 0; batch < batches; batch++)
      for (const row of rows)
        for (const column of columns) {
          const from = ((batch * input[0] + row) * input[1] + column) * channels;
          for (let channel = 0; channel < channels; channel++) y[to++] = x[from + channel]!;
        }
  };
}

/** For each output position along an axis, the input position whose value is copied, computed in single precision as in TFLite. */
export function nearestPlaces(
  input: number,
  output: number,
  { alignCorners, halfPixelCenters }: OperatorOptions['RESIZE_NEAREST_NEIGHBOR'],
): number[] {
  const aligned = alignCorners && output > 1;
  const scale = aligned ? fround((input - 1) / (output - 1)) : fround(input / output);
  return Array.from({ length: output }, (_, at) => {
    const real = fround(fround(at + (halfPixelCenters ? 0.5 : 0)) * scale);
    return Math.max(0, Math.min(alignCorners ? Math.floor(real + 0.5) : Math.floor(real), input - 1));
  });
}

/** The two input positions on either side of an output position, and the output position's distance from the first. */
interface Between {
  low: number;
  high: number;
  part: number;
}

/** RESIZE_BILINEAR on float32, with each intermediate value in single precision. */
export function floatBilinear(node: Node<OperatorOptions['RESIZE_BILINEAR']>): () => void {
  const resize = resizeOf(node);
  const [rows, columns] = [0, 1].map((axis) =>
    realPlaces(resize.input[axis]!, resize.output[axis]!, node.options),
  ) as [Between[], Between[]];
  const [x, y] = [node.float32(0), node.float32Output];
  return interpolated(resize, rows, columns, (a, b, c, d, row, column, to) => {
    const [up, left] = [fround(1 - row), fround(1 - column)];
    const first = fround(fround(x[a]! * up) * left);
    const second = fround(fround(x[b]! * row) * left);
    const third = fround(fround(x[c]! * up) * column);
    const fourth = fround(fround(x[d]! * row) * column);
    y[to] = fround(fround(first + second) + third) + fourth;
  });
}

/** Positions along an axis, computed in single precision. */
export function realPlaces(
  size: number,
  count: number,
  { alignCorners, halfPixelCenters }: OperatorOptions['RESIZE_BILINEAR'],
): Between[] {
  const aligned = alignCorners && count > 1;
  const scale = aligned ? fround((size - 1) / (count - 1)) : fround(size / count);
  return Array.from({ length: count }, (_, at) => {
    const real = halfPixelCenters ? fround(fround((at + 0.5) * scale) - 0.5) : fround(at * scale);
    const low = Math.max(Math.floor(real), 0);
    return { low, high: Math.min(Math.ceil(real), size - 1), part: fround(real - low) };
  });
}

/** Positions along an axis in steps of 1/1024, as in the integer kernels for RESIZE_BILINEAR. */
export function bilinearPlaces(
  size: number,
  count: number,
  { alignCorners, halfPixelCenters }: OperatorOptions['RESIZE_BILINEAR'],
): Between[] {
  const aligned = alignCorners && count > 1;
  const [whole, parts] = aligned ? [size - 1, count - 1] : [size, count];
  const scale = Math.trunc((1024 * whole + Math.trunc(parts / 2)) / parts);
  return Array.from({ length: count }, (_, at) => {
    const place = at * scale + (halfPixelCenters ? Math.trunc(scale / 2) - 512 : 0);
    const low = Math.max(Math.trunc(place / 1024), 0);
    return { low, high: Math.min(Math.trunc((place + 1023) / 1024), size - 1), part: place - 1024 * low };
  });
}

/** RESIZE_BILINEAR on int8 and int16. Weights have ten bits along each axis, and the result is rounded half away from zero. */
export function bilinear(node: Node<OperatorOptions['RESIZE_BILINEAR']>): () => void {
  const resize = resizeOf(node);
  const [rows, columns] = [0, 1].map((axis) =>
    bilinearPlaces(resize.input[axis]!, resize.output[axis]!, node.options),
  ) as [Between[], Between[]];
  const [x, y] = [node.integers(0), node.integerOutput];
  return interpolated(resize, rows, columns, (a, b, c, d, row, column, to) => {
    const [up, left] = [1024 - row, 1024 - column];
    const sum = x[a]! * up * left + x[b]! * row * left + x[c]! * up * column + x[d]! * row * column;
    y[to] = Math.trunc((sum + (sum > 0 ? 524288 : -524288)) / 1048576);
  });
}

function interpolated(
  { batches, channels, input }: Resize,
  rows: Between[],
  columns: Between[],
  mix: (a: number, b: number, c: number, d: number, row: number, column: number, to: number) => void,
): () => void {
  return () => {
    let to = 0;
    for (let batch = 0; batch < batches; batch++)
      for (const row of rows)
        for (const column of columns) {
          const at = (y: number, x: number) => ((batch * input[0] + y) * input[1] + x) * channels;
          const [a, b] = [at(row.low, column.low), at(row.high, column.low)];
          const [c, d] = [at(row.low, column.high), at(row.high, column.high)];
          for (let k = 0; k < channels; k++) mix(a + k, b + k, c + k, d + k, row.part, column.part, to++);
        }
  };
}

/** The geometry of a TRANSPOSE_CONV. Its inputs are the constant output shape, the filter [out, kh, kw, in], x and the optional bias. */
export function transposeConvOf(node: Node<OperatorOptions['TRANSPOSE_CONV']>) {
  const [batches, height, width, channels] = node.shape(node.input(2), 4) as [number, number, number, number];
  const [outputs, filterH, filterW, taken] = node.shape(node.input(1), 4) as [number, number, number, number];
  const wanted = node.int32Constant(0);
  const [outBatches, outH, outW, outChannels] = node.shape(node.output, 4) as [
    number,
    number,
    number,
    number,
  ];
  if (wanted.join() !== node.output.tensor.shape.join())
    throw node.malformed(`expected an output of [${wanted}], got [${node.output.tensor.shape}]`);
  if (taken !== channels || outputs !== outChannels || outBatches !== batches)
    throw node.malformed(
      `its input [${node.input(2).tensor.shape}] does not match its filter [${node.input(1).tensor.shape}]`,
    );
  const { strideH, strideW, padding } = node.options;
  requireSteps(node, [filterH, filterW], [strideH, strideW]);
  const [rows, columns] = [
    axisOf(outH, filterH, strideH, 1, padding),
    axisOf(outW, filterW, strideW, 1, padding),
  ];
  if (rows.output !== height || columns.output !== width)
    throw node.malformed(`an input of ${height},${width} does not produce an output of ${outH},${outW}`);
  const { before: top } = rows;
  const { before: left } = columns;
  return {
    batches,
    height,
    width,
    channels,
    outputs,
    filterH,
    filterW,
    outH,
    outW,
    strideH,
    strideW,
    top,
    left,
  };
}

/** Adds the products of every input cell and the filter to `sums`, in the same order as TFLite Micro. `sums` has the output's shape. */
function scatter(
  geometry: ReturnType<typeof transposeConvOf>,
  x: ArrayLike<number>,
  zero: number,
  weights: ArrayLike<number>,
  sums: { [index: number]: number },
): void {
  const { batches, height, width, channels, outputs, filterH, filterW, outH, outW, strideH, strideW } =
    geometry;
  for (let batch = 0; batch < batches; batch++)
    for (let row = 0; row < height; row++)
      for (let column = 0; column < width; column++)
        for (let channel = 0; channel < channels; channel++) {
          const value = x[((batch * height + row) * width + column) * channels + channel]! - zero;
          for (let r = 0; r < filterH; r++) {
            const outRow = row * strideH - geometry.top + r;
            if (outRow < 0 || outRow >= outH) continue;
            for (let c = 0; c < filterW; c++) {
              const outColumn = column * strideW - geometry.left + c;
              if (outColumn < 0 || outColumn >= outW) continue;
              const to = ((batch * outH + outRow) * outW + outColumn) * outputs;
              for (let out = 0; out < outputs; out++) {
                const weight = weights[((out * filterH + r) * filterW + c) * channels + channel]!;
                // The Float32Array rounds the sum. The product of two float32 values must be rounded before it is added.
                sums[to + out] = sums[to + out]! + fround(value * weight);
              }
            }
          }
        }
}

/** TRANSPOSE_CONV on float32. */
export function floatTransposeConv(node: Node<OperatorOptions['TRANSPOSE_CONV']>): () => void {
  const geometry = transposeConvOf(node);
  const [x, weights, y] = [node.float32(2), node.float32(1), node.float32Output];
  const bias = node.float32Bias(3, geometry.outputs);
  const { low, high } = floatRange(node.options.activation);
  return () => {
    y.fill(0);
    scatter(geometry, x, 0, weights, y);
    for (let i = 0; i < y.length; i++) {
      const value = fround(y[i]! + bias[i % geometry.outputs]!);
      y[i] = value < low ? low : value > high ? high : value;
    }
  };
}

/** Multiplier and shift for each output channel of a TRANSPOSE_CONV, in which x is the third input. */
function multipliersOf(node: Node, outputs: number) {
  const scales = node.input(1).tensor.quantization?.scale ?? [];
  if (scales.length !== 1 && scales.length !== outputs)
    throw node.malformed(`expected 1 or ${outputs} weight scales, got ${scales.length}`);
  const [input, output] = [scaleOf(node, node.input(2)).scale, scaleOf(node, node.output).scale];
  return Array.from({ length: outputs }, (_, channel) =>
    ratio(node, (input * scales[scales.length === 1 ? 0 : channel]!) / output),
  );
}

/** TRANSPOSE_CONV on int8. */
export function transposeConv(node: Node<OperatorOptions['TRANSPOSE_CONV']>): () => void {
  const geometry = transposeConvOf(node);
  const [x, weights, y] = [node.int8(2), node.int8Weights(1), node.int8Output];
  const bias = node.int32Bias(3, geometry.outputs);
  const multipliers = multipliersOf(node, geometry.outputs);
  const { low, high } = activationRange(node, node.options.activation);
  const { zeroPoint } = scaleOf(node, node.output);
  const inputZero = scaleOf(node, node.input(2)).zeroPoint;
  const sums = new Int32Array(y.length);
  return () => {
    sums.fill(0);
    scatter(geometry, x, inputZero, weights, sums);
    for (let i = 0; i < y.length; i++) {
      const out = i % geometry.outputs;
      const { multiplier, shift } = multipliers[out]!;
      const value = multiplyByQuantized((sums[i]! + bias[out]!) | 0, multiplier, shift) + zeroPoint;
      y[i] = value < low ? low : value > high ? high : value;
    }
  };
}

/** TRANSPOSE_CONV on int16 with int8 weights. */
export function wideTransposeConv(node: Node<OperatorOptions['TRANSPOSE_CONV']>): () => void {
  const geometry = transposeConvOf(node);
  const [x, weights, y] = [node.int16(2), node.int8Weights(1), node.int16Output];
  const multipliers = multipliersOf(node, geometry.outputs);
  const { low, high } = activationRange(node, node.options.activation);
  const { bias } = wideBias(node, geometry.outputs, 'int64', 3);
  const sums = new Float64Array(y.length);
  return () => {
    sums.fill(0);
    scatter(geometry, x, 0, weights, sums);
    for (let i = 0; i < y.length; i++) {
      const out = i % geometry.outputs;
      const { multiplier, shift } = multipliers[out]!;
      const value = multiply64(sums[i]! + bias[out]!, multiplier, shift);
      y[i] = value < low ? low : value > high ? high : value;
    }
  };
}

/** The geometry of a BATCH_MATMUL: where both matrices start in each batch, their sizes, and the distances between elements. */
export function batchMatmulOf(node: Node<OperatorOptions['BATCH_MATMUL']>) {
  const shapes = [node.input(0).tensor.shape, node.input(1).tensor.shape];
  const { adjX, adjY } = node.options;
  const rank = Math.max(...shapes.map(({ length }) => length));
  if (shapes.some(({ length }) => length < 2) || rank > 5)
    throw node.unsupported(`[${shapes[0]}] times [${shapes[1]}] (2 to 5 dimensions)`);
  const [a, b] = shapes.map((shape) => [...new Array<number>(rank - shape.length).fill(1), ...shape]) as [
    number[],
    number[],
  ];
  const [rows, depth] = adjX ? [a[rank - 1]!, a[rank - 2]!] : [a[rank - 2]!, a[rank - 1]!];
  const [columns, other] = adjY ? [b[rank - 2]!, b[rank - 1]!] : [b[rank - 1]!, b[rank - 2]!];
  const batches = a.slice(0, -2).map((size, axis) => Math.max(size, b[axis]!));
  const fits = (own: number[]) =>
    own.slice(0, -2).every((size, axis) => size === 1 || size === batches[axis]);
  if (depth !== other || !fits(a) || !fits(b))
    throw node.malformed(`[${shapes[0]}] cannot be multiplied by [${shapes[1]}]`);
  node.expectOutput(...batches, rows, columns);
  const [stridesA, stridesB] = [stridesOf(a), stridesOf(b)];
  const places = (own: number[], strides: number[]) => {
    const count = elementCount(batches);
    return Int32Array.from({ length: count }, (_, index) => {
      let [left, at] = [index, 0];
      for (let axis = batches.length - 1; axis >= 0; axis--) {
        const position = left % batches[axis]!;
        left = Math.floor(left / batches[axis]!);
        if (own[axis] !== 1) at += position * strides[axis]!;
      }
      return at;
    });
  };
  return {
    first: places(a, stridesA),
    second: places(b, stridesB),
    rows,
    columns,
    depth,
    // Strides along rows (or columns) and along the depth.
    a: adjX ? { row: 1, depth: rows } : { row: depth, depth: 1 },
    b: adjY ? { column: depth, depth: 1 } : { column: 1, depth: columns },
  };
}

function eachProduct(
  plan: ReturnType<typeof batchMatmulOf>,
  sum: (from: number, other: number, to: number) => void,
): void {
  let to = 0;
  for (let batch = 0; batch < plan.first.length; batch++)
    for (let row = 0; row < plan.rows; row++)
      for (let column = 0; column < plan.columns; column++)
        sum(plan.first[batch]! + row * plan.a.row, plan.second[batch]! + column * plan.b.column, to++);
}

/** BATCH_MATMUL on float32. Each partial sum is in single precision, in element order. */
export function floatBatchMatmul(node: Node<OperatorOptions['BATCH_MATMUL']>): () => void {
  const plan = batchMatmulOf(node);
  const [x0, x1, y] = [node.float32(0), node.float32(1), node.float32Output];
  return () =>
    eachProduct(plan, (a, b, to) => {
      let sum = 0;
      for (let k = 0; k < plan.depth; k++)
        sum = fround(sum + fround(x0[a + k * plan.a.depth]! * x1[b + k * plan.b.depth]!));
      y[to] = sum;
    });
}

/** BATCH_MATMUL on int8 (32-bit sums) and int16 (64-bit sums). */
export function batchMatmul(node: Node<OperatorOptions['BATCH_MATMUL']>): () => void {
  const plan = batchMatmulOf(node);
  const [x0, x1, y] = [node.integers(0), node.integers(1), node.integerOutput];
  const [a0, b0, output] = [
    scaleOf(node, node.input(0)),
    scaleOf(node, node.input(1)),
    scaleOf(node, node.output),
  ];
  const product = a0.scale * b0.scale;
  const single = node.ratioPrecision === 'single';
  const { multiplier, shift } = ratio(node, (single ? fround(product) : product) / output.scale);
  const wide = y instanceof Int16Array;
  const [low, high] = wide ? [-32768, 32767] : [-128, 127];
  return () =>
    eachProduct(plan, (a, b, to) => {
      let sum = 0;
      for (let k = 0; k < plan.depth; k++)
        sum += (x0[a + k * plan.a.depth]! - a0.zeroPoint) * (x1[b + k * plan.b.depth]! - b0.zeroPoint);
      const scaled = wide
        ? multiply64(sum, multiplier, shift)
        : multiplyByQuantized(sum | 0, multiplier, shift);
      const value = scaled + output.zeroPoint;
      y[to] = value < low ? low : value > high ? high : value;
    });
}

/** L2_NORMALIZATION over the last axis on float32. */
export function floatL2(node: Node<OperatorOptions['L2_NORMALIZATION']>): () => void {
  const [x, y, depth] = [node.float32(0), node.float32Output, l2Depth(node)];
  return () => {
    for (let start = 0; start < x.length; start += depth) {
      let sum = 0;
      for (let i = start; i < start + depth; i++) sum = fround(sum + fround(x[i]! * x[i]!));
      const norm = Math.max(fround(Math.sqrt(sum)), fround(1e-6));
      for (let i = start; i < start + depth; i++) y[i] = x[i]! / norm;
    }
  };
}

function l2Depth(node: Node<OperatorOptions['L2_NORMALIZATION']>): number {
  const { shape } = node.input(0).tensor;
  if (node.options.activation !== 'none') throw node.unsupported(`a fused ${node.options.activation}`);
  if (shape.length < 1 || shape.length > 4) throw node.unsupported(`[${shape}] (1 to 4 dimensions)`);
  node.expectOutput(...shape);
  return shape.at(-1)!;
}

/** L2_NORMALIZATION over the last axis on int8. The output always has the scale 1/128 and the zero point 0. */
export function l2(node: Node<OperatorOptions['L2_NORMALIZATION']>): () => void {
  const [x, y, depth] = [node.int8(0), node.int8Output, l2Depth(node)];
  const { zeroPoint } = scaleOf(node, node.input(0));
  // The sum of the squares of 2^15 values fits in 32 bits.
  if (depth > 32768) throw node.unsupported(`a normalization over ${depth} values`);
  return () => {
    for (let start = 0; start < x.length; start += depth) {
      let sum = 0;
      for (let i = start; i < start + depth; i++) sum += (x[i]! - zeroPoint) ** 2;
      const { multiplier, shift } = inverseSquareRoot(sum);
      for (let i = start; i < start + depth; i++) {
        const value = multiplyByQuantized(x[i]! - zeroPoint, multiplier, shift + 7);
        y[i] = value < -128 ? -128 : value > 127 ? 127 : value;
      }
    }
  };
}

/** FILL. The constant dimensions are the output's shape; the value is a scalar of the output's type. */
export function fill(node: Node): () => void {
  const dims = node.int32Constant(0);
  node.expectOutput(...dims);
  const [x, y] = [node.input(1).values, node.output.values];
  const { shape } = node.input(1).tensor;
  if (shape.length !== 0) throw node.malformed(`expected a scalar, got [${shape}]`);
  return () => {
    y.fill(x[0]!);
  };
}

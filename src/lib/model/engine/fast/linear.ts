import type { Operator } from '../../../formats/tflite/graph.js';
import type { Floats } from './memory.js';
import { limitsOf, type Run, type Slot, type TrainNode } from './node.js';
import type { Planner } from './planner.js';

type Op<Name extends Operator['op']> = Extract<Operator, { op: Name }>;

/** y = x · Wᵀ + b, W [out, in]. */
export function fullyConnected(plan: Planner, operator: Op<'FULLY_CONNECTED'>): TrainNode {
  const [x, w, b] = plan.layerInputs(operator, 0);
  const y = plan.output(operator);
  const [units, inputs] = plan.shape(operator.inputs[1]!) as [number, number];
  const perExample = y.size / units;
  const multiply = new Product(plan, {
    x: x!,
    w: w!,
    b,
    y,
    units,
    inputs,
    activation: operator.options.activation,
  });
  return {
    forward: (run) => multiply.forward(run, x!.value, run.rows * perExample, y.value.at),
    backward: (run) => {
      const rows = run.rows * perExample;
      multiply.before(run, rows);
      multiply.backward(run, x!.value, x!.gradient, rows, y.gradient!.at);
    },
  };
}

/** Maximum number of values in the columns of a group of images, so that they stay in the cache during the multiplication. */
const columnNumbers = 1 << 15;

/** A convolution is a matrix product with the windows' columns, computed for a few images at a time. */
export function convolution(plan: Planner, operator: Op<'CONV_2D'>): TrainNode {
  const [x, w, b] = plan.layerInputs(operator, 0);
  const y = plan.output(operator);
  const [filters, filterH, filterW, channels] = plan.shape(operator.inputs[1]!) as Shape4;
  const walk = plan.windows(operator, operator.options, [filterH, filterW]);
  const { activation } = operator.options;
  const taps = filterH * filterW * channels;
  const multiply = new Product(plan, { x: x!, w: w!, b, y, units: filters, inputs: taps, activation });
  const positions = y.size / filters;
  if (walk.pointwise) {
    return {
      forward: (run) => multiply.forward(run, x!.value, run.rows * positions, y.value.at),
      backward: (run) => {
        multiply.before(run, run.rows * positions);
        multiply.backward(run, x!.value, x!.gradient, run.rows * positions, y.gradient!.at);
      },
    };
  }
  // Sizes are per example, which may be several images (a first dimension above 1).
  const chunk = Math.max(1, Math.min(plan.rows, Math.floor(columnNumbers / (positions * taps))));
  const columns = plan.arena.scratch('columns', chunk * positions * taps);
  const gradients = plan.arena.scratch('column gradients', chunk * positions * taps);
  const each = (run: Run, work: (from: number, rows: number) => void) => {
    for (let from = 0; from < run.rows; from += chunk) work(from, Math.min(chunk, run.rows - from));
  };
  const imageAt = (floats: Floats, row: number) => floats.at + row * x!.size * 4;
  const resultAt = (floats: Floats, row: number) => floats.at + row * y.size * 4;
  return {
    forward: (run) => {
      multiply.prepare(run);
      each(run, (from, rows) => {
        run.kernels.windowsToColumns(
          imageAt(x!.value, from),
          0,
          columns().at,
          rows * walk.images,
          ...walk.sizes,
        );
        multiply.product(run, columns(), rows * positions, resultAt(y.value, from));
      });
    },
    backward: (run) => {
      multiply.before(run, run.rows * positions);
      each(run, (from, rows) => {
        const { windowsToColumns, columnsToWindows } = run.kernels;
        windowsToColumns(imageAt(x!.value, from), 0, columns().at, rows * walk.images, ...walk.sizes);
        const into = x!.gradient ? gradients() : undefined;
        into?.data.fill(0, 0, rows * positions * taps);
        multiply.backward(run, columns(), into, rows * positions, resultAt(y.gradient!, from));
        if (into)
          columnsToWindows(imageAt(x!.gradient!, from), 0, into.at, rows * walk.images, ...walk.sizes);
      });
    },
  };
}

type Shape4 = [number, number, number, number];

interface Layer {
  x: Slot;
  w: Slot;
  b: Slot | undefined;
  y: Slot;
  units: number;
  /** Number of terms summed for each result. */
  inputs: number;
  activation: Op<'CONV_2D'>['options']['activation'];
}

/** The three products of a layer: results, gradient of the weights, gradient of the inputs. */
class Product {
  private readonly transposed: () => Floats;
  private readonly limits: ReturnType<typeof limitsOf>;

  constructor(
    plan: Planner,
    private readonly layer: Layer,
  ) {
    this.transposed = plan.arena.scratch('transposed', layer.units * layer.inputs);
    this.limits = limitsOf(layer.activation);
  }

  prepare({ kernels }: Run): void {
    const { w, units, inputs } = this.layer;
    kernels.transpose(w.value.at, this.transposed().at, units, inputs);
  }

  forward(run: Run, from: Floats, rows: number, to: number): void {
    this.prepare(run);
    this.product(run, from, rows, to);
  }

  product({ kernels }: Run, from: Floats, rows: number, to: number): void {
    const { b, units, inputs } = this.layer;
    const { low, high } = this.limits;
    const [bias, wt] = [b?.value.at ?? 0, this.transposed().at];
    kernels.gemm(
      rows,
      units,
      inputs,
      from.at,
      inputs * 4,
      4,
      wt,
      units * 4,
      to,
      units * 4,
      bias,
      low,
      high,
      0,
    );
  }

  /** The gradient through the activation, and the bias's gradient. */
  before({ kernels }: Run, rows: number): void {
    const { b, y, units } = this.layer;
    const { low, high, fused } = this.limits;
    const dy = y.gradient!.at;
    if (fused) kernels.mask(dy, y.value.at, rows * units, low, high);
    if (b?.gradient) kernels.addRows(dy, b.gradient.at, rows, units);
  }

  backward({ kernels }: Run, from: Floats, into: Floats | undefined, rows: number, dy: number): void {
    const { w, units, inputs } = this.layer;
    const dw = w.gradient?.at;
    const [column, row] = [units * 4, inputs * 4];
    if (dw !== undefined) kernels.gemm(units, inputs, rows, dy, 4, column, from.at, row, dw, row, 0, 0, 0, 1);
    if (into) kernels.gemm(rows, inputs, units, dy, column, 4, w.value.at, row, into.at, row, 0, 0, 0, 1);
  }
}

type Depthwise = Extract<Operator, { op: 'DEPTHWISE_CONV_2D' }>;

/**
 * A depthwise convolution. With a multiplier m, output channel c reads input channel c div m: each channel of the image is first repeated m
 * times.
 */
export function depthwise(plan: Planner, operator: Depthwise): TrainNode {
  const [x, w, b] = plan.layerInputs(operator, 3) as [Slot, Slot, Slot | undefined];
  const y = plan.output(operator);
  const [, filterH, filterW, channels] = plan.shape(operator.inputs[1]!) as [number, number, number, number];
  const times = channels / plan.shape(operator.inputs[0]!).at(-1)!;
  const walk = plan.windows(operator, operator.options, [filterH, filterW], channels);
  const { low, high, fused } = limitsOf(operator.options.activation);
  const count = (rows: number) => (rows * y.size) / channels;
  const wide = times > 1 ? widened(plan, x, times) : undefined;
  const image = wide?.value ?? x.value;
  return {
    forward: ({ kernels, rows }) => {
      wide?.spread(rows);
      if (b) kernels.fillRows(b.value.at, y.value.at, count(rows), channels);
      else y.value.data.fill(0);
      kernels.depthwise(image.at, w.value.at, y.value.at, rows * walk.images, ...walk.sizes);
      if (fused) kernels.clamp(y.value.at, rows * y.size, low, high);
    },
    backward: ({ kernels, rows }) => {
      const dy = y.gradient!.at;
      if (fused) kernels.mask(dy, y.value.at, rows * y.size, low, high);
      if (b?.gradient) kernels.addRows(dy, b.gradient.at, count(rows), channels);
      const images = rows * walk.images;
      if (w.gradient) kernels.depthwiseFilter(image.at, w.gradient.at, dy, images, ...walk.sizes);
      const into = wide?.gradient ?? x.gradient;
      if (into) kernels.depthwiseImages(into.at, w.value.at, dy, images, ...walk.sizes);
      wide?.gather(rows);
    },
  };
}

/** Repeats each channel of the image, and sums the repeats for the gradient. */
function widened({ arena, rows: most }: Planner, { size, value, gradient }: Slot, times: number) {
  const wide = arena.floats(most * size * times);
  const back = gradient && arena.gradient(most * size * times);
  return {
    value: wide,
    gradient: back,
    spread: (rows: number) => {
      for (let i = 0; i < rows * size * times; i++) wide.data[i] = value.data[Math.floor(i / times)]!;
    },
    gather: (rows: number) => {
      if (!back || !gradient) return;
      for (let i = 0; i < rows * size * times; i++) gradient.data[Math.floor(i / times)]! += back.data[i]!;
    },
  };
}

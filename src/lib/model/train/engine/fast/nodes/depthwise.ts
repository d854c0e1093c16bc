import type { Operator } from '../../../../../formats/index.js';
import { limitsOf, type Slot, type TrainNode } from '../node.js';
import type { Planner } from '../planner.js';

type Depthwise = Extract<Operator, { op: 'DEPTHWISE_CONV_2D' }>;

/**
 * A convolution of each channel by itself. With a multiplier m, output channel c reads input channel c div m: the image is
 * repeated m times per channel first.
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

/** The image with each channel repeated, and the way back for its gradient. */
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

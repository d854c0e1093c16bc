import type { Activation } from '../../../formats/tflite/graph.js';
import type { Kernels } from '../wasm/kernels.js';
import type { Floats } from './memory.js';

/** A tensor during training. */
export interface Slot {
  /** Number of values per example, or in the constant. */
  size: number;
  constant: boolean;
  value: Floats;
  /** Absent if nothing before the tensor is trained. */
  gradient?: Floats;
}

/** Settings of one step over a batch. */
export interface Run {
  kernels: Kernels;
  rows: number;
  /** Whether batch norms use the batch's statistics, and dropout is active. */
  training: boolean;
  /** Number of steps taken so far. With the seed, it determines which values dropout drops. */
  steps: number;
}

/** One operator over a whole batch. The backward pass adds to the inputs' gradients, and may overwrite the output's gradient. */
export interface TrainNode {
  forward(run: Run): void;
  backward?(run: Run): void;
}

/** Limits of a fused activation. */
export function limitsOf(activation: Activation): { low: number; high: number; fused: boolean } {
  const all = Number.POSITIVE_INFINITY;
  switch (activation) {
    case 'none':
      return { low: -all, high: all, fused: false };
    case 'relu':
      return { low: 0, high: all, fused: true };
    case 'relu6':
      return { low: 0, high: 6, fused: true };
    case 'relu_n1_to_1':
      return { low: -1, high: 1, fused: true };
  }
}

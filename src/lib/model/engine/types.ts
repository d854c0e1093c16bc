import type { Graph } from '../../formats/tflite/graph.js';

/**
 * A batch norm during training. In the graph it is a MUL followed by an ADD, whose constants are derived from these values (γ/√(σ²+ε) and β −
 * μγ/√(σ²+ε)). A training step normalizes by the batch's own mean and variance; inference uses the running ones.
 */
export interface BatchNorm {
  /** Indices in `graph.operators`; each operator's second input is the constant. */
  multiply: number;
  add: number;
  /** Per channel (last axis). */
  gamma: Float32Array;
  beta: Float32Array;
  /** Running statistics; the variance is the population variance. */
  mean: Float32Array;
  variance: Float32Array;
  epsilon: number;
  /** Share of the old running statistics that a step retains. */
  momentum: number;
}

/** In a training step, a share of this activation's values becomes 0 and the others are scaled up to compensate. */
export interface Dropout {
  /** Index in `graph.tensors`. */
  tensor: number;
  /** In [0, 1). */
  rate: number;
}

/**
 * A trainable graph: batch 1, one float32 input, and one float32 output with logits, values or a reconstruction. A final SOFTMAX or
 * LOGISTIC is part of the loss instead. Every activation of an example is computed from that example alone, so an engine runs a whole batch
 * by repeating the graph.
 */
export interface Trainable {
  graph: Graph;
  /** Indices of the trainable float32 constants in `graph.tensors`, without those of batch norms. */
  parameters: number[];
  batchNorms: BatchNorm[];
  dropouts: Dropout[];
  /** Operator that is appended to the output when the graph is written. */
  ending: 'SOFTMAX' | 'LOGISTIC' | 'none';
}

const backends = ['auto', 'node', 'wasm', 'cpu'] as const;

/** auto = the project's own engine; the other values name the TensorFlow.js backend that executes the same graph. */
export type Backend = (typeof backends)[number];

/**
 * Loss of a row with outputs z and targets t. `classes`: −Σ t·log softmax(z). `probability`: the sigmoid's cross-entropy, averaged over the
 * outputs. `value`: the squared error, averaged over the outputs (a reconstruction's targets are its inputs). `cells`: that of `classes`
 * for each position of the output, averaged over the positions. The output's last axis contains the classes, and the targets of a position
 * may sum to any weight.
 */
export type Loss = 'classes' | 'probability' | 'value' | 'cells';

/** Integer representation of one activation: real = scale · (q − zeroPoint), q in [least, most]. */
export interface FakeRange {
  scale: number;
  zeroPoint: number;
  least: number;
  most: number;
}

/**
 * Trains as if the network were already quantized. Gradients pass straight through the rounding, but are 0 for activations outside their
 * range.
 */
export interface FakeQuantization {
  /** Whether the weights of linear layers are quantized: symmetric int8 per output channel, with scales from the current weights. */
  weights: boolean;
  /** Ranges by tensor index; the network's input may be included. */
  activations: ReadonlyMap<number, FakeRange>;
}

export interface EngineOptions {
  backend: Backend;
  loss: Loss;
  /** Adam's learning rate (β₁ = 0.9, β₂ = 0.999, ε = 10⁻⁷). */
  learningRate: number;
  /** Determines which values dropout drops. Initial weights are already in the graph. */
  seed: number;
  fakeQuant?: FakeQuantization;
}

/** State of an engine as plain arrays, for storage in memory or in a file. */
export interface EngineState {
  /** Number of steps taken. */
  steps: number;
  /** All parameters concatenated: `trainable.parameters` in order, then γ and β of each batch norm. */
  values: Float32Array;
  /** Adam's first and second moments, in the same order. */
  first: Float32Array;
  second: Float32Array;
  /** Running mean and variance of each batch norm. */
  statistics: Float32Array;
}

export interface Step {
  /** Weighted sum of the rows' losses, divided by the number of rows. */
  loss: number;
  /** A copy of the outputs [rows × outputs] before this step changed the weights. */
  outputs: Float32Array;
}

/** Trains one graph. Deterministic: on one backend, equal graphs, options and calls yield equal results. Not re-entrant. */
export interface Engine {
  /** Display name: `wasm-simd` (our own), `tfjs-node`, `tfjs-wasm`, `tfjs-cpu`. */
  readonly name: string;
  /** Size of one example's input and output. */
  readonly inputSize: number;
  readonly outputSize: number;
  /**
   * One step of Adam.
   * @param inputs [rows × inputSize], row-major
   * @param targets [rows × outputSize]; for `classes` each row's values sum to 1
   * @param weights one factor of the loss per row; null = 1
   * @param share factor of the learning rate; default 1
   */
  step(
    inputs: Float32Array,
    targets: Float32Array,
    weights: Float32Array | null,
    rows: number,
    share?: number,
  ): Step;
  /** Outputs [rows × outputSize] as the written graph computes them before its ending: no dropout, running statistics. Any number of rows. */
  forward(inputs: Float32Array, rows: number): Float32Array;
  /** A copy of the learned state. */
  save(): EngineState;
  /** @throws AIOT_FILE_MALFORMED if the state belongs to another network */
  load(state: EngineState): void;
  /** The trainable graph with the current weights; `finishGraph` converts it into the graph to write. */
  graph(): Graph;
  /** Releases memory; the engine must not be used afterward. */
  dispose(): void;
}

import type { Graph, Tensor } from '../../formats/index.js';

/** Values of one tensor while a network runs. */
export type Values = Int8Array | Int16Array | Float32Array | Int32Array;

/**
 * Called with the input, then with each operator's output as soon as it is there. `values` is the interpreter's own
 * array: read it now, or copy it.
 */
export type OnTensor = (index: number, values: Values) => void;

export interface InterpreterOptions {
  /**
   * How the ratio of scales is formed in the few kernels where builds of TFLite Micro differ: `double` as those of
   * October 2026, `single` as those up to August 2026 (a few int8 values in a million differ by one).
   */
  ratioPrecision?: 'double' | 'single';
}

/** What goes into a network and comes out of it. */
export type Activations = Int8Array | Int16Array | Float32Array;

/** A network ready to run: one input, one output. */
export interface Interpreter<Data extends Activations = Activations> {
  readonly graph: Graph;
  readonly inputTensor: Tensor;
  readonly outputTensor: Tensor;
  /** Values by tensor index; an index that no operator uses has none. Overwritten by the next run. */
  readonly tensors: readonly (Values | undefined)[];
  /**
   * Runs the network once. Allocates nothing: the array returned is the interpreter's own and is overwritten by the
   * next run, so copy it (`.slice()`) to keep it.
   * @throws AIOT_TFLITE_INPUT when `input` has another length or type than the input tensor, or is not finite
   */
  invoke(input: Data, onTensor?: OnTensor): Data;
}

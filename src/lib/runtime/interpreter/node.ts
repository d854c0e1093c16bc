import { AiotError } from '../../core/errors.js';
import { elementCount, type Graph, type Operator, type Tensor } from '../../formats/tflite/graph.js';

/** Values of one tensor while a network runs. */
export type Values = Int8Array | Int16Array | Float32Array | Int32Array | Uint8Array;

/**
 * Called with the input, then with each operator's output as soon as it is computed. `values` is the interpreter's own array: read it
 * immediately, or copy it.
 */
export type OnTensor = (index: number, values: Values) => void;

export interface InterpreterOptions {
  /**
   * How the ratio of scales is formed in the few kernels where builds of TFLite Micro differ. `double` is as in those of October 2026,
   * `single` as in those up to August 2026. A few int8 values in a million differ by one.
   */
  ratioPrecision?: 'double' | 'single';
}

/** Values of a network's input or output. */
export type Activations = Int8Array | Int16Array | Float32Array;

/** A network ready to run: one input, one output. Its variables keep their values from run to run. */
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
  /** Gives variables their initial values, as before the first run: the next input is the first of a new recording. */
  reset(): void;
}

export interface Operand {
  tensor: Tensor;
  values: Values;
}

/** One operator with its operands bound: the input from which a kernel is planned. */
export class Node<Options = unknown> {
  readonly options: Options;

  constructor(
    readonly index: number,
    readonly operator: Operator,
    readonly inputs: readonly (Operand | undefined)[],
    readonly outputs: readonly Operand[],
    readonly ratioPrecision: NonNullable<InterpreterOptions['ratioPrecision']>,
  ) {
    this.options = operator.options as Options;
  }

  /** The error for a contradiction in this operator. */
  malformed(reason: string): AiotError {
    return new AiotError('AIOT_TFLITE_MALFORMED', `operator ${this.index} (${this.operator.op}): ${reason}`);
  }
  /** The error for a valid use of this operator that is not supported here. */
  unsupported(what: string): AiotError {
    return new AiotError('AIOT_TFLITE_UNSUPPORTED', `operator ${this.index} (${this.operator.op}): ${what}`);
  }

  input(place: number): Operand {
    const operand = this.inputs[place];
    if (operand === undefined) throw this.malformed(`input ${place} is missing`);
    return operand;
  }
  /** The first output: all operators have one, except ASSIGN_VARIABLE. */
  get output(): Operand {
    const [first] = this.outputs;
    if (first === undefined) throw this.malformed('it has no output');
    return first;
  }
  int8(place: number): Int8Array {
    const { values } = this.input(place);
    if (!(values instanceof Int8Array))
      throw this.unsupported(`input ${place} of type ${this.input(place).tensor.type}`);
    return values;
  }
  float32(place: number): Float32Array {
    const { values } = this.input(place);
    if (!(values instanceof Float32Array))
      throw this.unsupported(`input ${place} of type ${this.input(place).tensor.type}`);
    return values;
  }
  get int8Output(): Int8Array {
    if (!(this.output.values instanceof Int8Array))
      throw this.unsupported(`${this.output.tensor.type} output`);
    return this.output.values;
  }
  int16(place: number): Int16Array {
    const { values } = this.input(place);
    if (!(values instanceof Int16Array))
      throw this.unsupported(`input ${place} of type ${this.input(place).tensor.type}`);
    return values;
  }
  get int16Output(): Int16Array {
    if (!(this.output.values instanceof Int16Array))
      throw this.unsupported(`${this.output.tensor.type} output`);
    return this.output.values;
  }
  /** An int8 or int16 input, for kernels that support both. */
  integers(place: number): Int8Array | Int16Array {
    return this.input(place).values instanceof Int16Array ? this.int16(place) : this.int8(place);
  }
  get integerOutput(): Int8Array | Int16Array {
    return this.output.values instanceof Int16Array ? this.int16Output : this.int8Output;
  }
  /** A bool input: bytes, 0 for false. */
  bools(place: number): Uint8Array {
    const { values, tensor } = this.input(place);
    if (!(values instanceof Uint8Array)) throw this.unsupported(`input ${place} of type ${tensor.type}`);
    return values;
  }
  get boolOutput(): Uint8Array {
    if (!(this.output.values instanceof Uint8Array))
      throw this.unsupported(`${this.output.tensor.type} output`);
    return this.output.values;
  }
  get float32Output(): Float32Array {
    if (!(this.output.values instanceof Float32Array))
      throw this.unsupported(`${this.output.tensor.type} output`);
    return this.output.values;
  }

  /** Constant int8 weights: kernels sum them up once. */
  int8Weights(place: number): Int8Array {
    if (this.input(place).tensor.data === undefined) throw this.unsupported('weights that are not constant');
    return this.int8(place);
  }
  /** The int32 bias of `channels` values; zeros if it is omitted. */
  int32Bias(place: number, channels: number): Int32Array {
    const bias = this.inputs[place];
    if (bias === undefined) return new Int32Array(channels);
    if (!(bias.tensor.data instanceof Int32Array)) throw this.unsupported(`${bias.tensor.type} bias`);
    return this.#sized(bias.tensor.data, channels, 'bias');
  }
  float32Bias(place: number, channels: number): Float32Array {
    if (this.inputs[place] === undefined) return new Float32Array(channels);
    return this.#sized(this.float32(place), channels, 'bias');
  }
  /** Constant int32s: axes, dimensions. */
  int32Constant(place: number): Int32Array {
    const { data } = this.input(place).tensor;
    if (!(data instanceof Int32Array))
      throw this.unsupported(`input ${place} that is not a constant of int32`);
    return data;
  }

  /** An axis of `shape` counted from the front; negative ones count from the back. */
  axis(axis: number, shape: readonly number[]): number {
    const positive = axis < 0 ? axis + shape.length : axis;
    if (positive < 0 || positive >= shape.length) throw this.malformed(`axis ${axis} of [${shape}]`);
    return positive;
  }
  /** A shape of exactly `rank` dimensions. */
  shape(operand: Operand, rank: number): number[] {
    const { shape } = operand.tensor;
    if (shape.length !== rank) throw this.malformed(`expected ${rank} dimensions, got [${shape}]`);
    return shape;
  }
  /** Rejects an output with another shape. */
  expectOutput(...shape: number[]): void {
    const got = this.output.tensor.shape;
    if (shape.length !== got.length || shape.some((size, axis) => size !== got[axis]))
      throw this.malformed(`expected an output of [${shape}], got [${got}]`);
  }
  /** Rejects an output without `rows` × `outputs` elements, or with another last dimension, which other interpreters use as the number of outputs. */
  expectRows(rows: number, outputs: number): void {
    this.expectOutputSize(rows * outputs);
    const { shape } = this.output.tensor;
    if (shape.at(-1) !== outputs)
      throw this.malformed(`expected an output whose last dimension is ${outputs}, got [${shape}]`);
  }
  /** Rejects an output with another size, whatever its shape. */
  expectOutputSize(size: number): void {
    const got = elementCount(this.output.tensor.shape);
    if (size !== got) throw this.malformed(`expected an output of ${size} elements, got ${got}`);
  }

  #sized<T extends Int32Array | Float32Array>(values: T, length: number, what: string): T {
    if (values.length !== length)
      throw this.malformed(`expected a ${what} of ${length} elements, got ${values.length}`);
    return values;
  }
}

/** Plans once, runs many times. */
export type Kernel<Options = unknown> = (node: Node<Options>) => () => void;

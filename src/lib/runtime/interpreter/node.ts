import { AiotError } from '../../core/errors.js';
import { elementCount, type Graph, type Operator, type Tensor } from '../../formats/tflite/graph.js';

/** Values of one tensor while a network runs. A uint64 is two uint32 values: its low and its high half. */
export type Values = Int8Array | Int16Array | Float32Array | Int32Array | Uint8Array | Uint32Array;

/**
 * Called with the input, and with each operator's output when the output is ready. `values` is the interpreter's own array, so read it
 * immediately or copy it.
 */
export type OnTensor = (index: number, values: Values) => void;

export interface InterpreterOptions {
  /**
   * Precision of the scale ratio in the few kernels in which TFLite Micro builds differ: `double` as in October 2026, `single` as in builds
   * up to August 2026. A few int8 values in a million differ by one.
   */
  ratioPrecision?: 'double' | 'single';
  /**
   * Whether operators are compiled to WebAssembly for this model, which makes large models 25 to 50 times as fast. True compiles operators on
   * float32 and int8; sums in float32 are then in single precision, unlike in the firmware. `integers` compiles only operators on int8, whose
   * results do not change.
   */
  compiled?: boolean | 'integers';
}

/** Values of a network's input or output. bool values are bytes of 0 and 1. */
export type Activations = Values;

/** A network that is ready to run. Its variables keep their values between runs. */
export interface Interpreter<Data extends Activations = Activations> {
  readonly graph: Graph;
  /** Inputs and outputs in file order. Most networks have one input and one output. */
  readonly inputTensors: readonly Tensor[];
  readonly outputTensors: readonly Tensor[];
  /** Values by tensor index; undefined for tensors that no operator uses. The next run overwrites them. */
  readonly tensors: readonly (Values | undefined)[];
  /**
   * Runs the network once without allocating memory. The returned array is the interpreter's own, and the next run overwrites it. To keep
   * the values, copy the array (`.slice()`).
   * @param input values of all inputs, one input after another
   * @returns values of all outputs, one output after another
   * @throws AIOT_TFLITE_INPUT if the length or type of `input` differs from that of the input tensors, or if a value is not finite;
   * AIOT_TFLITE_UNSUPPORTED if inputs or outputs have several types: use `run`
   */
  invoke(input: Data, onTensor?: OnTensor): Data;
  /**
   * Like `invoke`, but with an array for each input and each output. The arrays may have different types.
   * @throws AIOT_TFLITE_INPUT
   */
  run(inputs: readonly Activations[], onTensor?: OnTensor): readonly Activations[];
  /**
   * With `compiled`, the number of values in each run that are not computed by compiled operators; infinite if these operators multiply by
   * weights. Otherwise infinite.
   */
  readonly interpreted: number;
  /** Resets variables to their initial values, so that the next input is the first of a new recording. */
  reset(): void;
}

export interface Operand {
  tensor: Tensor;
  values: Values;
}

/** One operator with its operands, from which a kernel is planned. */
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
    return new AiotError(
      'AIOT_TFLITE_UNSUPPORTED',
      `operator ${this.index} (${this.operator.op}): no support for ${what}`,
    );
  }
  /** The error for an index that this operator computed or received, but that does not exist. */
  outside(index: number, size: number): AiotError {
    return new AiotError(
      'AIOT_TFLITE_INPUT',
      `operator ${this.index} (${this.operator.op}): expected an index from 0 to ${size - 1}, got ${index}`,
    );
  }

  input(place: number): Operand {
    const operand = this.inputs[place];
    if (operand === undefined) throw this.malformed(`input ${place} is missing`);
    return operand;
  }
  /** The first output. Every operator except ASSIGN_VARIABLE has an output. */
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
  /** A bool input as bytes; 0 is false. */
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

  /** Constant int8 weights. They must be constant because kernels compute sums of the weights in advance. */
  int8Weights(place: number): Int8Array {
    if (this.input(place).tensor.data === undefined) throw this.unsupported('weights that are not constant');
    return this.int8(place);
  }
  /** The int32 bias with `channels` values; zeros if there is no bias. */
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
  /** A constant int32 input, such as axes or dimensions. */
  int32Constant(place: number): Int32Array {
    const { data } = this.input(place).tensor;
    if (!(data instanceof Int32Array))
      throw this.unsupported(`input ${place} that is not a constant of int32`);
    return data;
  }

  /** Converts an axis of `shape`, which if negative counts from the last axis, to an index from the first axis. */
  axis(axis: number, shape: readonly number[]): number {
    const positive = axis < 0 ? axis + shape.length : axis;
    if (positive < 0 || positive >= shape.length)
      throw this.malformed(`axis ${axis} does not exist in [${shape}]`);
    return positive;
  }
  /** The shape of an operand, which must have exactly `rank` dimensions. */
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
  /**
   * Rejects an output that does not have `rows` × `outputs` elements, or whose last dimension, which other interpreters use, is not
   * `outputs`.
   */
  expectRows(rows: number, outputs: number): void {
    this.expectOutputSize(rows * outputs);
    const { shape } = this.output.tensor;
    if (shape.at(-1) !== outputs)
      throw this.malformed(`expected an output whose last dimension is ${outputs}, got [${shape}]`);
  }
  /** Rejects an output with another size, regardless of its shape. */
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

/** Plans an operator once. The returned function can be run many times. */
export type Kernel<Options = unknown> = (node: Node<Options>) => () => void;

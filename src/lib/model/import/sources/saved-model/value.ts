import { malformed } from '../../errors.js';
import type { Message } from './protobuf.js';

/** What stands at one place of a TensorFlow graph while it is followed. */
export type Value =
  | { kind: 'constant'; shape: number[]; data: Float32Array | Int32Array }
  /** An activation: a tensor of our graph. */
  | { kind: 'tensor'; index: number }
  /** A variable, by the name of its node in the main graph. */
  | { kind: 'variable'; name: string };

export type Constant = Extract<Value, { kind: 'constant' }>;

export function constant(shape: number[], data: Float32Array | Int32Array): Constant {
  return { kind: 'constant', shape, data };
}

export function integers(...values: number[]): Constant {
  return constant([values.length], Int32Array.from(values));
}

const [float, int32, int64, bool] = [1, 3, 9, 10];

/** A TensorProto (framework/tensor.proto): raw bytes, or values of which the last stands for all that follow. */
export function tensorProto(tensor: Message, where: string): Constant {
  const type = tensor.integer(1);
  const shape =
    tensor
      .message(2)
      ?.messages(2)
      .map((dimension) => dimension.integer(1)) ?? [];
  const count = shape.reduce((a, b) => a * b, 1);
  const raw = tensor.bytes(4)[0];
  if (raw && raw.length > 0) {
    const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
    const all = <T>(read: (i: number) => T) => Array.from({ length: count }, (_, i) => read(i));
    if (raw.length < count * (type === int64 ? 8 : type === bool ? 1 : 4))
      throw malformed(`${where}: its constant is cut off`);
    if (type === float) return constant(shape, Float32Array.from(all((i) => view.getFloat32(i * 4, true))));
    if (type === int32) return constant(shape, Int32Array.from(all((i) => view.getInt32(i * 4, true))));
    if (type === int64)
      return constant(shape, Int32Array.from(all((i) => Number(view.getBigInt64(i * 8, true)))));
  }
  const values =
    type === float
      ? tensor.floats(5)
      : type === int32
        ? tensor.integers(7)
        : type === int64
          ? tensor.integers(10)
          : [];
  const filled = Array.from({ length: count }, (_, i) => values[Math.min(i, values.length - 1)] ?? 0);
  return constant(shape, type === float ? Float32Array.from(filled) : Int32Array.from(filled));
}

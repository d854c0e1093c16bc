import { broadcastPlaces } from '../../engine/fast/pooling.js';
import { type Constant, constant } from './graph-def.js';

const unary: Readonly<Record<string, (x: number) => number>> = {
  Rsqrt: (x) => 1 / Math.sqrt(x),
  Sqrt: Math.sqrt,
  Neg: (x) => -x,
  Reciprocal: (x) => 1 / x,
};

const binary: Readonly<Record<string, (a: number, b: number) => number>> = {
  Add: (a, b) => a + b,
  AddV2: (a, b) => a + b,
  Sub: (a, b) => a - b,
  Mul: (a, b) => a * b,
  RealDiv: (a, b) => a / b,
  Maximum: Math.max,
};

/** The result of an operation on constants; undefined for operations that do not compute weights or shapes. */
export function fold(op: string, inputs: readonly Constant[]): Constant | undefined {
  const [a, b] = inputs;
  if (a === undefined) return undefined;
  const one = Object.hasOwn(unary, op) ? unary[op] : undefined;
  if (one) return constant(a.shape, (a.data as Float32Array).map(one));
  const two = Object.hasOwn(binary, op) ? binary[op] : undefined;
  if (two && b) {
    const shape = joint(a.shape, b.shape);
    const [left, right] = [broadcastPlaces(a.shape, shape), broadcastPlaces(b.shape, shape)];
    const values = Array.from(left, (place, i) => two(a.data[place]!, b.data[right[i]!]!));
    return constant(
      shape,
      a.data instanceof Float32Array ? Float32Array.from(values) : Int32Array.from(values),
    );
  }
  switch (op) {
    case 'Cast':
    case 'Identity':
      return a;
    case 'Reshape':
      return constant(resolved([...b!.data], a.data.length), a.data);
    case 'ExpandDims': {
      const at = b!.data[0]! < 0 ? b!.data[0]! + a.shape.length + 1 : b!.data[0]!;
      return constant([...a.shape.slice(0, at), 1, ...a.shape.slice(at)], a.data);
    }
    case 'Squeeze':
      return constant(
        a.shape.filter((size) => size !== 1),
        a.data,
      );
    case 'Pack':
      return constant(
        [inputs.length],
        Int32Array.from(inputs, ({ data }) => data[0]!),
      );
    case 'ConcatV2': {
      const parts = inputs.slice(0, -1).flatMap(({ data }) => [...data]);
      return a.shape.length === 1 ? constant([parts.length], Int32Array.from(parts)) : undefined;
    }
    case 'GatherV2':
      return constant(
        b!.shape,
        Int32Array.from(b!.data, (place) => a.data[place]!),
      );
    case 'Prod':
      return constant([], Int32Array.of([...a.data].reduce((product, value) => product * value, 1)));
    default:
      return undefined;
  }
}

function joint(a: readonly number[], b: readonly number[]): number[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, k) =>
    Math.max(a[k - rank + a.length] ?? 1, b[k - rank + b.length] ?? 1),
  );
}

/** The shape with −1 resolved. */
export function resolved(shape: readonly number[], count: number): number[] {
  const known = shape.filter((size) => size !== -1).reduce((a, b) => a * b, 1);
  return shape.map((size) => (size === -1 ? count / known : size));
}

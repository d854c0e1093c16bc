import { malformed, unsupported } from '../errors.js';
import { type Constant, constantIn, mostDimensions } from './constants.js';
import type { OnnxAttribute, OnnxGraph, OnnxNode } from './file.js';

/** A node's attributes, with the operator's defaults. */
export class Attributes {
  private readonly byName: ReadonlyMap<string, OnnxAttribute>;
  /** Cache of decoded texts, because some are read once per element. */
  private readonly decoded = new Map<string, string>();

  constructor(
    { attributes }: OnnxNode,
    private readonly where: string,
  ) {
    this.byName = new Map(attributes.map((each) => [each.name, each]));
  }

  has(name: string): boolean {
    return this.byName.has(name);
  }

  integer(name: string, otherwise: number): number {
    return this.byName.get(name)?.integer ?? otherwise;
  }

  float(name: string, otherwise: number): number {
    return this.byName.get(name)?.float ?? otherwise;
  }

  integers(name: string): number[] | undefined {
    const found = this.byName.get(name);
    return found && [...found.integers];
  }

  floats(name: string): number[] | undefined {
    return this.byName
      .get(name)
      ?.floats.flatMap((part) => (typeof part === 'number' ? [part as number] : [...part]));
  }

  text(name: string, otherwise: string): string {
    const bytes = this.byName.get(name)?.bytes;
    if (bytes === undefined) return otherwise;
    const text = this.decoded.get(name) ?? new TextDecoder().decode(bytes);
    this.decoded.set(name, text);
    return text;
  }

  texts(name: string): string[] {
    return (this.byName.get(name)?.strings ?? []).map((bytes) => new TextDecoder().decode(bytes));
  }

  tensor(name: string): Constant | undefined {
    const tensor = this.byName.get(name)?.tensor;
    return tensor && constantIn(tensor);
  }

  graph(name: string): OnnxGraph {
    const graph = this.byName.get(name)?.graph;
    if (graph === undefined) throw malformed(`${this.where}: the attribute ${name} is missing`);
    return graph;
  }

  /** Rejects a setting that would change the result. */
  refuse(name: string, allowed: number, instead?: string): void {
    const value = this.integer(name, allowed);
    if (value !== allowed) throw unsupported(this.where, `${name} ${value} is not supported`, instead);
  }
}

/** Converts a possibly negative axis to one counted from the front. @throws AIOT_FILE_MALFORMED */
export function axisIn(axis: number, rank: number, where: string): number {
  const found = axis < 0 ? axis + rank : axis;
  if (Number.isInteger(found) && found >= 0 && found < rank) return found;
  throw malformed(`${where}: axis ${axis} does not exist: the tensor has ${rank} dimensions`);
}

/** Broadcasts two shapes by NumPy's rule. @throws AIOT_FILE_MALFORMED */
export function broadcastShape(a: readonly number[], b: readonly number[], where: string): number[] {
  const rank = Math.max(a.length, b.length);
  if (rank > mostDimensions)
    throw malformed(`${where}: expected at most ${mostDimensions} dimensions, got ${rank}`);
  return Array.from({ length: rank }, (_, k) => {
    const [left, right] = [a[k - rank + a.length] ?? 1, b[k - rank + b.length] ?? 1];
    if (left !== right && left !== 1 && right !== 1)
      throw malformed(`${where}: [${a.join(', ')}] and [${b.join(', ')}] do not match`);
    return left === 1 ? right : left;
  });
}

/** A Reshape's target shape, with 0 (copied) and −1 (inferred) resolved. @throws AIOT_FILE_MALFORMED */
export function reshapeTarget(
  from: readonly number[],
  wanted: readonly number[],
  allowZero: boolean,
  where: string,
): number[] {
  const copied = wanted.map((size, k) => (size === 0 && !allowZero ? (from[k] ?? 0) : size));
  const count = from.reduce((a, b) => a * b, 1);
  const known = copied.reduce((product, size) => (size === -1 ? product : product * size), 1);
  const shape = copied.map((size) => (size === -1 ? count / known : size));
  const valid = shape.every((size) => Number.isInteger(size) && size >= 0);
  if (!valid || shape.length > 8 || shape.reduce((a, b) => a * b, 1) !== count)
    throw malformed(`${where}: [${wanted.join(', ')}] does not hold the elements of [${from.join(', ')}]`);
  return shape;
}

/** One axis of a Slice: `count` elements from `first` in steps. */
export interface SlicedAxis {
  first: number;
  step: number;
  count: number;
}

/** The elements that a Slice selects along each axis of the shape. @throws AIOT_FILE_MALFORMED */
export function slicedAxes(
  shape: readonly number[],
  starts: readonly number[],
  ends: readonly number[],
  axes: readonly number[] | undefined,
  steps: readonly number[] | undefined,
  where: string,
): SlicedAxis[] {
  const out = shape.map((size): SlicedAxis => ({ first: 0, step: 1, count: size }));
  const given = axes ?? starts.map((_, k) => k);
  if (starts.length !== ends.length || given.length !== starts.length)
    throw malformed(
      `${where}: expected equally many starts, ends and axes, got ${starts.length}, ${ends.length} and ${given.length}`,
    );
  given.forEach((each, k) => {
    const axis = axisIn(each, shape.length, where);
    const size = shape[axis]!;
    const step = steps?.[k] ?? 1;
    if (step === 0 || !Number.isInteger(step))
      throw malformed(`${where}: expected a whole step other than 0, got ${step}`);
    const wrapped = (value: number) => (value < 0 ? value + size : value);
    const [low, high] = step > 0 ? [0, size] : [-1, size - 1];
    const bound = (value: number) => Math.min(Math.max(wrapped(value), low), high);
    const first = step > 0 ? bound(starts[k]!) : Math.min(Math.max(wrapped(starts[k]!), 0), high);
    out[axis] = { first, step, count: Math.max(0, Math.ceil((bound(ends[k]!) - first) / step)) };
  });
  return out;
}

import { elementCount } from '../../../formats/tflite/graph.js';
import { malformed, unsupported } from '../errors.js';
import type { Lower, NodeCall } from './call.js';
import { type Constant, constantOf } from './constants.js';
import { strides } from './fold.js';
import type { Value } from './maker.js';
import { axisIn } from './node.js';
import { plainBinary } from './pointwise.js';

/** Operators that read or write single elements at constant places. They become one GATHER of all elements. */

/** Largest number of updates of the same element, each of which needs operators of its own. */
const mostUpdates = 16;

/** Position along each axis of the element at this place. */
function positionsOf(place: number, shape: readonly number[]): number[] {
  return strides(shape).map((step, axis) => Math.floor(place / step) % shape[axis]!);
}

/** The index as a position along an axis; negative indices count from the end. */
function positionIn(call: NodeCall, index: number, size: number): number {
  const position = index < 0 ? index + size : index;
  if (Number.isInteger(position) && position >= 0 && position < size) return position;
  throw malformed(`${call.where}: the index ${index} is outside of 0 to ${size - 1}`);
}

/** All elements of a value as a tensor of one dimension. */
function flatTensor(call: NodeCall, value: Value, whole: boolean): number {
  const { maker } = call;
  const shape = [elementCount(value.shape)];
  if (value.kind === 'constant')
    return whole ? maker.wholes({ ...value, shape }) : maker.weights({ ...value, shape });
  if (maker.isWhole(value) !== whole)
    throw unsupported(call.where, 'its inputs have different types', 'convert them with Cast');
  return maker.inFileOrder(maker.reshaped(value, shape));
}

/** The elements of these values, counted from the first element of the first value, in this order and shape. */
function elementsAt(
  call: NodeCall,
  values: readonly Value[],
  places: readonly number[],
  shape: readonly number[],
): Value {
  const { maker, where } = call;
  maker.budget.spend(shape, where);
  if (values.every((value): value is Constant => value.kind === 'constant')) {
    const all = values.flatMap(({ data }) => Array.from(data));
    return constantOf(
      values[0]!.type,
      shape,
      places.map((place) => all[place]!),
    );
  }
  const whole = values.some((value) => value.kind === 'activation' && maker.isWhole(value));
  const tensors = values.map((value) => flatTensor(call, value, whole));
  const all = tensors.length === 1 ? tensors[0]! : maker.concatenated(tensors, 0);
  maker.reserve(places.length);
  const options = { axis: 0, batchDims: 0 };
  const taken = maker.op('GATHER', [all, maker.integers([...places])], [places.length], options);
  return maker.reshaped(maker.plain(taken), shape);
}

/** The places that the rows of an index tensor address: all elements below each row's position, in order. */
function rowPlaces(call: NodeCall, indices: Constant, shape: readonly number[], batches: number): number[] {
  const depth = indices.shape.at(-1) ?? 0;
  const isBatched = indices.shape.slice(0, batches).join() === shape.slice(0, batches).join();
  if (
    depth < 1 ||
    batches < 0 ||
    batches + depth > shape.length ||
    indices.shape.length <= batches ||
    !isBatched
  )
    throw malformed(
      `${call.where}: indices of [${indices.shape.join(', ')}] do not fit [${shape.join(', ')}]`,
    );
  const steps = strides(shape);
  const inner = elementCount(shape.slice(batches + depth));
  const rows = elementCount(indices.shape.slice(0, -1));
  call.maker.budget.spend([rows, inner], call.where);
  const perBatch = rows / elementCount(shape.slice(0, batches));
  const whole = elementCount(shape.slice(batches));
  return Array.from({ length: rows }, (_, row) => {
    let start = Math.floor(row / perBatch) * whole;
    for (let k = 0; k < depth; k++)
      start += positionIn(call, indices.data[row * depth + k]!, shape[batches + k]!) * steps[batches + k]!;
    return Array.from({ length: inner }, (_each, k) => start + k);
  }).flat();
}

/** The places that indices address along one axis. Their positions along the other axes are their own. */
function axisPlaces(call: NodeCall, indices: Constant, shape: readonly number[]): number[] {
  const axis = axisIn(call.attributes.integer('axis', 0), shape.length, call.where);
  const steps = strides(shape);
  const fits = indices.shape.every((size, k) => k === axis || size <= shape[k]!);
  if (indices.shape.length !== shape.length || !fits)
    throw malformed(
      `${call.where}: indices of [${indices.shape.join(', ')}] do not fit [${shape.join(', ')}]`,
    );
  return Array.from(indices.data, (index, at) =>
    positionsOf(at, indices.shape).reduce((place, position, k) => {
      const chosen = k === axis ? positionIn(call, index, shape[axis]!) : position;
      return place + chosen * steps[k]!;
    }, 0),
  );
}

const gatherElements: Lower = (call) => {
  const [x, indices] = [call.value(0), call.constant(1, 'index')];
  return elementsAt(call, [x], axisPlaces(call, indices, x.shape), indices.shape);
};

const gatherNd: Lower = (call) => {
  const [x, indices] = [call.value(0), call.constant(1, 'index')];
  const batches = call.attributes.integer('batch_dims', 0);
  const places = rowPlaces(call, indices, x.shape, batches);
  const depth = indices.shape.at(-1)!;
  const shape = [...indices.shape.slice(0, -1), ...x.shape.slice(batches + depth)];
  return elementsAt(call, [x], places, shape);
};

/** The first elements along the time axis in reverse order: for each element of the batch, as many as its constant length. */
const reverseSequence: Lower = (call) => {
  const [x, lengths] = [call.value(0), call.constant(1, 'lengths')];
  const [time, batch] = [call.attributes.integer('time_axis', 0), call.attributes.integer('batch_axis', 1)];
  const { shape } = x;
  const fits = lengths.data.every(
    (length) => Number.isInteger(length) && length >= 0 && length <= shape[time]!,
  );
  if (time + batch !== 1 || shape.length < 2 || lengths.data.length !== shape[batch] || !fits)
    throw malformed(
      `${call.where}: lengths of [${lengths.shape.join(', ')}] do not fit [${shape.join(', ')}]`,
    );
  call.maker.budget.spend(shape, call.where);
  const step = strides(shape)[time]!;
  const places = Array.from({ length: elementCount(shape) }, (_, place) => {
    const at = positionsOf(place, shape);
    const last = lengths.data[at[batch]!]! - 1;
    return at[time]! > last ? place : place + (last - 2 * at[time]!) * step;
  });
  return elementsAt(call, [x], places, shape);
};

const reductions = ['none', 'add', 'mul', 'max', 'min'] as const;

const combine = {
  none: (_: number, update: number) => update,
  add: (a: number, b: number) => a + b,
  mul: (a: number, b: number) => a * b,
  max: Math.max,
  min: Math.min,
};

/**
 * Writes updates to these places of x, one update each.
 * @param shape required shape of the updates
 */
function scattered(call: NodeCall, places: readonly number[], shape: readonly number[]): Value {
  const [x, updates] = [call.value(0), call.value(2)];
  const given = call.attributes.text('reduction', 'none');
  const reduction = reductions.find((each) => each === given);
  if (reduction === undefined)
    throw malformed(`${call.where}: expected a reduction of ${reductions.join(', ')}, got ${given}`);
  if (shape.join() !== updates.shape.join())
    throw malformed(
      `${call.where}: expected updates of [${shape.join(', ')}], got [${updates.shape.join(', ')}]`,
    );
  call.maker.budget.spend(x.shape, call.where);
  const count = elementCount(x.shape);
  if (x.kind === 'constant' && updates.kind === 'constant') {
    const data = x.data.slice();
    places.forEach((place, at) => {
      data[place] = combine[reduction](data[place]!, updates.data[at]!);
    });
    return { ...x, data };
  }
  const own = Array.from({ length: count }, (_, place) => place);
  if (reduction === 'none') {
    // If several updates set the same element, the last one counts.
    places.forEach((place, at) => {
      own[place] = count + at;
    });
    return elementsAt(call, [x, updates], own, x.shape);
  }
  return rounds(call, places).reduce<Value>((y, round) => {
    if (reduction === 'max' || reduction === 'min') {
      const chosen = own.map((place) => (round.has(place) ? count + round.get(place)! : place));
      const candidates = elementsAt(call, [y, updates], chosen, x.shape);
      return plainBinary(call.maker, reduction === 'max' ? 'MAXIMUM' : 'MINIMUM', y, candidates);
    }
    const neutral = constantOf(
      updates.kind === 'constant' ? updates.type : 'float32',
      [1],
      [reduction === 'add' ? 0 : 1],
    );
    const chosen = own.map((place) => round.get(place) ?? places.length);
    const terms = elementsAt(call, [updates, neutral], chosen, x.shape);
    return call.maker.two(reduction === 'add' ? 'ADD' : 'MUL', y, terms);
  }, x);
}

/** The updates in rounds: in each, an element has at most one update. */
function rounds(call: NodeCall, places: readonly number[]): Map<number, number>[] {
  const made: Map<number, number>[] = [];
  const counts = new Map<number, number>();
  places.forEach((place, at) => {
    const round = counts.get(place) ?? 0;
    if (round === mostUpdates)
      throw unsupported(
        call.where,
        `it updates an element more than ${mostUpdates} times`,
        'combine the updates before the model',
      );
    counts.set(place, round + 1);
    made[round] ??= new Map();
    made[round].set(place, at);
  });
  return made;
}

const scatterElements: Lower = (call) => {
  const [x, indices] = [call.value(0), call.constant(1, 'index')];
  return scattered(call, axisPlaces(call, indices, x.shape), indices.shape);
};

const scatterNd: Lower = (call) => {
  const [x, indices] = [call.value(0), call.constant(1, 'index')];
  const places = rowPlaces(call, indices, x.shape, 0);
  return scattered(call, places, [...indices.shape.slice(0, -1), ...x.shape.slice(indices.shape.at(-1)!)]);
};

export const placeRows: Readonly<Record<string, Lower>> = {
  GatherElements: gatherElements,
  GatherND: gatherNd,
  ReverseSequence: reverseSequence,
  ScatterElements: scatterElements,
  ScatterND: scatterNd,
};

import { malformed, unsupported } from './errors.js';
import { elementCount } from './graph.js';
import { slots, type Table } from './schema.js';

/** One level of a sparse tensor's order: a dimension, or the position within a block along a dimension. */
interface Level {
  /** Number of positions along it. */
  size: number;
  /** Distance between them in the dense tensor. */
  stride: number;
}

/**
 * Positions of a sparse tensor's stored values in the dense tensor (SparsityParameters in the TFLite schema). Each level is dense, or lists
 * the indices of the stored positions by segment (compressed sparse rows).
 * @throws AIOT_TFLITE_MALFORMED, AIOT_TFLITE_UNSUPPORTED
 */
export function storedPositions(sparsity: Table, shape: readonly number[], where: string): Int32Array {
  const order = sparsity.int32s(slots.sparsity.traversalOrder);
  const blocks = sparsity.int32s(slots.sparsity.blockMap);
  const metadata = sparsity.tables(slots.sparsity.dimensions, 'sparse dimension');
  const count = shape.length + blocks.length;
  const isOrder = order.length === count && new Set(order).size === count && metadata.length === count;
  // Blocks follow the dimensions.
  const isSplit = order.every(
    (at, level) => at >= 0 && at < count && level < shape.length === at < shape.length,
  );
  if (!isOrder || !isSplit || blocks.some((dimension) => shape[dimension] === undefined))
    throw malformed(where, `the order [${order}] of sparse dimensions does not fit [${shape}]`);
  if (new Set(blocks).size !== blocks.length) throw unsupported(where, 'several blocks along a dimension');
  const limit = elementCount(shape);
  let positions = Int32Array.of(0);
  for (const [level, { size, stride }] of levelsOf(order, blocks, metadata, shape, where).entries())
    positions = expand(positions, metadata[level]!, size, stride, limit, where);
  return positions;
}

function levelsOf(
  order: readonly number[],
  blocks: readonly number[],
  metadata: readonly Table[],
  shape: readonly number[],
  where: string,
): Level[] {
  const strides = shape.map((_, axis) => elementCount(shape.slice(axis + 1)));
  const blockSize = new Map<number, number>();
  for (const [level, at] of order.entries())
    if (at >= shape.length)
      blockSize.set(blocks[at - shape.length]!, metadata[level]!.int32(slots.sparseDimension.size, 0));
  return order.map((at) => {
    const dimension = at < shape.length ? at : blocks[at - shape.length]!;
    const block = blockSize.get(dimension) ?? 1;
    if (!(block >= 1) || shape[dimension]! % block !== 0)
      throw malformed(where, `blocks of ${block} do not fit dimension ${dimension} of [${shape}]`);
    const stride = strides[dimension]!;
    return at < shape.length
      ? { size: shape[dimension]! / block, stride: stride * block }
      : { size: block, stride };
  });
}

function expand(
  before: Int32Array<ArrayBuffer>,
  dimension: Table,
  size: number,
  stride: number,
  limit: number,
  where: string,
): Int32Array<ArrayBuffer> {
  if (dimension.uint8(slots.sparseDimension.format, 0) === 0) {
    const stated = dimension.int32(slots.sparseDimension.size, 0);
    if (stated !== size || before.length * size > limit)
      throw malformed(where, `expected a dense dimension of ${size} positions, got ${stated}`);
    return Int32Array.from(
      { length: before.length * size },
      (_, i) => before[Math.floor(i / size)]! + (i % size) * stride,
    );
  }
  const segments = indexList(dimension, slots.sparseDimension.segmentsType, where);
  const indices = indexList(dimension, slots.sparseDimension.indicesType, where);
  const ends =
    segments.length === before.length + 1 && segments[0] === 0 && segments.at(-1) === indices.length;
  if (!ends || indices.length > limit)
    throw malformed(where, `${segments.length} segments of ${indices.length} indices do not match`);
  const after = new Int32Array(indices.length);
  for (let i = 0; i < before.length; i++) {
    const [start, end] = [segments[i]!, segments[i + 1]!];
    if (!(start <= end && end <= indices.length)) throw malformed(where, 'its segments overlap');
    for (let k = start; k < end; k++) {
      const index = indices[k]!;
      if (!(index >= 0 && index < size && (k === start || index > indices[k - 1]!)))
        throw malformed(where, `its index ${index} is not in order, or beyond ${size} positions`);
      after[k] = before[i]! + index * stride;
    }
  }
  return after;
}

/** A list of indices in 32, 16 or 8 bits. @param type slot of the list's type, which the list follows */
function indexList(
  dimension: Table,
  type: number,
  where: string,
): ArrayLike<number> & { at(i: number): number | undefined } {
  const list = dimension.table(type + 1, 'sparse indices');
  switch (list && dimension.uint8(type, 0)) {
    case 1:
      return list!.int32s(0);
    case 2:
      return list!.uint16s(0);
    case 3:
      return list!.bytes(0);
    default:
      throw malformed(where, 'a sparse dimension has no indices');
  }
}

import { Builder } from 'flatbuffers';
import { expect, it } from 'vitest';
import { vendoredFile } from '../../src/lib/core/folders.js';
import { seededRandom } from '../../src/lib/core/numbers.js';
import { importTflite } from '../../src/lib/formats/tflite/read.js';
import { CheckedBuffer } from '../../src/lib/formats/tflite/schema.js';
import { storedPositions } from '../../src/lib/formats/tflite/sparsity.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { openLiteRtSession } from '../../src/lib/runtime/litert.js';
import { fc, runs } from '../support/property.js';

/** A dense dimension by its size, or the segments and indices of a compressed one. */
type Dimension = number | { segments: number[]; indices: number[]; bits?: 8 | 16 | 32 };

/** SparsityParameters as a FlatBuffer. */
function sparsity(order: number[], blocks: number[], dimensions: Dimension[]) {
  const b = new Builder(256);
  const vector = (values: number[], bits: 8 | 16 | 32) => {
    b.startVector(bits / 8, values.length, bits / 8);
    for (const value of values.toReversed())
      if (bits === 32) b.addInt32(value);
      else if (bits === 16) b.addInt16(value);
      else b.addInt8(value);
    return b.endVector();
  };
  const list = (values: number[], bits: 8 | 16 | 32) => {
    const at = vector(values, bits);
    b.startObject(1);
    b.addFieldOffset(0, at, 0);
    return b.endObject();
  };
  const tables = dimensions.map((dimension) => {
    if (typeof dimension === 'number') {
      b.startObject(6);
      b.addFieldInt32(1, dimension, 0);
      return b.endObject();
    }
    const { segments, indices, bits = 32 } = dimension;
    const [first, second] = [list(segments, bits), list(indices, bits)];
    b.startObject(6);
    b.addFieldInt8(0, 1, 0);
    const type = { 32: 1, 16: 2, 8: 3 }[bits];
    b.addFieldInt8(2, type, 0);
    b.addFieldOffset(3, first, 0);
    b.addFieldInt8(4, type, 0);
    b.addFieldOffset(5, second, 0);
    return b.endObject();
  });
  b.startVector(4, tables.length, 4);
  for (const table of tables.toReversed()) b.addOffset(table);
  const all = b.endVector();
  const [traversal, map] = [vector(order, 32), vector(blocks, 32)];
  b.startObject(3);
  b.addFieldOffset(0, traversal, 0);
  b.addFieldOffset(1, map, 0);
  b.addFieldOffset(2, all, 0);
  b.finish(b.endObject());
  return new CheckedBuffer(b.asUint8Array()).root('sparsity');
}

it('reads the rows, columns and blocks of sparse constants', () => {
  const rows: Dimension = { segments: [0, 2, 2, 3], indices: [0, 3, 1] };
  expect([...storedPositions(sparsity([0, 1], [], [3, rows]), [3, 4], 'x')]).toEqual([0, 3, 9]);
  // By columns.
  const columns: Dimension = { segments: [0, 1, 1, 3], indices: [1, 0, 2], bits: 8 };
  expect([...storedPositions(sparsity([1, 0], [], [3, columns]), [3, 3], 'x')]).toEqual([3, 2, 8]);
  // Blocks of 2 × 2 in a matrix of 4 × 4: at the top right and at the bottom left.
  const blocks: Dimension = { segments: [0, 1, 2], indices: [1, 0], bits: 16 };
  expect([...storedPositions(sparsity([0, 1, 2, 3], [0, 1], [2, blocks, 2, 2]), [4, 4], 'x')]).toEqual([
    2, 3, 6, 7, 8, 9, 12, 13,
  ]);
});

it('reads random sparse matrices in either order', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 6 }),
      fc.integer({ min: 1, max: 6 }),
      fc.boolean(),
      fc.constantFrom(8, 16, 32 as const),
      fc.integer({ min: 1, max: 1000 }),
      (rows, columns, byColumn, bits, seed) => {
        const random = seededRandom(seed);
        const shape = [rows, columns];
        const [outer, inner] = byColumn ? [columns, rows] : [rows, columns];
        const [segments, indices, want] = [[0], [] as number[], [] as number[]];
        for (let i = 0; i < outer; i++) {
          for (let k = 0; k < inner; k++) {
            if (random() < 0.5) continue;
            indices.push(k);
            want.push(byColumn ? k * columns + i : i * columns + k);
          }
          segments.push(indices.length);
        }
        const order = byColumn ? [1, 0] : [0, 1];
        const table = sparsity(order, [], [outer, { segments, indices, bits: bits as 8 }]);
        expect([...storedPositions(table, shape, 'x')]).toEqual(want);
      },
    ),
    { numRuns: runs(1000, 100) },
  );
});

it.each<[string, number[], number[], Dimension[]]>([
  ['an order that repeats a dimension', [0, 0], [], [3, 4]],
  ['a missing dimension', [0, 1], [], [3]],
  ['a block beyond the dimensions', [0, 1, 2], [7], [3, 4, 2]],
  ['a block that does not fit', [0, 1, 2], [0], [1, 4, 2]],
  ['a block of no size', [0, 1, 2], [0], [3, 4, 0]],
  ['a dense dimension of another size', [0, 1], [], [3, 1_000_000_000]],
  ['too few segments', [0, 1], [], [3, { segments: [0, 1], indices: [0] }]],
  ['segments that end elsewhere', [0, 1], [], [3, { segments: [0, 0, 0, 2], indices: [0] }]],
  ['segments that go back', [0, 1], [], [3, { segments: [0, 2, 1, 2], indices: [0, 1] }]],
  ['a negative index', [0, 1], [], [3, { segments: [0, 1, 1, 1], indices: [-1] }]],
  ['an index beyond the dimension', [0, 1], [], [3, { segments: [0, 1, 1, 1], indices: [4] }]],
  ['a repeated index', [0, 1], [], [3, { segments: [0, 2, 2, 2], indices: [1, 1] }]],
])('rejects %s', (_, order, blocks, dimensions) => {
  expect(() => storedPositions(sparsity(order, blocks, dimensions), [3, 4], 'tensor 7')).toThrow(
    expect.objectContaining({ code: 'AIOT_TFLITE_MALFORMED', message: expect.stringContaining('tensor 7') }),
  );
});

it('reads a pruned face detector with the outputs of LiteRT', async () => {
  const bytes = await vendoredFile('face_detection_full_range_sparse.tflite');
  const { graph, notes } = importTflite(bytes);
  expect(notes).toContainEqual(expect.stringMatching(/^\d+ sparse constants are stored with their zeros$/));
  const interpreter = createInterpreter(graph, { compiled: true });
  const session = await openLiteRtSession(bytes);
  const random = seededRandom(3);
  const input = Float32Array.from({ length: session.inputs }, () => 2 * random() - 1);
  const [want, got] = [session.run(input), interpreter.run([input])];
  session.close();
  want.forEach((values, place) => {
    const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 1);
    values.forEach((value, i) => {
      expect(Math.abs(got[place]![i]! - value) / largest).toBeLessThan(1e-5);
    });
  });
});

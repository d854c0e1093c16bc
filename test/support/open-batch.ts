import { seededRandom } from '../../src/lib/core/numbers.js';
import type { Operator } from '../../src/lib/formats/tflite/graph.js';
import { operatorRows } from '../../src/lib/formats/tflite/operators.js';
import { type ReadRow, shapeRows } from '../../src/lib/formats/tflite/shapes.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { GraphBuilder } from './graph-builder.js';

/**
 * Creates a file in the converter's format for a dynamic batch size: x [1, 4, 6] → SHAPE → STRIDED_SLICE → PACK → the shape of a
 * RESHAPE to [1, 24], then RELU.
 */
export function openBatchFile(): Uint8Array {
  const b = new GraphBuilder(seededRandom(1));
  const x = b.add({ type: 'float32', shape: [1, 4, 6] });
  const shape = b.add({ type: 'int32', shape: [3] });
  b.op(standIn('LOGISTIC', [x], shape, { outType: 'int32' }));
  const batch = b.add({ type: 'int32', shape: [] });
  b.op({
    op: 'STRIDED_SLICE',
    inputs: [shape, b.int32s(0), b.int32s(1), b.int32s(1)],
    outputs: [batch],
    options: { beginMask: 0, endMask: 0, shrinkAxisMask: 1 },
  });
  const target = b.add({ type: 'int32', shape: [2] });
  b.op({ op: 'PACK', inputs: [batch, b.int32(24)], outputs: [target], options: { valuesCount: 2, axis: 0 } });
  const flat = b.add({ type: 'float32', shape: [1, 24] });
  b.op({ op: 'RESHAPE', inputs: [x, target], outputs: [flat], options: { newShape: [] } });
  const y = b.add({ type: 'float32', shape: [1, 24] });
  b.op({ op: 'RELU', inputs: [flat], outputs: [y], options: {} });
  return withRows(() => writeTflite(b.graph(x, y)));
}

/** A file with a TILE of x [1, 2, 3] by [1, 3, 2]. */
export function tileFile(): Uint8Array {
  const b = new GraphBuilder(seededRandom(1));
  const x = b.add({ type: 'float32', shape: [1, 2, 3] });
  const y = b.add({ type: 'float32', shape: [1, 6, 6] });
  b.op(standIn('LOGISTIC', [x, b.int32s(1, 3, 2)], y, {}));
  return withRows(() => writeTflite(b.graph(x, y)), shapeRows.TILE);
}

function standIn(op: 'LOGISTIC', inputs: number[], output: number, options: object): Operator {
  return { op, inputs, outputs: [output], options };
}

/** The writer supports neither SHAPE nor TILE, so LOGISTIC stands in for one of them while a file is written. */
function withRows<T>(action: () => T, row: ReadRow = shapeRows.SHAPE): T {
  const kept = { ...operatorRows.LOGISTIC };
  Object.assign(operatorRows.LOGISTIC, row);
  try {
    return action();
  } finally {
    Object.assign(operatorRows.LOGISTIC, kept);
  }
}

import { digestOf, seededRandom } from '../../../core/index.js';
import { elementCount, type Tensor } from '../../../formats/index.js';
import { createInterpreter } from '../../../runtime/index.js';
import type { EmitOptions } from '../emit.js';
import { scaleOf } from './piece.js';

/** Vectors of a file: what the device will see first, then the ends of the range, then anything. */
const counts = { rows: 16, chance: 8 } as const;

/**
 * Inputs and the exact outputs that any right implementation gives, as JSON (docs/quantize.md has the format).
 */
export function goldenOf({ graph, contents, name, classes, rows }: EmitOptions): string {
  const interpreter = createInterpreter(graph);
  const { inputTensor, outputTensor } = interpreter;
  const vectors = inputsOf(inputTensor, rows ?? []).map((input) => ({
    input: [...input],
    output: [...interpreter.invoke(input)],
  }));
  const about = {
    spec: 'aiot-golden/1',
    model: name,
    digest: digestOf(contents),
    input: endOf(inputTensor),
    output: endOf(outputTensor),
    classes,
  };
  // A vector a line: a table for people, and small changes where the network changes.
  const lines = vectors.map((vector) => `    ${JSON.stringify(vector)}`).join(',\n');
  return `${JSON.stringify(about, null, 2).slice(0, -2)},\n  "vectors": [\n${lines}\n  ]\n}\n`;
}

function endOf(tensor: Tensor) {
  return { count: elementCount(tensor.shape), shape: tensor.shape, ...scaleOf(tensor) };
}

function inputsOf(tensor: Tensor, rows: readonly ArrayLike<number>[]): Int8Array[] {
  const length = elementCount(tensor.shape);
  const { scale, zeroPoint } = scaleOf(tensor);
  const random = seededRandom(1);
  const filled = (value: number) => new Int8Array(length).fill(value);
  const stride = Math.max(1, Math.floor(rows.length / counts.rows));
  const taken = rows.filter((_, at) => at % stride === 0).slice(0, counts.rows);
  const quantized = taken.map((row) =>
    Int8Array.from({ length }, (_, i) =>
      Math.max(-128, Math.min(127, Math.round(row[i]! / scale) + zeroPoint)),
    ),
  );
  const chance = Array.from({ length: counts.chance }, () =>
    Int8Array.from({ length }, () => Math.floor(random() * 256) - 128),
  );
  return [...quantized, filled(-128), filled(127), filled(zeroPoint), ...chance];
}

import type { Graph } from '../../formats/index.js';
import { createInterpreter } from '../../runtime/index.js';
import type { Built } from '../built.js';
import { macroF1Of } from '../evaluate/metrics.js';
import { stale } from '../fresh.js';
import { arenaOf, multiplyAdds } from '../inspect/costs.js';
import type { PartPieces } from '../train/examples/parts.js';
import { answerOf } from './answers.js';
import { encodeInput, valuesOf } from './ends.js';
import type { BundleInfo, Figures } from './types.js';

/** Multiply-adds spent on it: about a second of the interpreter. */
const budget = 2e8;
/** Part of a figure by which two ways of adding may differ. */
const tolerance = 1e-4;

/**
 * Counts the figures of the quantized network again, on the data they were measured on: a file that says what passes the
 * gates is easily written. Where that is too much work, on a part of it, which must then fit into the whole.
 * @throws AIOT_MODEL_STALE when they are not the figures of this network
 */
export function requireFigures(built: Built, info: BundleInfo): void {
  const { float, int8, voted } = info.metrics;
  for (const figures of [float, int8, voted]) if (figures) requireSum(figures);
  const arena = arenaOf(built.int8.graph);
  if (arena !== info.arenaBytes) throw wrong(`arena: expected ${arena} bytes, got ${info.arenaBytes}`);
  const test = built.part('test');
  const windows = test.count;
  if (windows !== int8.windows) throw wrong(`expected ${windows} windows, got ${int8.windows}`);
  const counted = countAgain(test, built.int8.graph, info);
  if (int8.confusion) requireConfusion(counted, int8.confusion);
  if (counted.meanError === null || counted.rows < windows || typeof int8.mae !== 'number') return;
  if (isNear(counted.meanError, int8.mae)) return;
  throw wrong(`mean error: expected ${counted.meanError}, got ${int8.mae}`);
}

interface Counted {
  /** How many rows were looked at. */
  rows: number;
  confusion: number[][] | null;
  /** Mean absolute error, where the network answers with values. */
  meanError: number | null;
}

function countAgain({ count, pieces }: PartPieces, graph: Graph, info: BundleInfo): Counted {
  const each = graph.operators.reduce((sum, operator) => sum + multiplyAdds(graph, operator), 0);
  const step = Math.max(1, Math.ceil((each * count) / budget));
  const interpreter = createInterpreter(graph);
  const names = info.classes.length;
  const confusion = Array.from({ length: names }, () => new Array<number>(names).fill(0));
  let [rows, error, before] = [0, 0, 0];
  for (const { inputs, inputSize, classes, values } of pieces()) {
    const input = valuesOf(info.input, inputSize);
    for (let row = rows * step - before; row < classes.length; row += step, rows++) {
      const features = inputs.subarray(row * inputSize, (row + 1) * inputSize);
      const output = interpreter.invoke(encodeInput(features, info.standardization, info.input, input));
      const { index, value } = answerOf(info, output, features);
      if (names > 0) confusion[classes[row]!]![index ?? 0]! += 1;
      if (values && value !== null) error += Math.abs(value - values[row]!);
    }
    before += classes.length;
  }
  if (names === 0) return { rows, confusion: null, meanError: rows === 0 ? 0 : error / rows };
  return { rows, confusion, meanError: null };
}

function requireConfusion({ confusion, rows }: Counted, told: number[][]): void {
  const whole = sum(told) === rows;
  const fits = confusion?.every((row, t) =>
    row.every((count, p) => (whole ? count === told[t]?.[p] : count <= (told[t]?.[p] ?? 0))),
  );
  if (fits) return;
  throw wrong(`over ${rows} windows: expected ${JSON.stringify(confusion)}, got ${JSON.stringify(told)}`);
}

/** Accuracy and macro-F1 are those of the confusion beside them. */
function requireSum({ confusion, accuracy, macroF1, windows }: Figures): void {
  if (!confusion) return;
  const right = confusion.reduce((all, row, c) => all + (row[c] ?? 0), 0);
  const told = { windows, accuracy: (accuracy ?? 0) * windows, macroF1: macroF1 ?? 0 };
  const counted = { windows: sum(confusion), accuracy: right, macroF1: macroF1Of(confusion) };
  for (const name of ['windows', 'accuracy', 'macroF1'] as const) {
    if (!isNear(told[name], counted[name])) {
      throw wrong(`${name}: expected what the confusion says (${counted[name]}), got ${told[name]}`);
    }
  }
}

function sum(rows: number[][]): number {
  return rows.flat().reduce((a, b) => a + b, 0);
}

function isNear(a: number, b: number): boolean {
  return Math.abs(a - b) <= tolerance * Math.max(1e-6, Math.abs(a), Math.abs(b));
}

function wrong(message: string) {
  return stale(
    `the figures in evaluation.json are not those of the network: ${message}`,
    'aiot model evaluate',
  );
}

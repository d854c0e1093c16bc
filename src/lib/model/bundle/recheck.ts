import { createInterpreter } from '../../runtime/index.js';
import type { Built } from '../built.js';
import { confusionOf } from '../evaluate/metrics.js';
import { stale } from '../fresh.js';
import { multiplyAdds } from '../inspect/costs.js';
import { answerOf } from './answers.js';
import { encodeInput, valuesOf } from './ends.js';
import type { BundleInfo } from './types.js';

/** Multiply-adds spent on it: about a second of the interpreter. */
const budget = 2e8;

/**
 * Counts the figures of the quantized network again, on the data they were measured on: a file that says what passes the
 * gates is easily written. Where that is too much work, on a part of it, which must then fit into the whole.
 * @throws AIOT_MODEL_STALE when they are not the figures of this network
 */
export function requireFigures(built: Built, info: BundleInfo): void {
  const told = info.metrics.int8.confusion;
  if (info.classes.length === 0 || !told) return;
  const { inputs, inputSize, classes, recordings } = built.examples('test');
  const { graph } = built.int8;
  const each = graph.operators.reduce((sum, operator) => sum + multiplyAdds(graph, operator), 0);
  const step = Math.max(1, Math.ceil((each * recordings.length) / budget));
  const interpreter = createInterpreter(graph);
  const input = valuesOf(info.input, inputSize);
  const truth: number[] = [];
  const answered: number[] = [];
  for (let row = 0; row < recordings.length; row += step) {
    const features = inputs.subarray(row * inputSize, (row + 1) * inputSize);
    const output = interpreter.invoke(encodeInput(features, info.standardization, info.input, input));
    truth.push(classes[row]!);
    answered.push(answerOf(info, output, features).index ?? 0);
  }
  const counted = confusionOf(truth, answered, info.classes.length);
  const fits = counted.every((row, t) =>
    row.every((count, p) => (step === 1 ? count === told[t]?.[p] : count <= (told[t]?.[p] ?? 0))),
  );
  const windows = told.flat().reduce((a, b) => a + b, 0);
  if (fits && windows === recordings.length) return;
  throw stale(
    `the figures in evaluation.json are not those of the network: expected ${JSON.stringify(counted)} over ${truth.length} windows, got ${JSON.stringify(told)}`,
    'aiot model evaluate',
  );
}

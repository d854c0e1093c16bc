import { join } from 'node:path';
import { expect } from 'vitest';
import type { Graph, OperatorName, TensorType } from '../../src/lib/formats/tflite/graph.js';
import { root } from './cli.js';

/** A column of docs/models.md, the judge (`-near`: except for rounding), and the name of the test's models. */
export type Judgement = `${'read' | 'float32' | 'int8' | 'int16' | 'c' | 'firmware'}.${string}.${string}`;

/**
 * Compares the operators that a test has just judged with the recorded ones, so that docs/models.md cannot claim more than the tests check.
 * After a change, run the test with `-u`, and then `npm run docs`.
 */
export async function expectRecorded(judgement: Judgement, operators: Iterable<OperatorName>): Promise<void> {
  const list = [...new Set(operators)].sort();
  const file = join(root, 'test', 'golden', 'judged', `${judgement}.txt`);
  await expect(`${list.join('\n')}\n`).toMatchFileSnapshot(file);
}

/** The operators that read or yield values of this type in at least `least` of these graphs. */
export function operatorsOn(type: TensorType, graphs: readonly Graph[], least: number): OperatorName[] {
  const counts = new Map<OperatorName, number>();
  for (const { operators, tensors } of graphs) {
    const typed = operators.filter(({ inputs, outputs }) =>
      [...inputs, ...outputs].some((index) => tensors[index]?.type === type),
    );
    for (const op of new Set(typed.map(({ op }) => op))) counts.set(op, (counts.get(op) ?? 0) + 1);
  }
  return [...counts].filter(([, count]) => count >= least).map(([op]) => op);
}

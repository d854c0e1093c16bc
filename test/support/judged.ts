import { join } from 'node:path';
import { expect } from 'vitest';
import type { Graph, Operator, OperatorName, TensorType } from '../../src/lib/formats/tflite/graph.js';
import { activationPlaces } from '../../src/lib/formats/tflite/operators.js';
import { root } from './cli.js';

/** A column of docs/models.md, the judge (`-near`: except for rounding), and the name of the test's models. */
export type Judgement =
  `${'read' | 'signal' | 'float32' | 'int8' | 'int16' | 'int32' | 'bool' | 'c' | 'firmware' | 'beyond'}.${string}.${string}`;

/**
 * Compares the operators that a test has just judged with the recorded ones, so that docs/models.md cannot claim more than the tests check.
 * After a change, run the test with `-u`, and then `npm run docs`.
 */
export async function expectRecorded(judgement: Judgement, operators: Iterable<OperatorName>): Promise<void> {
  const list = [...new Set(operators)].sort();
  const file = join(root, 'test', 'golden', 'judged', `${judgement}.txt`);
  await expect(`${list.join('\n')}\n`).toMatchFileSnapshot(file);
}

/** The operators whose first activation has this type, in at least `least` of these graphs. */
export function operatorsReading(type: TensorType, graphs: readonly Graph[], least: number): OperatorName[] {
  return counted(graphs, least, ({ tensors }, operator) => {
    const [place = 0] = activationPlaces(operator);
    return tensors[operator.inputs[place]!]?.type === type;
  });
}

/** The operators that read or yield values of this type in at least `least` of these graphs. */
export function operatorsOn(type: TensorType, graphs: readonly Graph[], least: number): OperatorName[] {
  return counted(graphs, least, ({ tensors }, { inputs, outputs }) =>
    [...inputs, ...outputs].some((index) => tensors[index]?.type === type),
  );
}

function counted(
  graphs: readonly Graph[],
  least: number,
  isMeant: (graph: Graph, operator: Operator) => boolean,
): OperatorName[] {
  const counts = new Map<OperatorName, number>();
  for (const graph of graphs) {
    const found = new Set(graph.operators.filter((operator) => isMeant(graph, operator)).map(({ op }) => op));
    for (const op of found) counts.set(op, (counts.get(op) ?? 0) + 1);
  }
  return [...counts].filter(([, count]) => count >= least).map(([op]) => op);
}

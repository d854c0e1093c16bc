import { join } from 'node:path';
import { expect } from 'vitest';
import type { Graph, Operator, OperatorName, TensorType } from '../../src/lib/formats/tflite/graph.js';
import { activationPlaces } from '../../src/lib/formats/tflite/operators.js';
import { root } from './cli.js';

/** A column of docs/models.md, the judge (`-near`: except for rounding), and the name of the test's models. */
export type Judgement =
  `${'read' | 'replaced' | 'signal' | 'float32' | 'int8' | 'int16' | 'int32' | 'bool' | 'c' | 'firmware' | 'beyond'}.${string}.${string}`;

/**
 * Compares the operators that a test has just judged with the recorded ones, so that docs/models.md cannot claim more than the tests check.
 * After a change, run the test with `-u`, and then `npm run docs`.
 */
export async function expectRecorded(judgement: Judgement, operators: Iterable<string>): Promise<void> {
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

/**
 * Compares float32 outputs of models of one operator each (and of whole models, without `op`) with a judge's. Returns the operators with
 * identical bits, and those that differ by rounding.
 */
export function expectNear(
  jobs: readonly { name: string; op?: OperatorName | undefined }[],
  ours: readonly Int8Array[],
  theirs: readonly Int8Array[],
): { identical: OperatorName[]; rounded: OperatorName[] } {
  const near = new Set<OperatorName>();
  // TFLite Micro fails to allocate the tensors of a PADV2 with certain random shapes.
  const refused = jobs.filter((_, index) => theirs[index]!.length === 0);
  expect(refused.filter(({ op }) => op !== 'PADV2')).toEqual([]);
  expect(refused.length).toBeLessThan(3);
  jobs.forEach(({ name, op }, index) => {
    if (theirs[index]!.length === 0) return;
    const share = worstShare(ours[index]!, theirs[index]!);
    expect(share, name).toBeLessThan(2e-5);
    if (op !== undefined && share > 0) near.add(op);
  });
  const all = jobs.flatMap(({ op }) => (op === undefined ? [] : [op]));
  return { identical: all.filter((op) => !near.has(op)), rounded: [...near] };
}

/** The largest difference of float32 values, as a share of the largest value (or of 1 if that is larger). */
function worstShare(ours: Int8Array, theirs: Int8Array): number {
  const [a, b] = [ours, theirs].map((bytes) => new Float32Array(bytes.slice().buffer)) as [
    Float32Array,
    Float32Array,
  ];
  expect(a.length).toBe(b.length);
  const largest = b.reduce((most, value) => Math.max(most, Math.abs(value)), 1);
  return a.reduce((worst, value, i) => Math.max(worst, Math.abs(value - b[i]!) / largest), 0);
}

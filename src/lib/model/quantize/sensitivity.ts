import type { Graph } from '../../formats/index.js';
import { affordable, measureAgainst } from './noise.js';
import { quantizePrepared } from './quantize-graph.js';
import { decisive } from './ranges.js';
import type { Kind, QuantizeSettings } from './types.js';

/** Multiply-adds that ranking may take, and rows for one trial. */
const budget = 4e8;
const mostRows = 100;

/** An operator and those that read what it makes: together they keep its output from being rounded to int8. */
export interface Part {
  /** Places in `graph.operators`. */
  operators: number[];
  /** The first of them, for messages: `operator 3 (CONV_2D)`. */
  name: string;
  /** Decibels that the decisive tensor gains when these compute on the other kind. */
  gainDb: number;
}

/**
 * Parts of the network by how much the output gains when they alone leave the mode's integers, the worst part first. Those
 * that gain nothing are left out.
 * @param kind what they compute on instead
 */
export function worstParts(
  graph: Graph,
  rows: readonly Float32Array[],
  settings: QuantizeSettings,
  kind: Kind,
): Part[] {
  const some = affordable(graph, rows, budget / (graph.operators.length + 1), 16, mostRows);
  const measure = measureAgainst(graph, decisive(graph), some);
  const score = (operators: readonly number[]) => {
    const kinds = new Map([...(settings.kinds ?? []), ...operators.map((at) => [at, kind] as const)]);
    // Ranges do not depend on the kinds: min-max spares a search in each trial.
    const trial = { ...settings, calibration: 'min-max', kinds } as const;
    const { graph: quantized, twins } = quantizePrepared(graph, some, trial, { measured: false });
    return measure(quantized, twins);
  };
  const before = score([]);
  const parts = graph.operators.map(({ op, outputs }, at): Part => {
    const readers = graph.operators.flatMap(({ inputs }, other) =>
      inputs.some((index) => outputs.includes(index)) ? [other] : [],
    );
    const operators = [at, ...readers];
    return { operators, name: `operator ${at} (${op})`, gainDb: score(operators) - before };
  });
  return parts.filter(({ gainDb }) => gainDb > 0.05).sort((a, b) => b.gainDb - a.gainDb);
}

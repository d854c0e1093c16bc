import { seededRandom, shuffled } from '../../core/index.js';
import type { Graph } from '../../formats/index.js';
import type { Evaluation } from './evaluation.js';
import { affordableRows } from './rows.js';
import type { Material } from './search.js';

/** Share of the rows (or of their groups) that fine-tuning does not see. */
const unseenShare = 0.3;
const seed = 7;

/**
 * One table for two uses: fine-tuning gets a part of the rows, and its loss is measured on the others. Rows of one group stay
 * together. Of fewer than two groups or ten rows nothing is put aside.
 */
export function lessonOf(graph: Graph, evaluation: Evaluation): Material['lesson'] {
  const { rows, groups, right, calibrated } = evaluation;
  const names = groups ?? rows.map((_, row) => String(row));
  const order = shuffled([...new Set(names)], seededRandom(seed));
  const unseen = new Set(order.slice(0, Math.max(1, Math.round(order.length * unseenShare))));
  const [aside, seen]: [number[], number[]] = [[], []];
  names.forEach((name, row) => {
    (unseen.has(name) ? aside : seen).push(row);
  });
  if (order.length < 2 || rows.length < 10) return { rows: affordableRows(graph, rows).rows, evaluation };
  return {
    rows: affordableRows(
      graph,
      seen.map((row) => rows[row]!),
    ).rows,
    evaluation: {
      rows: aside.map((row) => rows[row]!),
      groups: groups && aside.map((row) => groups[row]!),
      right: (at, output) => right(aside[at]!, output),
      calibrated,
    },
  };
}

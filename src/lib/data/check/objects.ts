import { percent, plural } from '../../core/figures.js';
import { cellAt, cellSide, centerOf, gridOf, touches } from '../../vision/grid.js';
import type { Dataset, Finding, Recording } from '../types.js';
import { imbalance } from './recordings.js';
import { listIds } from './report.js';

/** Share of objects with a neighbor that is too close, above which the grid is reported as too coarse. */
const mostMerged = 0.02;

/**
 * Finds pictures without annotations, and classes without boxes or with few of them. Also finds objects that are closer together than the
 * cells of the model's grid can separate.
 * @param labels class → recorded labels
 */
export function checkObjects(dataset: Dataset, labels: Record<string, string[]>): Finding[] {
  const classOf = new Map(
    Object.entries(labels).flatMap(([name, list]) => list.map((label) => [label, name])),
  );
  const counts = new Map<string, number>(Object.keys(labels).map((name) => [name, 0]));
  for (const { boxes = [] } of dataset.recordings) {
    for (const { label } of boxes) {
      const name = classOf.get(label);
      if (name !== undefined) counts.set(name, counts.get(name)! + 1);
    }
  }
  const filesOf = (names: string[]) =>
    dataset.recordings
      .filter(({ boxes = [] }) => boxes.some(({ label }) => names.includes(classOf.get(label) ?? '')))
      .map(({ id }) => id);
  const present = new Map([...counts].filter(([, count]) => count > 0));
  return [
    ...checkAnnotated(dataset.recordings),
    ...checkMissing(counts),
    ...imbalance(present, 'objects', filesOf),
    ...checkCells(dataset.recordings),
  ];
}

function checkAnnotated(recordings: readonly Recording[]): Finding[] {
  const bare = recordings.filter(({ boxes }) => boxes === undefined).map(({ id }) => id);
  const advice = 'Import their annotations with `aiot data import ANNOTATIONS --pictures FOLDER`.';
  if (bare.length === 0) return [];
  return [
    {
      kind: 'objects',
      severity: bare.length === recordings.length ? 'error' : 'warning',
      files: bare,
      evidence: { pictures: bare.length },
      message: `${plural(bare.length, 'picture')} without annotations: ${listIds(bare)}.`,
      advice: `They are ignored, because it is unknown which objects they show. ${advice}`,
    },
  ];
}

function checkMissing(counts: Map<string, number>): Finding[] {
  const missing = [...counts].filter(([, count]) => count === 0).map(([name]) => name);
  if (missing.length === 0) return [];
  return [
    {
      kind: 'objects',
      severity: 'error',
      files: [],
      evidence: { classes: missing },
      message: `No picture has a box of ${listIds(missing)}.`,
      advice:
        'Add pictures of it, or remove the class from model.labels. A picture without objects needs no class.',
    },
  ];
}

function checkCells(recordings: readonly Recording[]): Finding[] {
  let [objects, close] = [0, 0];
  const files: string[] = [];
  for (const { id, boxes = [], size } of recordings) {
    if (!size) continue;
    const grid = gridOf(size);
    const cells = boxes.map((box) => {
      const { x, y } = centerOf(box);
      return cellAt(x, y, grid);
    });
    const own = cells.filter((cell, i) =>
      cells.some((other, k) => k !== i && touches(cell, other, grid)),
    ).length;
    objects += cells.length;
    close += own;
    if (own > 0) files.push(id);
  }
  if (objects === 0 || close / objects <= mostMerged) return [];
  return [
    {
      kind: 'objects',
      severity: 'warning',
      files,
      evidence: { objects, close, cellPixels: cellSide },
      message: `The centers of ${close} of ${plural(objects, 'object')} (${percent(close / objects)}) are in the same cell as another one, or in the next: such objects are counted as one.`,
      advice: `A cell covers ${cellSide} × ${cellSide} pixels. Set a larger signal.image, so that objects are further apart, and import the pictures again.`,
    },
  ];
}

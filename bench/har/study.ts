import { loadProject, type Project } from '../../src/lib/core/project.js';
import { checkDataset } from '../../src/lib/data/check/check.js';
import { splitDataset } from '../../src/lib/data/split.js';
import { type Scores, scoresOf } from './figures.js';
import { type Fold, foldsOf } from './folds.js';
import { type Material, materialOf, openRecordings, relabelled, withHeldStairs } from './material.js';
import { type NestedOptions, nested, type OuterFold } from './nested.js';
import type { Recipe } from './recipes.js';
import { splitByWindow } from './window-split.js';

/** Deals recordings into the five outer folds. Written down before anything was measured with it. */
export const outerSeed = 2024;

export const fourClasses = {
  resting: ['lying', 'sitting'],
  walking: ['walking'],
  upstairs: ['upstairs'],
  downstairs: ['downstairs'],
};

/** One row of the study's table. */
export interface Part {
  name: string;
  scores: Scores;
  /** Largest int8 file among the folds, bytes; null where it is not of interest. */
  bytes: number | null;
  /** How often each recipe was chosen. */
  chosen: Record<string, number>;
}

export interface Materials {
  project: Project;
  three: Material;
  four: Material;
  /** Three classes, the stairs held. */
  held: Material;
  vote: string;
  /** What `data check` says of a split by window. */
  windowFindings: { kind: string; severity: string; message: string }[];
}

/** @param template folder of the template whose signal part is studied @param folder the recordings */
export async function openStudy(template: string, folder: string): Promise<Materials> {
  const project = await loadProject(template);
  const dataset = await openRecordings(project, folder);
  const three = materialOf(project, dataset);
  const split = splitDataset(dataset, { ...project.config.model, split: 'window' });
  return {
    project,
    three,
    four: relabelled(three, fourClasses),
    held: materialOf(project, withHeldStairs(dataset)),
    vote: project.config.model.vote,
    windowFindings: checkDataset(dataset, three.signal, split).map(({ kind, severity, message }) => ({
      kind,
      severity,
      message,
    })),
  };
}

/** Nested cross-validation over these outer folds, as a row, and the row of the control where there is one. */
export async function measure(
  name: string,
  material: Material,
  outer: Fold[],
  options: NestedOptions,
): Promise<{ part: Part; control: Part | null; folds: OuterFold[] }> {
  const folds = await nested(material, outer, options);
  const row = (rowName: string, answers: (fold: OuterFold) => Int32Array): Part => {
    const chosen: Record<string, number> = {};
    for (const { chosen: own } of folds) chosen[own.name] = (chosen[own.name] ?? 0) + 1;
    return {
      name: rowName,
      scores: scoresOf(
        material,
        folds.flatMap(({ places }) => places),
        folds.flatMap((fold) => [...answers(fold)]),
        options.vote,
      ),
      bytes: Math.max(...folds.map(({ bytes }) => bytes)),
      chosen,
    };
  };
  return {
    part: row(name, ({ predicted }) => predicted),
    control: options.control ? row(`${name}, stairs held`, ({ control }) => control) : null,
    folds,
  };
}

/** The flattering split, as a row. */
export async function measureByWindow(
  name: string,
  material: Material,
  recipe: Recipe,
  vote: string,
): Promise<Part> {
  const { places, predicted } = await splitByWindow(material, recipe, outerSeed);
  return { name, scores: scoresOf(material, places, predicted, vote), bytes: null, chosen: {} };
}

export function fiveFolds({ units }: Material): Fold[] {
  return foldsOf(units, 5, outerSeed);
}

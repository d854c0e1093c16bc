import { seededRandom, shuffled } from '../../src/lib/core/numbers.js';
import { loadProject, type Project } from '../../src/lib/core/project.js';
import { checkDataset } from '../../src/lib/data/check/check.js';
import { splitDataset } from '../../src/lib/data/split.js';
import { type Scores, scoresOf } from './figures.js';
import { type Fold, foldsOf } from './folds.js';
import {
  type Material,
  materialOf,
  openRecordings,
  placesOf,
  relabelled,
  withHeldStairs,
} from './material.js';
import { type NestedOptions, nested, type OuterFold } from './nested.js';
import { predict, trainInt8 } from './network.js';
import { members, type Recipe } from './recipes.js';

/** Seed for dividing recordings into the five outer folds. Fixed before anything was measured. */
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
  /** Size of the largest int8 file of all folds, bytes; null if not relevant. */
  bytes: number | null;
  /** Number of folds for which each recipe was selected. */
  chosen: Record<string, number>;
}

export interface Materials {
  project: Project;
  three: Material;
  four: Material;
  /** The three classes with repeated rows on stairs; see `withHeldStairs`. */
  held: Material;
  vote: string;
  /** Findings of `aiot data check` for a split by window. */
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

/** Runs nested cross-validation over these outer folds; returns a row, and another for the control if there is one. */
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
    control: options.control ? row(`${name}, stairs with repeated rows`, ({ control }) => control) : null,
    folds,
  };
}

/** Returns the result of the overoptimistic split by window as a row. */
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

/**
 * Splits by window, which is methodologically wrong, to measure how much it overestimates the accuracy. The recipe's windows are
 * divided into folds randomly, so each held-out window has neighbors in the training set that share most of its samples.
 * @returns indices of the windows that a device predicts, in time order within a recording, and the predictions
 */
async function splitByWindow(
  material: Material,
  recipe: Recipe,
  seed: number,
): Promise<{ places: number[]; predicted: Int32Array }> {
  const all = new Set(material.recordings);
  const order = shuffled(placesOf(material, all, recipe.stride), seededRandom(seed));
  const places = placesOf(material, all, material.signal.strideSamples);
  const asked = new Set(places);
  const answers = new Map<number, number>();
  const count = 5;
  for (let fold = 0; fold < count; fold++) {
    const left = order.filter((place, i) => i % count === fold && asked.has(place));
    const rest = order.filter((_, i) => i % count !== fold).sort((a, b) => a - b);
    const network = await trainInt8(material, recipe, { places: rest, members, seed: seed * 1000 + fold });
    predict(material, network, left).forEach((c, i) => {
      answers.set(left[i]!, c);
    });
  }
  return { places, predicted: Int32Array.from(places, (place) => answers.get(place)!) };
}

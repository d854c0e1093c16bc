import { type Score, scoresOf } from './figures.js';
import { type Fold, foldsOf } from './folds.js';
import { type Material, placesOf } from './material.js';
import { predict, trainInt8 } from './network.js';
import { members, type Recipe, recipes } from './recipes.js';

/** Metric of one recipe, by cross-validation within the training recordings of one outer fold. */
export interface InnerFigure {
  recipe: string;
  /** Mean of two macro-F1 scores: by window, and after smoothing. */
  figure: number;
}

/** Result for one held-out fold: the recipe selected without it, and the predictions of the resulting model. */
export interface OuterFold {
  left: string[];
  inner: InnerFigure[];
  chosen: Recipe;
  places: number[];
  predicted: Int32Array;
  /** Predictions for the same windows of `control`; empty if there is none. */
  control: Int32Array;
  bytes: number;
}

export interface NestedOptions {
  vote: string;
  /** Recipes to select from. If there is only one, nothing is selected. */
  recipes?: Recipe[];
  innerFolds?: number;
  /** A recipe selected elsewhere without these recordings, used instead of selecting one here. */
  given?: (left: string[]) => Recipe;
  members?: number;
  seed?: number;
  /** The same windows of modified recordings, used for prediction but never for training or selection. */
  control?: Material;
  onFold?: (fold: OuterFold, at: number) => void;
}

/**
 * Nested cross-validation. For each outer fold a recipe is selected by cross-validation over the other recordings only, then trained on all
 * of those, and evaluated once on the held-out windows.
 */
export async function nested(
  material: Material,
  outer: Fold[],
  options: NestedOptions,
): Promise<OuterFold[]> {
  const { recipes: offered = recipes, seed = 1 } = options;
  const all = material.units.flatMap(({ ids }) => ids);
  const folds: OuterFold[] = [];
  for (const [at, left] of outer.entries()) {
    const rest = new Set(all.filter((id) => !left.includes(id)));
    const own = seed * 1000 + at;
    const given = options.given?.(left);
    const inner = given || offered.length < 2 ? [] : await compare(material, rest, offered, options, own);
    const chosen = given ?? best(offered, inner);
    const network = await trainInt8(material, chosen, {
      places: placesOf(material, rest, chosen.stride),
      members: options.members ?? members,
      seed: own,
    });
    const places = placesOf(material, left, material.signal.strideSamples);
    const predicted = predict(material, network, places);
    const control = options.control ? predict(options.control, network, places) : new Int32Array(0);
    const fold = { left, inner, chosen, places, predicted, control, bytes: network.bytes };
    folds.push(fold);
    options.onFold?.(fold, at);
  }
  return folds;
}

/** Computes each recipe's metric by cross-validation over these recordings, with the same folds and seeds for all recipes. */
async function compare(
  material: Material,
  within: Set<string>,
  offered: Recipe[],
  { vote, innerFolds = 4 }: NestedOptions,
  seed: number,
): Promise<InnerFigure[]> {
  const folds = foldsOf(material.units, innerFolds, seed, within);
  const figures: InnerFigure[] = [];
  for (const recipe of offered) {
    const places: number[] = [];
    const predicted: number[] = [];
    for (const [at, left] of folds.entries()) {
      const rest = [...within].filter((id) => !left.includes(id));
      const network = await trainInt8(material, recipe, {
        places: placesOf(material, rest, recipe.stride),
        // One member is sufficient to compare recipes. More members only stabilize the predictions of the selected recipe.
        members: 1,
        seed: seed * 10 + at,
      });
      const asked = placesOf(material, left, material.signal.strideSamples);
      places.push(...asked);
      predicted.push(...predict(material, network, asked));
    }
    const { window, voted } = scoresOf(material, places, predicted, vote);
    figures.push({ recipe: recipe.name, figure: meanOf([window, voted]) });
  }
  return figures;
}

/** Returns a lookup of the recipe that was selected without a recording's fold. A split that holds out only that recording may use it. */
export function choicesOf(folds: OuterFold[]): (left: string[]) => Recipe {
  return (left) => {
    const fold = folds.find((own) => left.every((id) => own.left.includes(id)));
    if (!fold) throw new Error(`no fold leaves out all of ${left.join(', ')}`);
    return fold.chosen;
  };
}

function meanOf(scores: Score[]): number {
  return scores.reduce((sum, { macroF1 }) => sum + macroF1, 0) / scores.length;
}

/** Returns the best recipe. If several are equal, the first one wins, because simpler recipes are listed first. */
function best(offered: Recipe[], inner: InnerFigure[]): Recipe {
  let at = 0;
  inner.forEach(({ figure }, i) => {
    if (figure > inner[at]!.figure) at = i;
  });
  return offered[at]!;
}

import { seededRandom, shuffled } from '../../src/lib/core/numbers.js';
import { type Material, placesOf } from './material.js';
import { predict, trainInt8 } from './network.js';
import { members, type Recipe } from './recipes.js';

/**
 * What not to do, to see how much it flatters: the recipe's windows dealt into folds by chance, so that each window left out has
 * neighbours in the training part that share most of its samples with it.
 * @returns places of the windows that a device answers, in the order of time within a recording, and what was answered
 */
export async function splitByWindow(
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

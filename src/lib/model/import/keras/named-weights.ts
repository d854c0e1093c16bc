import { malformed } from '../errors.js';
import type { Weight, WeightSource } from './types.js';

/** A weight under the name its file has it by, e.g. `model/dense_1/kernel:0`, taken apart at the slashes. */
export interface NamedWeight {
  segments: string[];
  weight: () => Weight;
}

/** `kernel:0` → `kernel` */
const plain = (name: string) => name.replace(/:\d+$/, '');

/**
 * Weights that are found by name: the last segment is the role, the one before it the layer, and the models around it come before
 * in order. `a|b` is a role with two names.
 */
export function namedWeights(list: readonly NamedWeight[]): WeightSource {
  const of = (path: readonly string[], role: string): Weight => {
    const names = role.split('|');
    const found = list.filter(
      ({ segments }) => names.includes(plain(segments.at(-1)!)) && segments.at(-2) === path.at(-1),
    );
    const inside = found.filter(({ segments }) => isWithin(path, segments));
    const [one] = inside.length > 0 ? inside : found;
    if (one === undefined) throw malformed(`there are no weights ${[...path, names[0]].join('/')}`);
    return one.weight();
  };
  return { of: (path, roles) => roles.map((role) => of(path, role)) };
}

/** Whether all names of the path come in this order. */
function isWithin(path: readonly string[], segments: readonly string[]): boolean {
  let at = 0;
  for (const segment of segments) if (segment === path[at]) at += 1;
  return at === path.length;
}

import { seededRandom } from '../../src/lib/core/numbers.js';
import { type ModelReference, modelReference } from '../../src/lib/data/drift/model-reference.js';
import { packBundle, unpackBundle } from '../../src/lib/model/bundle/pack.js';
import { tinyBundle } from './bundle.js';

interface Samples {
  x: number[];
  y: number[];
}

/** Samples of x and y: independent numbers from 0 to 1, and from 10 to 11. */
export function samples(seed: number, count: number): Samples {
  const random = seededRandom(seed);
  return {
    x: Array.from({ length: count }, random),
    y: Array.from({ length: count }, () => 10 + random()),
  };
}

/** A drifted signal: the two axes are exchanged. */
export const swapped = ({ x, y }: Samples): Samples => ({ x: y, y: x });

/** A small bundle whose training data is such a signal. */
export function bundleWithReference(): Uint8Array {
  const bundle = unpackBundle(tinyBundle());
  bundle.lineage.reference = reference();
  return packBundle(bundle);
}

function reference(): ModelReference {
  const parts = [1, 2, 3].map((seed) => {
    const { x, y } = samples(seed, 1000);
    return { label: 'resting', columns: [Float64Array.from(x), Float64Array.from(y)] };
  });
  return modelReference(['x', 'y'], 1, parts)!;
}

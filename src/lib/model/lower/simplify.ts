import { type Graph, withoutUnused } from '../../formats/index.js';
import { foldAffine } from './fold-affine.js';
import { fuseActivation } from './fuse-activations.js';
import { dropFlatten, mergeReshapes, sinkReshape } from './reshapes.js';
import type { Rewrite } from './rewrite.js';

const rewrites: readonly Rewrite[] = [mergeReshapes, foldAffine, fuseActivation, sinkReshape, dropFlatten];

/**
 * The same network with fewer operators: batch norms and other constants per channel folded into the linear layer before
 * them, activations fused, changes of shape merged or dropped. Float32 arithmetic is rewritten (results move by
 * rounding alone); of integers only changes of shape. A standardization in front of the first layer stays where it is:
 * inputs of different units would else share one int8 scale. The given graph is left unchanged.
 */
export function simplifyGraph(graph: Graph): Graph {
  let current = graph;
  for (;;) {
    const next = rewrites.reduce<Graph | undefined>((found, rewrite) => found ?? rewrite(current), undefined);
    if (next === undefined) return withoutUnused(current);
    current = next;
  }
}

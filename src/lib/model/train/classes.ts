import type { NetworkOutput } from '../network/layers.js';
import type { Classes } from './types.js';

/** What an anomaly is called where no label has a name for it. */
const anomaly = 'anomaly';

/**
 * The classes that a network has, from model.labels: those that are listed, in their order. None for values. A
 * reconstruction has two: the class called normal, or else the first one, and all others together.
 */
export function classesFor(output: NetworkOutput['kind'], labels: Record<string, string[]>): Classes {
  if (output === 'value') return { names: [], labels: {} };
  const names = Object.keys(labels);
  if (output !== 'reconstruction') return { names, labels };
  const normal = names.includes('normal') ? 'normal' : (names[0] ?? 'normal');
  const others = names.filter((name) => name !== normal);
  const other = others.length === 1 ? others[0]! : normal === anomaly ? 'other' : anomaly;
  const told: Record<string, string[]> = {};
  if (names.length > 0) told[normal] = labels[normal]!;
  if (others.length > 0) told[other] = others.flatMap((name) => labels[name]!);
  return { names: [normal, other], labels: told };
}

/** Recorded label → index of its class. */
export function classIndex({ names, labels }: Classes): Map<string, number> {
  return new Map(
    Object.entries(labels).flatMap(([name, list]) =>
      list.map((label) => [label, names.indexOf(name)] as const),
    ),
  );
}

import type { Dataset } from '../types.js';

/** Sets of ids joined by pairs; an id in no pair is a set of its own. Order of first appearance is kept. */
export function groupsOf(ids: string[], pairs: { a: string; b: string }[]): string[][] {
  const parent = new Map(ids.map((id) => [id, id]));
  const rootOf = (id: string): string => {
    let at = id;
    while (parent.get(at) !== at) at = parent.get(at)!;
    return at;
  };
  for (const { a, b } of pairs) parent.set(rootOf(b), rootOf(a));
  const groups = new Map<string, string[]>();
  for (const id of ids) {
    const root = rootOf(id);
    const group = groups.get(root);
    if (group) group.push(id);
    else groups.set(root, [id]);
  }
  return [...groups.values()];
}

/** Class of each labelled recording, by id. */
export function classesOf(dataset: Dataset, labels: Record<string, string[]>): Map<string, string> {
  const classOf = new Map(
    Object.entries(labels).flatMap(([name, list]) => list.map((label) => [label, name] as const)),
  );
  const out = new Map<string, string>();
  for (const { id, label } of dataset.recordings) {
    const name = label === null ? undefined : classOf.get(label);
    if (name !== undefined) out.set(id, name);
  }
  return out;
}

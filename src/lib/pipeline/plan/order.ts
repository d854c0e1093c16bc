import type { PipelineStep } from './types.js';

/** Steps so that each comes after those that it needs, else as they were given; or the steps of a circle. */
export function inOrder(steps: readonly PipelineStep[]): { steps: PipelineStep[] } | { circle: string[] } {
  const left = new Map(steps.map((each) => [each.name, each]));
  const ordered: PipelineStep[] = [];
  while (left.size > 0) {
    const ready = [...left.values()].find(({ needs }) => !needs.some((need) => left.has(need)));
    if (!ready) return { circle: circleIn(left) };
    left.delete(ready.name);
    ordered.push(ready);
  }
  return { steps: ordered };
}

/** Each of these needs another of them: following what is needed comes back. */
function circleIn(left: ReadonlyMap<string, PipelineStep>): string[] {
  const way: string[] = [];
  let at = [...left.keys()][0]!;
  while (!way.includes(at)) {
    way.push(at);
    at = left.get(at)!.needs.find((need) => left.has(need))!;
  }
  return way.slice(way.indexOf(at)).reverse();
}

/** All steps that a step needs, directly or not. */
export function upstreamOf(steps: readonly PipelineStep[], name: string): Set<string> {
  const by = new Map(steps.map((each) => [each.name, each]));
  const found = new Set<string>();
  const visit = (each: string) => {
    for (const need of by.get(each)?.needs ?? []) {
      if (found.has(need)) continue;
      found.add(need);
      visit(need);
    }
  };
  visit(name);
  return found;
}

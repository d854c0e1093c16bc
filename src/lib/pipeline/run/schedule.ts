/** What is scheduled: its name, and what has to be over before. */
interface Node {
  name: string;
  needs: readonly string[];
}

/**
 * Runs each node once all that it needs are over, as many at a time as allowed, those given first before others. What comes of a node
 * is the business of `run`, which does not throw for it; where it does throw, no more are begun, and what is under way is waited for.
 */
export async function schedule<N extends Node>(
  nodes: readonly N[],
  most: number,
  run: (node: N) => Promise<void>,
): Promise<void> {
  const over = new Set<string>();
  const names = new Set(nodes.map(({ name }) => name));
  const waiting = [...nodes];
  const running = new Map<string, Promise<void>>();
  const failures: unknown[] = [];
  for (;;) {
    while (failures.length === 0 && running.size < most) {
      const at = waiting.findIndex(({ needs }) => needs.every((need) => over.has(need) || !names.has(need)));
      if (at < 0) break;
      const [node] = waiting.splice(at, 1) as [N];
      const done = run(node)
        .catch((error: unknown) => void failures.push(error))
        .then(() => {
          running.delete(node.name);
          over.add(node.name);
        });
      running.set(node.name, done);
    }
    if (running.size === 0) break;
    await Promise.race(running.values());
  }
  if (failures.length > 0) throw failures[0];
}

import type { Area, Bench } from './area.js';
import { judge, type Result, unmeasured } from './figure.js';

/**
 * Runs the cases of an area in order. If a case throws or its peer is missing, its result is a failure, and the other cases continue.
 * @param only names of the cases to run; all if not given
 */
export async function runCases(
  { name, area, only }: { name: string; area: Area; only?: readonly string[] },
  bench: Bench,
  onResult: (result: Result) => void,
): Promise<void> {
  for (const [own, { needs = [], peer, run }] of Object.entries(area.cases)) {
    if (only && !only.includes(own)) continue;
    const missing = needs.filter((part) => !part.isThere());
    if (missing.length > 0) {
      const said = missing.map(({ name, install }) => `no ${name} here; ${install} installs it`);
      onResult(unmeasured(name, own, said.join('; '), peer));
      continue;
    }
    try {
      for (const figure of await run(bench)) onResult(judge(name, figure, bench.quick));
    } catch (error) {
      onResult(unmeasured(name, own, error instanceof Error ? error.message : String(error), peer));
    }
  }
}

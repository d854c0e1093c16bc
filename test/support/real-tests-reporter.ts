import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Reporter, TestModule } from 'vitest/node';

const tests = dirname(import.meta.dirname);

/** How many tests the second ring declares, in how many files. A table of cases counts once: its length often comes from the part itself. */
export function realTests(folder = tests): { tests: number; files: number } {
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.real.test.ts'),
  );
  const declared = files.map(
    (name) => [...readFileSync(join(folder, name), 'utf8').matchAll(/^ *it(?:\.\w+)*[(<]/gm)].length,
  );
  return { tests: declared.reduce((sum, count) => sum + count, 0), files: files.length };
}

/** The last line of `npm test`: what it did not run, and how to run that. Silent when the run had files of the second ring. */
export default class RealTestsReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    if (modules.some(({ moduleId }) => moduleId.endsWith('.real.test.ts'))) return;
    const { tests, files } = realTests();
    const count = tests.toLocaleString('en');
    // At the exit, so that it comes after the totals.
    const line =
      `\n Not run: ${count} tests in ${files} files that need real parts (brokers, databases, compilers, a browser, Python).\n` +
      ' To run them: npm run parts && npm run test:real\n\n';
    process.once('exit', () => process.stdout.write(line));
  }
}

import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Reporter, TestModule } from 'vitest/node';

const tests = dirname(import.meta.dirname);
const ofSecondRing = '.real.test.ts';

/**
 * The file with the number of tests in each file of the second ring in its last run with all parts. The reporter
 * maintains it.
 */
export const countsFile = join(tests, 'real-tests.json');

/** The files of the second ring, sorted, relative to the test folder. */
export const realTestFiles = (folder = tests): string[] =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith(ofSecondRing))
    .map((name) => name.replaceAll('\\', '/'))
    .sort();

const countsIn = (file: string): Record<string, number> =>
  existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {};

/** Describes the tests that a run without the second ring leaves out, and how to run them. */
export function closingLine(file = countsFile, files = realTestFiles()): string {
  const counts = countsIn(file);
  const sum = files.reduce((total, name) => total + (counts[name] ?? 0), 0);
  return (
    `\n Not run: ${sum.toLocaleString('en')} tests in ${files.length} files that need real parts (brokers, databases, compilers, a browser, Python).\n` +
    ' To run them: npm run parts && npm run test:real\n\n'
  );
}

/**
 * Records the number of tests in these files. A file that lacks a part or could not be loaded keeps its count, because
 * its tests cannot be listed.
 */
export function recordCounts(
  modules: readonly TestModule[],
  file = countsFile,
  files = realTestFiles(),
): void {
  const before = countsIn(file);
  const now = new Map(Object.entries(before).filter(([name]) => files.includes(name)));
  for (const module of modules) {
    const all = [...module.children.allTests()];
    const complete = all.length > 0 && !all.some(({ name }) => name.startsWith(missingPart));
    const name = files.find((each) => module.moduleId.endsWith(`/test/${each}`));
    if (complete && name !== undefined) now.set(name, all.length);
  }
  const sorted = Object.fromEntries([...now].sort(([a], [b]) => (a < b ? -1 : 1)));
  const text = `${JSON.stringify(sorted, null, 2)}\n`;
  if (!existsSync(file) || readFileSync(file, 'utf8') !== text) writeFileSync(file, text);
}

/** Prefix of the single test that stands in for the tests of a missing part (`real.ts`). */
export const missingPart = 'needs ';

/** After a run of the first ring, prints the closing line; after a run of the second, records its test counts. */
export default class RealTestsReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const real = modules.filter(({ moduleId }) => moduleId.endsWith(ofSecondRing));
    if (real.length > 0) {
      recordCounts(real);
      return;
    }
    // Printed at exit, so that it follows the totals.
    process.once('exit', () => process.stdout.write(closingLine()));
  }
}

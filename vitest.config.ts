import { dirname, join, resolve, sep } from 'node:path';
import { defineConfig, type Plugin } from 'vitest/config';
import { LongestFirst } from './test/support/longest-first.js';

const root = import.meta.dirname;
const sources = join(root, 'src') + sep;

/** Who puts a stand-in in the place of one of our modules has the sources: a module that Node itself has loaded cannot be replaced. */
const mocking = /\/(?:outbound\/http-odd|kafka\/reader|kafka\/sink)\.test\.ts$/;

/**
 * What imports `src/…` gets what the compiler made of it (dist/.tsc), loaded by Node itself: a tenth of the time that it takes to hand a
 * thousand modules to each of the test files one by one. test/support/global-setup.ts sees to it that it is of now.
 */
const compiled: Plugin = {
  name: 'compiled-sources',
  enforce: 'pre',
  resolveId(id, importer) {
    if (importer === undefined || importer.startsWith(sources) || mocking.test(importer)) return undefined;
    const path = resolve(dirname(importer), id);
    if (!/^[./]/.test(id) || !path.startsWith(sources)) return undefined;
    const file = join(root, 'dist/.tsc', path.slice(sources.length).replace(/\.ts$/, '.js'));
    return { id: file, external: true };
  },
};

export default defineConfig({
  plugins: [compiled],
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/global-setup.ts'],
    testTimeout: 90_000,
    hookTimeout: 120_000,
    server: { deps: { external: [/\/dist\/\.tsc\//] } },
    // Three workers for the two cores of the smallest machine: with two, a third to a half of the cores' time goes by while tests wait
    // for brokers, chips and clocks.
    poolOptions: { forks: { maxForks: 3 } },
    pool: 'forks',
    sequence: { sequencer: LongestFirst },
    // Tests that say so wait for chips that do not answer; they compute next to nothing.
    maxConcurrency: 24,
  },
});

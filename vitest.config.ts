import { dirname, join, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { defineConfig, type Plugin } from 'vitest/config';
import { LongestFirst } from './test/support/longest-first.js';
import { memoryFolder } from './test/support/memory-folder.js';
import RealTestsReporter from './test/support/real-tests-reporter.js';
import { alone, together } from './test/support/together.js';

const root = import.meta.dirname;
const sources = join(root, 'src') + sep;

/** Test files that mock one of our modules import the sources, because a module that Node itself has loaded cannot be replaced. */
const mocking = /\/(?:outbound\/http-odd|kafka\/reader|kafka\/sink)\.test\.ts$/;

/**
 * Resolves imports of `src/…` to the build's output (dist/.modules), which Node itself loads. That takes a tenth of the time that vitest
 * needs to serve a thousand modules to each test file. test/support/global-setup.ts ensures that the build is current.
 */
const compiled: Plugin = {
  name: 'compiled-sources',
  enforce: 'pre',
  resolveId(id, importer) {
    if (importer === undefined || importer.startsWith(sources) || mocking.test(importer)) return undefined;
    if (!/^(?:file:|[./])/.test(id)) return undefined;
    const path = id.startsWith('file:') ? fileURLToPath(id) : resolve(dirname(importer), id);
    if (!path.startsWith(sources)) return undefined;
    const file = join(root, 'dist/.modules', path.slice(sources.length).replace(/\.ts$/, '.js'));
    return { id: file, external: true };
  },
};

/** Tests of real third-party parts: `npm run test:real`. All other files are `npm test`, which needs Node and nothing else. */
const realParts = 'test/**/*.real.test.ts';

/** Settings of every file, in any project. */
const common = {
  testTimeout: 90_000,
  hookTimeout: 120_000,
  // The default of one second is too short for a busy machine.
  expect: { poll: { timeout: 10_000 } },
  server: { deps: { external: [/\/dist\/\.modules\//] } },
  // Concurrent tests mostly wait for chips that do not respond, and hardly use the CPU.
  maxConcurrency: 24,
};

/**
 * Number of batches of test files. Each batch gets new threads, because files leave data in a thread's memory. This keeps the total memory
 * below 3 GB.
 */
const batches = 4;
const batchOf = (files: string[], batch: number) => files.filter((_file, at) => at % batches === batch);

/** Only for the first ring, because third-party programs may not work in a folder in memory. */
const env: Record<string, string> = memoryFolder === undefined ? {} : { TMPDIR: memoryFolder };

export default defineConfig({
  test: {
    globalSetup: ['test/support/global-setup.ts'],
    reporters: ['default', new RealTestsReporter()],
    sequence: { sequencer: LongestFirst },
    poolOptions: {
      // Four processes for the two cores of the smallest machine. With two processes, the cores would be idle for a third to a half of the
      // time, while tests wait for brokers, chips and clocks. `npm test` uses two processes beside its two threads.
      forks: { maxForks: 4 },
      threads: { maxThreads: 2, isolate: false },
    },
    projects: [
      // The first ring. Most of its files run one after another in two threads, which load all modules only once.
      ...Array.from({ length: batches }, (_, batch) => ({
        plugins: [compiled],
        test: {
          ...common,
          env,
          name: `together-${batch + 1}`,
          include: batchOf(together, batch),
          setupFiles: ['test/support/put-back.ts'],
          pool: 'threads' as const,
          poolOptions: { threads: { isolate: false } },
          sequence: { groupOrder: batch },
        },
      })),
      // While a batch runs in the threads, a quarter of the other files runs, each in a process of its own. Many of these files mostly
      // wait, so the threads can use the cores.
      ...Array.from({ length: batches }, (_, batch) => ({
        plugins: [compiled],
        test: {
          ...common,
          env,
          name: `alone-${batch + 1}`,
          include: batchOf(alone, batch),
          pool: 'forks' as const,
          sequence: { groupOrder: batch },
        },
      })),
      // The second ring.
      {
        plugins: [compiled],
        test: {
          ...common,
          name: 'real',
          include: [realParts],
          setupFiles: ['test/support/event-loop.ts'],
          pool: 'forks',
          sequence: { groupOrder: batches },
        },
      },
    ],
  },
});

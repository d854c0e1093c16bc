import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/global-setup.ts'],
    testTimeout: 90_000,
    hookTimeout: 120_000,
    // Two workers: the suite starts brokers and trains networks, and the smallest machine has two cores.
    poolOptions: { forks: { maxForks: 2 } },
    pool: 'forks',
    // Tests that say so wait for chips that do not answer; they compute next to nothing.
    maxConcurrency: 24,
  },
});

/**
 * Runs before each file that shares a thread, and afterward undoes the file's changes to the environment and timers,
 * and its spies.
 */
import { afterAll, vi } from 'vitest';

const before = { ...process.env };

// The hook that a file registers first runs last.
afterAll(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
  for (const name of Object.keys(process.env)) if (!(name in before)) delete process.env[name];
  Object.assign(process.env, before);
});

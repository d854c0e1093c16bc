/** Run before each file of those that share a thread: undoes afterwards what the file did to the environment, to timers and by spies. */
import { afterAll, vi } from 'vitest';

const before = { ...process.env };

// The first hook of a file is the last to run.
afterAll(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
  for (const name of Object.keys(process.env)) if (!(name in before)) delete process.env[name];
  Object.assign(process.env, before);
});

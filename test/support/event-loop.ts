/**
 * Runs before each file with real parts, and names files that block the event loop for long. Vitest's connection to a test file fails
 * after 60 s without an answer (`Timeout calling "onTaskUpdate"`), which ends the run with an error although all tests pass.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout } from 'node:timers/promises';
import { afterAll, afterEach, expect } from 'vitest';

/** Half of vitest's limit, for machines of half the speed. */
const limit = 30;

const delay = monitorEventLoopDelay({ resolution: 100 });
delay.enable();

// Between synchronous tests, vitest itself does not return to the event loop, so a file of many short ones would block it.
afterEach(() => setTimeout(1));

afterAll(async () => {
  // One more turn, which records a last test that blocks until its end.
  await setTimeout(200);
  delay.disable();
  const seconds = Math.round(delay.max / 1e9);
  if (seconds < limit) return;
  process.stderr.write(
    `${expect.getState().testPath} blocked the event loop for ${seconds} s. Vitest allows 60 s.\n`,
  );
});

import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach } from 'vitest';

/**
 * Tests that only compute do not return to the event loop, not even between each other. Vitest's messages then stay unread, and after a
 * minute it ends the run with 'Timeout calling "onTaskUpdate"', although all tests passed. The second turn follows after messages were read.
 */
afterEach(async () => {
  await nextTurn();
  await nextTurn();
});

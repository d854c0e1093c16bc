import { expect, it } from 'vitest';
import { begunIn } from '../../src/lib/pipeline/run/run-step.js';

it.each([
  [{ id: 'ro_01k2', state: 'running' }, 'begun, and goes on by itself: aiot ota watch ro_01k2'],
  [{ id: 'ro_01k2', state: 'awaiting-approval' }, 'begun, and goes on by itself: aiot ota watch ro_01k2'],
  [{ id: 'ro_01k2', state: 'done' }, null],
  [{ id: 7, state: 'running' }, null],
  [{ name: 'pump', version: 1 }, null],
  [null, null],
])('a step that left %j has begun what goes on without it: %s', (result, told) => {
  expect(begunIn(result)).toBe(told);
});

import { expect, it } from 'vitest';
import { begunIn } from '../../src/lib/pipeline/run/run-step.js';

it.each([
  [{ id: 'ro_01k2', state: 'running' }, 'started; it continues on its own: aiot rollout watch ro_01k2'],
  [
    { id: 'ro_01k2', state: 'awaiting-approval' },
    'started; it continues on its own: aiot rollout watch ro_01k2',
  ],
  [{ id: 'ro_01k2', state: 'done' }, null],
  [{ id: 7, state: 'running' }, null],
  [{ name: 'pump', version: 1 }, null],
  [null, null],
])('a step with the result %j is reported with the work that continues after it: %s', (result, told) => {
  expect(begunIn(result)).toBe(told);
});

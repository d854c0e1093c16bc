import { expect, it } from 'vitest';
import { runText } from '../../src/lib/cli/render/pipeline.js';
import type { RunResult } from '../../src/lib/pipeline/run/result.js';
import { begunIn, refusalOfExit } from '../../src/lib/pipeline/run/run-step.js';

const id = 'ro_01k2';
const waves = [
  { devices: 1, committed: 1 },
  { devices: 2, committed: 0 },
];
const follow = 'has started and continues after this run; to follow it, run aiot rollout watch ro_01k2';

it.each([
  [{ id, state: 'running', waves }, null, `the rollout to 3 devices ${follow}`],
  [{ id, state: 'running' }, null, `the rollout ${follow}`],
  [{ id, state: 'scheduled', waves: waves.slice(1) }, null, `the rollout to 2 devices ${follow}`],
  [
    { id, state: 'awaitingApproval', waves },
    null,
    "the rollout to 3 devices waits for another user's approval: aiot rollout approve ro_01k2",
  ],
  [
    { id, state: 'running', waves },
    'run_01k1',
    'unchanged since run_01k1, which started the rollout; to see it, run aiot rollout show ro_01k2',
  ],
  [{ id, state: 'done' }, null, null],
  [{ id, state: 'done' }, 'run_01k1', null],
  [{ id: 7, state: 'running' }, null, null],
  [{ name: 'pump', version: 1 }, null, null],
  [null, null, null],
])(
  'a step with the result %j, cached from %j, is reported with the work that continues after it: %s',
  (result, run, told) => {
    expect(begunIn(result, run)).toBe(told);
  },
);

it.each([
  [3, { id, state: 'partly', reason: null, waves }, 'failed', 'partly: 1 of 3 devices committed'],
  [
    1,
    { id, state: 'failed', reason: null, waves: waves.slice(1) },
    'failed',
    'failed: 0 of 2 devices committed',
  ],
  [
    6,
    { id, state: 'rolledBack', reason: { code: 'AIOT_ROLLOUT_FAILURES', message: 'the limit is 0' }, waves },
    'stopped',
    'rolled back: the limit is 0',
  ],
])(
  'a rollout step reports the outcome of the rollout that it waited for, with exit code %i',
  (exit, result, state, told) => {
    const reason = `the rollout is ${told}; to see it, run aiot rollout show ro_01k2`;
    expect(refusalOfExit(exit, result, '{"stage":"running"}')).toEqual({ state, reason, error: null });
  },
);

it('an unchanged run is summarized in one sentence: no step was repeated', () => {
  const step = (cached: boolean): RunResult['steps'][number] => ({
    ...{ name: 'train', state: 'done', cached, seconds: 0, attempts: 0, exit: null },
    ...{ peakBytes: null, reason: null, error: null },
  });
  const result = (cached: boolean): RunResult => ({
    ...{ run: 'run_01k2', state: 'done', steps: [step(true), step(cached)], model: null, seconds: 0.5 },
    ...{ cause: { kind: 'manual', text: 'started manually' }, who: 'ann', context: null, published: [] },
    ...{ engine: 'local', workflow: null },
  });
  const sentence = 'Nothing has changed, so no step was run again.';
  expect(runText(result(true)).split('\n').slice(-3)).toEqual(['Run  run_01k2, 500 ms', '', sentence]);
  expect(runText(result(false))).not.toContain('Nothing');
});

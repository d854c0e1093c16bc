import { describe, expect, it } from 'vitest';
import { rolloutPolicySchema } from '../../../src/lib/api/rollouts/schema.js';
import { afterStep, rolloutStep } from '../../../src/lib/fleet/rollout/step.js';
import type { RolloutEvent, RolloutState } from '../../../src/lib/fleet/rollout/types.js';
import { startRollout, waveOutcome } from '../../../src/lib/fleet/rollout/waves.js';

const release = { kind: 'model' as const, name: 'har', version: 2, sequence: 7 };
const deploy = { waves: ['100%'], maxFailures: '100%', minSuccess: 0 };

interface Given {
  devices: string[];
  policy: object;
  offline?: string[];
}

/** A rollout, to which events happen a second apart. The devices in `offline` are never online. */
function begun({ devices, policy, offline = [] }: Given) {
  let at = 1000;
  let state: RolloutState = startRollout({
    ...{
      id: 'ro_1',
      releases: [release],
      rollback: { ...release, version: 1, sequence: 6 },
      selector: 'all',
    },
    ...{ by: 'ann', created: at, devices, policy: rolloutPolicySchema.parse(policy) },
  });
  const happen = (...events: RolloutEvent[]) => {
    at += 1000;
    const world = { at, online: (name: string) => !offline.includes(name) };
    state = afterStep(state, rolloutStep(state, events, world));
  };
  const report = (device: string, step: 'COMMITTED' | 'ROLLED_BACK', wish = 'ro_1', t?: number) =>
    happen({
      type: 'reported',
      device,
      report: {
        ...{ rollout: wish, kind: 'model', state: step, error: null, t },
        model: { sequence: step === 'COMMITTED' ? 7 : 6 },
      },
    });
  happen({ type: 'tick' });
  return {
    happen,
    report,
    reason: () => state.head.reason,
    now: () => [state.head.state, ...state.head.waves.map((_, index) => waveOutcome(state.head, index))],
  };
}

describe('the outcome of a wave', () => {
  it('is "aborted" if the rollout was aborted while devices were offline, and "open" before', () => {
    const rollout = begun({ devices: ['a'], policy: deploy, offline: ['a'] });
    expect(rollout.now()).toEqual(['running', 'open']);
    rollout.happen({ type: 'abort', who: 'ann' });
    expect(rollout.now()).toEqual(['aborted', 'aborted']);
  });

  it('is "aborted" even if the wave had met its limits without the offline devices', () => {
    const rollout = begun({ devices: ['a', 'b'], policy: deploy, offline: ['b'] });
    rollout.report('a', 'COMMITTED');
    expect(rollout.now()).toEqual(['running', 'passed']);
    rollout.happen({ type: 'abort', who: 'ann' });
    expect(rollout.now()).toEqual(['aborted', 'aborted']);
  });

  it('stays "passed" if the wave had passed before the abort, and is "skipped" if it had not opened', () => {
    const rollout = begun({ devices: ['a', 'b', 'c'], policy: { waves: [1, 2] } });
    rollout.report('a', 'COMMITTED');
    expect(rollout.now()).toEqual(['running', 'passed', 'open', 'waiting']);
    rollout.happen({ type: 'abort', who: 'ann' });
    expect(rollout.now()).toEqual(['aborted', 'passed', 'aborted', 'skipped']);
  });

  it('is "failed" if no device committed, and "partly" if some did', () => {
    const none = begun({ devices: ['a'], policy: deploy });
    none.report('a', 'ROLLED_BACK');
    expect(none.now()).toEqual(['failed', 'failed']);
    const some = begun({ devices: ['a', 'b'], policy: deploy });
    some.report('a', 'ROLLED_BACK');
    expect(some.now()).toEqual(['running', 'open']);
    some.report('b', 'COMMITTED');
    expect(some.now()).toEqual(['partly', 'partly']);
    some.happen({ type: 'retry', who: 'ann' });
    expect(some.now()).toEqual(['running', 'open']);
    some.report('a', 'COMMITTED', 'ro_1.2');
    expect(some.now()).toEqual(['done', 'passed']);
  });

  it('is "stopped" while a limit pauses the rollout, and "rolledBack" after a rollback', () => {
    const rollout = begun({ devices: ['a', 'b', 'c'], policy: { waves: [1, 2] } });
    rollout.report('a', 'COMMITTED');
    rollout.report('b', 'ROLLED_BACK');
    expect(rollout.now()).toEqual(['paused', 'passed', 'stopped', 'waiting']);
    rollout.happen({ type: 'rollback', who: 'ann' });
    rollout.report('a', 'COMMITTED', 'ro_1.2');
    expect(rollout.now()).toEqual(['rolledBack', 'rolledBack', 'rolledBack', 'skipped']);
  });
});

describe('a device that crashes after it committed', () => {
  const policy = { waves: [2], maxFailures: 0, soakMs: 60_000 };
  const crashed = (device: string, t: number | null = null): RolloutEvent => ({ type: 'crashed', device, t });

  it('counts against the limit of failures, and stops the rollout during the soak', () => {
    const rollout = begun({ devices: ['a', 'b', 'c'], policy });
    rollout.report('a', 'COMMITTED');
    rollout.report('b', 'COMMITTED');
    expect(rollout.now()).toEqual(['running', 'soaking', 'waiting']);
    rollout.happen(crashed('a'));
    expect(rollout.now()).toEqual(['paused', 'stopped', 'waiting']);
    expect(rollout.reason()).toEqual({
      code: 'AIOT_ROLLOUT_FAILURES',
      message:
        '1 of 2 devices of wave 1 crashed after the update; no failures are allowed in a wave of this size',
    });
    // Resuming accepts the crash. Another device that crashes stops the rollout again.
    rollout.happen({ type: 'resume', who: 'ann' });
    expect(rollout.now()).toEqual(['running', 'soaking', 'waiting']);
    rollout.happen(crashed('a'), crashed('a'));
    expect(rollout.now()).toEqual(['running', 'soaking', 'waiting']);
    rollout.happen(crashed('b'));
    expect(rollout.now()).toEqual(['paused', 'stopped', 'waiting']);
  });

  it('counts together with failures', () => {
    const rollout = begun({ devices: ['a', 'b', 'c'], policy: { waves: [3], maxFailures: 1 } });
    rollout.report('a', 'COMMITTED');
    rollout.report('b', 'ROLLED_BACK');
    rollout.happen(crashed('a'));
    expect(rollout.reason()?.message).toBe(
      '2 of 3 devices of wave 1 failed (1), or crashed after the update (1); the limit is 1',
    );
  });

  it('does not count before it has committed, or if the crash is older than the commit', () => {
    const rollout = begun({ devices: ['a', 'b', 'c'], policy });
    rollout.happen(crashed('a'));
    rollout.report('a', 'COMMITTED');
    rollout.happen(crashed('a', 1500), crashed('stranger'));
    rollout.report('b', 'COMMITTED');
    expect(rollout.now()).toEqual(['running', 'soaking', 'waiting']);
  });

  it('compares the times of commit and crash by the clock of the device', () => {
    const rollout = begun({ devices: ['a', 'b', 'c'], policy });
    rollout.report('a', 'COMMITTED', 'ro_1', 500);
    rollout.report('b', 'COMMITTED', 'ro_1', 500);
    rollout.happen(crashed('a', 499));
    expect(rollout.now()).toEqual(['running', 'soaking', 'waiting']);
    // The clock of the device is behind that of the platform.
    rollout.happen(crashed('a', 501));
    expect(rollout.now()).toEqual(['paused', 'stopped', 'waiting']);
  });
});

import { expect, it } from 'vitest';
import { type RolloutPolicyInput, rolloutPolicySchema } from '../../../src/lib/api/rollouts/schema.js';
import { wishOf } from '../../../src/lib/fleet/rollout/draft.js';
import { afterStep, rolloutStep } from '../../../src/lib/fleet/rollout/step.js';
import type {
  RolloutEvent,
  RolloutState,
  UpdateReport,
  World,
} from '../../../src/lib/fleet/rollout/types.js';
import { startRollout } from '../../../src/lib/fleet/rollout/waves.js';

/** A rollout to four devices in two waves of two, evaluated while only some of them are online. */
function rollout(policy: RolloutPolicyInput) {
  const releases = [{ kind: 'model' as const, name: 'har', version: 2, sequence: 7 }];
  let state: RolloutState = startRollout({
    ...{ id: 'ro_1', releases, rollback: null, selector: 'all', created: 0, by: 'ann', current: [] },
    devices: ['a', 'b', 'c', 'd'],
    policy: rolloutPolicySchema.parse({ waves: ['50%'], ...policy }),
  });
  const at = (time: number, online: string, world: Partial<World>, ...events: RolloutEvent[]) => {
    const seen = { at: time, online: (name: string) => online.includes(name), ...world };
    state = afterStep(state, rolloutStep(state, events, seen));
    return state.head;
  };
  const commits = (device: string): RolloutEvent => {
    const model = { sequence: 7 } as NonNullable<UpdateReport['model']>;
    const rollout = wishOf('ro_1', state.devices.get(device)!.offer);
    const report = { rollout, error: null, golden: null, state: 'COMMITTED', model } as UpdateReport;
    return { type: 'reported', device, report };
  };
  return { at, commits };
}

it('a rollout opens no wave just because a restarted platform has not seen its devices yet', () => {
  const { at, commits } = rollout({});
  at(0, 'abcd', {}, { type: 'tick' });
  // Both devices of the first wave have the offer. The platform restarts, and `a` is the first to reconnect.
  expect(at(1000, 'a', { returning: true }, commits('a')).wave).toBe(0);
  expect(at(2000, 'ab', { returning: true }, commits('b')).wave).toBe(1);
});

it('a rollout opens the next wave without devices that stay offline', () => {
  const { at, commits } = rollout({});
  at(0, 'abcd', {}, { type: 'tick' });
  at(1000, 'a', { returning: true }, commits('a'));
  expect(at(40_000, 'acd', {}, { type: 'tick' }).wave).toBe(1);
});

it('a rollout does not count devices as silent while they may still reconnect', () => {
  const { at, commits } = rollout({ soakMs: 10_000, maxFailures: 0 });
  at(0, 'abcd', {}, { type: 'tick' });
  at(1000, 'abcd', {}, commits('a'), commits('b'));
  const returning = { returning: true };
  expect(at(20_000, '', returning, { type: 'tick' })).toMatchObject({ state: 'running', wave: 0 });
  expect(at(21_000, 'ab', returning, { type: 'tick' })).toMatchObject({ state: 'running', wave: 1 });
});

it('a rollout counts devices as silent two minutes after the soak, once the time to reconnect is over', () => {
  const { at, commits } = rollout({ soakMs: 10_000, maxFailures: 0 });
  at(0, 'abcd', {}, { type: 'tick' });
  at(1000, 'abcd', {}, commits('a'), commits('b'));
  at(20_000, '', { returning: true }, { type: 'tick' });
  expect(at(130_999, '', {}, { type: 'tick' })).toMatchObject({ state: 'running', wave: 0 });
  expect(at(131_000, '', {}, { type: 'tick' }).reason).toMatchObject({ code: 'AIOT_ROLLOUT_SILENT' });
});

it('a rollout continues once each device has been online after the soak, even if not all at the same time', () => {
  const { at, commits } = rollout({ soakMs: 10_000, maxFailures: 0 });
  at(0, 'abcd', {}, { type: 'tick' });
  at(1000, 'abcd', {}, commits('a'), commits('b'));
  expect(at(11_000, 'a', {}, { type: 'tick' })).toMatchObject({ state: 'running', wave: 0 });
  expect(at(40_000, 'b', {}, { type: 'tick' })).toMatchObject({ state: 'running', wave: 1 });
});

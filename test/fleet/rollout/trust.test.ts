import { describe, expect, it } from 'vitest';
import {
  type Release,
  type RolloutPolicyInput,
  rolloutPolicySchema,
} from '../../../src/lib/api/rollouts/schema.js';
import type { ShadowFigures } from '../../../src/lib/api/rollouts/shadow.js';
import { wishOf } from '../../../src/lib/fleet/rollout/draft.js';
import { afterStep, rolloutStep } from '../../../src/lib/fleet/rollout/step.js';
import type {
  RolloutEvent,
  RolloutState,
  RolloutStep,
  UpdateReport,
} from '../../../src/lib/fleet/rollout/types.js';
import { startRollout } from '../../../src/lib/fleet/rollout/waves.js';

const release: Release = { kind: 'model', name: 'har', version: 2, sequence: 7 };
const rollback: Release = { kind: 'model', name: 'har', version: 1, sequence: 8 };
const names = ['a', 'b', 'c'];

function rollout(policy: RolloutPolicyInput) {
  const of = { id: 'ro_1', releases: [release], rollback, selector: 'all', created: 0, by: 'ann' };
  let state: RolloutState = startRollout({
    ...of,
    devices: names,
    current: [],
    policy: rolloutPolicySchema.parse({ waves: ['100%'], ...policy }),
  });
  let step: RolloutStep | undefined;
  return {
    get state() {
      return state;
    },
    get wishes() {
      return step?.wishes ?? [];
    },
    at(at: number, ...events: RolloutEvent[]) {
      step = rolloutStep(state, events, { at, online: () => true, shadows: () => true });
      state = afterStep(state, step);
    },
    says(device: string, told: Partial<UpdateReport>): RolloutEvent {
      const offer = state.devices.get(device)!.offer;
      const report = { rollout: wishOf('ro_1', offer), error: null, golden: null, model: null, ...told };
      return { type: 'reported', device, report: report as UpdateReport };
    },
  };
}

const committed = (sequence: number): Partial<UpdateReport> => ({
  state: 'COMMITTED',
  model: { sequence } as NonNullable<UpdateReport['model']>,
});

const side = { p50Ms: 1, p95Ms: 1, arenaBytes: 100, labels: {} };
const measured = (windows: number, disagreements: number, labels = {}): ShadowFigures => ({
  ...{ windows, disagreements, active: side, candidate: { ...side, labels } },
});

describe('untrustworthy devices', () => {
  it('are rolled back with all the others, even if their commits did not count', () => {
    const one = rollout({ requireProof: true, onFailure: 'rollback', maxFailures: 0 });
    one.at(1, { type: 'tick' });
    one.at(2, one.says('a', committed(7)));
    expect(one.state.head.state).toBe('rollingBack');
    expect(one.wishes).toContainEqual(expect.objectContaining({ device: 'a', release: rollback }));
    one.at(3, one.says('a', committed(8)), { type: 'tick' });
    expect(one.state.devices.get('a')?.state).toBe('restored');
    expect(one.state.head.state).toBe('rolledBack');
  });

  it('are asked to roll back once, and count as failed if that fails', () => {
    const one = rollout({ requireProof: true, onFailure: 'rollback', maxFailures: 0 });
    one.at(1, { type: 'tick' });
    one.at(2, one.says('a', committed(7)));
    const error = { code: 'AIOT_UPDATE_DOWNLOAD', message: 'no bytes' };
    one.at(3, one.says('a', { state: 'IDLE', error }), { type: 'tick' });
    one.at(4, { type: 'tick' });
    expect(one.state.devices.get('a')?.state).toBe('failed');
    expect(one.state.head.state).toBe('rolledBack');
  });

  it('cannot outweigh the others by claiming many windows', () => {
    const one = rollout({ shadow: { ms: 1000, minWindows: 10, maxDisagreement: '10%' } });
    one.at(1, { type: 'tick' });
    const said = [measured(1e15, 0), measured(20, 15), measured(20, 15)];
    one.at(2, ...names.map((name, i) => one.says(name, { state: 'SHADOW', shadow: said[i]! })));
    one.at(3, { type: 'tick' });
    expect(one.state.head.waves[0]?.shadow?.figures?.windows).toBe(20 + 20 + 200);
    expect(one.state.head.state).toBe('paused');
  });

  it('cannot flood the rollout with invented labels', () => {
    const one = rollout({ shadow: { ms: 1000, minWindows: 1000, maxDisagreement: '10%' } });
    one.at(1, { type: 'tick' });
    const labels = Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`l${i}`, 1]));
    one.at(2, one.says('a', { state: 'SHADOW', shadow: measured(20, 0, { walk: 9, ...labels }) }));
    one.at(3, { type: 'tick' });
    const told = one.state.head.waves[0]?.shadow?.figures?.candidate.labels ?? {};
    expect(Object.keys(told)).toHaveLength(64);
    expect(told).toHaveProperty('walk', 9);
  });
});

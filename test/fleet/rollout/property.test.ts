import { describe, expect, it } from 'vitest';
import { shareOf } from '../../../src/lib/api/rollouts/amount.js';
import {
  type Release,
  type RolloutPolicyInput,
  rolloutCommands,
  rolloutHasEnded,
  rolloutPolicySchema,
} from '../../../src/lib/api/rollouts/schema.js';
import type { ShadowFigures } from '../../../src/lib/api/rollouts/shadow.js';
import { AiotError } from '../../../src/lib/core/errors.js';
import { wishOf } from '../../../src/lib/fleet/rollout/draft.js';
import { afterStep, rolloutStep } from '../../../src/lib/fleet/rollout/step.js';
import type {
  RolloutEvent,
  RolloutState,
  RolloutStep,
  UpdateReport,
} from '../../../src/lib/fleet/rollout/types.js';
import { harmed, isEnd, startRollout } from '../../../src/lib/fleet/rollout/waves.js';
import { fc, runs } from '../../support/property.js';

const names = Array.from({ length: 12 }, (_, i) => `d${i}`);
const release: Release = { kind: 'model', name: 'har', version: 2, sequence: 7 };
const rollback: Release = { kind: 'model', name: 'har', version: 1, sequence: 8 };

const policy: fc.Arbitrary<RolloutPolicyInput> = fc.record({
  waves: fc.constantFrom(['100%'], [1, '50%'], ['10%', '25%', 8, '100%'], [1, 2, 3, 4]),
  maxFailures: fc.constantFrom(0, 1, '20%', '100%'),
  minSuccess: fc.constantFrom(0, '50%', '100%'),
  soakMs: fc.constantFrom(0, 500),
  onFailure: fc.constantFrom('pause', 'rollback'),
  attempts: fc.constantFrom(1, 3),
  backoffMs: fc.constant(100),
  deadlineMs: fc.constant(2000),
  perMinute: fc.constantFrom(null, 600),
  approval: fc.boolean(),
  requireProof: fc.constant(false),
  shadow: fc.constantFrom(null, null, { ms: 1000, minWindows: 10, maxDisagreement: '10%' }),
});

const side = { p50Ms: 1, p95Ms: 1, arenaBytes: 100, labels: {} };
/** Shadow measurements: good ones, and ones with too few windows, too many disagreements, or too much latency. */
const measured = fc.constantFrom(
  ...[
    [20, 1, 1] as const,
    [20, 1, 1] as const,
    [3, 0, 1] as const,
    [20, 9, 1] as const,
    [20, 0, 4] as const,
  ].map(([windows, disagreements, p95Ms]) => ({
    ...{ windows, disagreements, active: side, candidate: { ...side, p95Ms } },
  })),
);

interface Says {
  do: 'report';
  device: string;
  state: string;
  sequence: number;
  stale: boolean;
  error: boolean;
  shadow?: ShadowFigures;
}

/** Events: a device reports on its latest offer or the previous one, or crashes, users give commands, or time passes. */
type Act =
  | Says
  | { do: 'gone'; device: string; how: 'superseded' | 'revoked' }
  | { do: 'switch'; device: string }
  | { do: 'crash'; device: string; ago: number | null }
  | { do: 'command'; command: (typeof rolloutCommands)[number]; who: string }
  | { do: 'wait'; ms: number };

const device = fc.constantFrom(...names, 'stranger');
const crash: fc.Arbitrary<Act> = fc.record({
  do: fc.constant('crash' as const),
  device,
  ago: fc.constantFrom(null, 0, 0, 400, 5000),
});
const act: fc.Arbitrary<Act> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      do: fc.constant('report' as const),
      device,
      state: fc.constantFrom(
        'IDLE',
        'DOWNLOADING',
        'VERIFYING',
        'STAGED',
        'SHADOW',
        'SHADOW',
        'TRIAL',
        'COMMITTED',
        'ROLLED_BACK',
      ),
      sequence: fc.constantFrom(7, 7, 7, 8, 6),
      stale: fc.constantFrom(false, false, false, true),
      error: fc.boolean(),
      shadow: measured,
    }),
  },
  fc.record({
    do: fc.constant('gone' as const),
    device,
    how: fc.constantFrom('superseded' as const, 'revoked' as const),
  }),
  fc.record({ do: fc.constant('switch' as const), device }),
  { weight: 2, arbitrary: crash },
  fc.record({
    do: fc.constant('command' as const),
    command: fc.constantFrom(...rolloutCommands),
    who: fc.constantFrom('ann', 'bob'),
  }),
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 900 }) }),
  },
);
const acts = fc.array(act, { maxLength: 120 });

function begin(given: RolloutPolicyInput): RolloutState {
  return startRollout({
    ...{ id: 'ro_1', releases: [release], rollback, selector: 'all', by: 'ann', created: 0, devices: names },
    policy: rolloutPolicySchema.parse(given),
  });
}

/** Some devices do not support shadows. */
const shadows = (name: string) => name !== 'd3' && name !== 'd7';

interface Moment {
  before: RolloutState;
  state: RolloutState;
  step: RolloutStep;
  event: RolloutEvent;
  at: number;
}

class Run {
  at = 0;
  readonly offline = new Set<string>();
  readonly moments: Moment[] = [];

  constructor(public state: RolloutState) {
    this.feed({ type: 'tick' });
  }

  feed(event: RolloutEvent): void {
    if (rolloutHasEnded(this.state.head) && !(event.type in { rollback: 1, retry: 1 })) return;
    const before = this.state;
    try {
      const online = (name: string) => !this.offline.has(name);
      const world = { at: this.at, online, shadows };
      const step = rolloutStep(before, [event], world);
      this.state = afterStep(before, step);
      this.moments.push({ before, state: this.state, step, event, at: this.at });
    } catch (error) {
      if (!(error instanceof AiotError)) throw error;
    }
  }

  act(act: Act): void {
    if (act.do === 'wait') {
      this.at += act.ms;
      this.feed({ type: 'tick' });
    } else if (act.do === 'switch') {
      if (!this.offline.delete(act.device)) this.offline.add(act.device);
    } else if (act.do === 'command') this.feed({ type: act.command, who: act.who });
    else if (act.do === 'crash')
      this.feed({ type: 'crashed', device: act.device, t: act.ago === null ? null : this.at - act.ago });
    else if (act.do === 'gone') this.feed({ type: act.how, device: act.device });
    else this.feed({ type: 'reported', device: act.device, report: this.reportOf(act) });
  }

  reportOf({ device, state, sequence, stale, error, shadow }: Says): UpdateReport {
    const offer = (this.state.devices.get(device)?.offer ?? 1) - (stale ? 1 : 0);
    return {
      rollout: wishOf('ro_1', offer),
      state,
      model: { sequence },
      ...(state === 'SHADOW' && shadow ? { shadow } : {}),
      error: error || state === 'ROLLED_BACK' ? { code: 'AIOT_X', message: 'no' } : null,
    };
  }
}

function ran(given: RolloutPolicyInput, list: Act[]): Run {
  const run = new Run(begin(given));
  for (const act of list) run.act(act);
  return run;
}

/** Devices do what is requested and users act as needed, until the rollout has ended. */
function oblige(run: Run): void {
  for (let turn = 0; turn < 400 && !rolloutHasEnded(run.state.head); turn++) {
    const { head } = run.state;
    if (head.state === 'awaitingApproval') run.feed({ type: 'approve', who: 'bob' });
    if (head.state === 'paused') run.feed({ type: 'resume', who: 'ann' });
    run.offline.clear();
    for (const device of run.state.devices.values()) {
      const idle = device.state === 'recalled' || device.state === 'pending';
      if (isEnd(device.state) || (idle && device.state !== 'recalled')) continue;
      const sequence = device.state === 'restoring' ? 8 : 7;
      const state = idle ? 'IDLE' : device.asShadow ? 'SHADOW' : 'COMMITTED';
      const shadow = { windows: 20, disagreements: 0, active: side, candidate: side };
      run.act({ do: 'report', device: device.name, state, sequence, stale: false, error: false, shadow });
    }
    run.act({ do: 'wait', ms: 300 });
  }
}

const always = (check: (run: Run) => void, full = 300, sample?: number) =>
  fc.assert(
    fc.property(policy, acts, (given, list) => check(ran(given, list))),
    { numRuns: runs(full, sample) },
  );

describe('a rollout under random events', () => {
  it('keeps its devices, and counts their states correctly', () => {
    always(({ moments }) => {
      for (const { state } of moments) {
        expect([...state.devices.keys()]).toEqual(names);
        state.head.waves.forEach((wave, index) => {
          const members = [...state.devices.values()].filter((device) => device.wave === index);
          for (const [name, count] of Object.entries(wave.counts)) {
            expect(count, name).toBe(members.filter((device) => device.state === name).length);
          }
          const crashed = members.filter(({ times }) => times.crashed !== undefined);
          expect(wave.crashed ?? 0).toBe(crashed.length);
          for (const { times } of crashed)
            expect(times.crashed).toBeGreaterThanOrEqual(times.committed ?? Number.POSITIVE_INFINITY);
        });
      }
    });
  });

  it('offers nothing to devices in unopened waves, or while it is not running', () => {
    always(({ moments }) => {
      for (const { step, state } of moments) {
        for (const { device, release } of step.wishes) {
          if (release === null || release === rollback) continue;
          expect(state.devices.get(device)!.wave).toBeLessThanOrEqual(state.head.wave);
          expect(state.head.state).toBe('running');
        }
      }
    });
  });

  it('opens a wave only after the previous one has settled with enough commits', () => {
    always(({ moments }) => {
      for (const { before, state } of moments) {
        for (let i = Math.max(before.head.wave, 0); i < state.head.wave; i++) {
          const wave = state.head.waves[i]!;
          const { committed, withdrawn } = wave.counts;
          const enough = shareOf(state.head.policy.minSuccess, wave.devices - withdrawn);
          expect(committed >= enough || wave.waived).toBe(true);
          expect(wave.counts.pending + wave.counts.updating + wave.counts.recalled).toBe(0);
        }
      }
    });
  });

  it('stops running once failures and crashes in a wave exceed the limit', () => {
    always(({ moments }) => {
      for (const { state } of moments) {
        if (state.head.state !== 'running') continue;
        for (const wave of state.head.waves) {
          const allowed = Math.floor(shareOf(state.head.policy.maxFailures, wave.devices));
          expect(harmed(state.head, wave) - wave.forgiven).toBeLessThanOrEqual(allowed);
        }
      }
    });
  });

  it('counts only crashes of devices that committed its release, and each device once', () => {
    let counted = 0;
    const many = fc.array(fc.oneof(act, crash), { minLength: 30, maxLength: 60, size: 'max' });
    const property = fc.property(policy, many, (given, list) => {
      const run = new Run(begin({ ...given, approval: false, shadow: null, soakMs: 5000 }));
      for (const act of list) {
        // Crashes stop the rollout, so an operator resumes it. Other commands would end it early.
        if (act.do !== 'command') run.act(act);
        if (run.state.head.state === 'paused') run.feed({ type: 'resume', who: 'ann' });
        const offered = [...run.state.devices.values()].find((each) => each.state === 'offered');
        const says = { state: 'COMMITTED', sequence: 7, stale: false, error: false };
        if (offered) run.act({ do: 'report', device: offered.name, ...says });
      }
      for (const { before, state, event, at } of run.moments) {
        for (const { name, times } of state.devices.values()) {
          const old = before.devices.get(name)!;
          if (times.crashed === old.times.crashed) continue;
          counted++;
          expect(event).toMatchObject({ type: 'crashed', device: name });
          expect(old.state).toBe('committed');
          expect(old.times.crashed).toBeUndefined();
          if (event.type === 'crashed' && event.t !== null)
            expect(event.t).toBeGreaterThanOrEqual(old.times.committed!);
          expect(times.crashed).toBe(at);
        }
      }
    });
    fc.assert(property, { numRuns: runs(300, 60) });
    expect(counted).toBeGreaterThan(20);
  });

  it('withdraws every offer when it stops, pauses, or ends', () => {
    always(({ moments, state }) => {
      const told = new Map<string, string>();
      for (const { step, event } of moments) {
        // The other rollout has already sent the device a new desired state.
        if (event.type === 'superseded') told.delete(event.device);
        for (const { device, wish, release } of step.wishes) {
          if (release) told.set(device, wish);
          else if (told.get(device) === wish) told.delete(device);
        }
      }
      for (const [name] of told) {
        const { state: now } = state.devices.get(name)!;
        expect(['offered', 'updating', 'shadowing', 'committed', 'restoring', 'restored']).toContain(now);
        if (now === 'offered') expect(state.head.state).toBe('running');
      }
    });
  });

  it('repeats no offer, and makes no more attempts per device than allowed', () => {
    always(({ moments }) => {
      const offers = new Map<string, string[]>();
      for (const { step, before, event } of moments) {
        for (const { device, wish, release } of step.wishes) {
          if (release === null) continue;
          expect(offers.get(device) ?? []).not.toContain(wish);
          offers.set(device, [...(offers.get(device) ?? []), wish]);
          // `retry` may offer the release again to devices that had ended.
          const ended = event.type !== 'retry' && isEnd(before.devices.get(device)!.state);
          expect(ended && release !== rollback).toBe(false);
        }
      }
      for (const { state } of moments) {
        for (const device of state.devices.values()) {
          if (device.state === 'restoring' || device.state === 'restored' || device.state === 'failed')
            continue;
          expect(device.attempts).toBeLessThanOrEqual(state.head.policy.attempts);
        }
      }
    });
  });

  it('accepts commits only for this rollout and this sequence', () => {
    always(({ moments }) => {
      for (const { before, state, event } of moments) {
        for (const device of state.devices.values()) {
          if (device.state !== 'committed' || before.devices.get(device.name)!.state === 'committed')
            continue;
          expect(event).toMatchObject({
            ...{ type: 'reported', device: device.name },
            report: { state: 'COMMITTED', model: { sequence: 7 }, rollout: wishOf('ro_1', device.offer) },
          });
        }
      }
    });
  });

  it('restarts the measurements of a shadow when it is retried', () => {
    const shadow = { ms: 1000, minWindows: 10, maxDisagreement: '10%' };
    const run = new Run(begin({ waves: ['100%'], shadow }));
    const tell = (disagreements: number) => {
      for (const { name, asShadow } of [...run.state.devices.values()]) {
        const figures = { windows: 20, disagreements, active: side, candidate: side };
        const says = { device: name, state: 'SHADOW', sequence: 7, stale: false, error: false };
        if (asShadow) run.act({ do: 'report', ...says, shadow: figures });
      }
    };
    tell(9);
    expect(run.state.head).toMatchObject({ state: 'paused', reason: { code: 'AIOT_ROLLOUT_SHADOW' } });
    run.feed({ type: 'retry', who: 'ann' });
    expect(run.state.head).toMatchObject({ state: 'running', waves: [{ state: 'shadowing' }] });
    expect(run.state.head.waves[0]!.shadow).toMatchObject({ devices: 0, figures: null });
    tell(0);
    run.act({ do: 'wait', ms: 1000 });
    expect(run.state.head.waves[0]!.shadow).toMatchObject({ passed: true, figures: { disagreements: 0 } });
  });

  it('neither allows nor requests a commit in a wave before its shadow has passed', () => {
    let passed = 0;
    always(
      (run) => {
        oblige(run);
        for (const { before, state, step, event, at } of run.moments) {
          if (state.head.policy.shadow === null) continue;
          for (const { device, release: told, shadow } of step.wishes) {
            if (told === null || told === rollback) continue;
            const wave = state.head.waves[state.devices.get(device)!.wave]!;
            expect(shadow === undefined).toBe(wave.shadow?.passed);
            if (shadow) expect(shadows(device)).toBe(true);
          }
          for (const device of state.devices.values()) {
            if (device.state !== 'committed') continue;
            expect(state.head.waves[device.wave]!.shadow?.passed).toBe(true);
          }
          state.head.waves.forEach((wave, index) => {
            if (!wave.shadow?.passed || before.head.waves[index]!.shadow?.passed) return;
            if (event.type === 'resume') return;
            const { figures, from } = wave.shadow;
            // No device is left to measure, because all have ended or are rolled back with the rollout that this
            // caused to end.
            const { withdrawn, failed, missed, rolledBack, restoring, restored } = wave.counts;
            if (withdrawn + failed + missed + rolledBack + restoring + restored === wave.devices) return;
            passed++;
            expect(at - from).toBeGreaterThanOrEqual(1000);
            expect(figures!.windows).toBeGreaterThanOrEqual(10);
            expect(figures!.disagreements).toBeLessThanOrEqual(figures!.windows / 10);
            expect(figures!.candidate.p95Ms).toBeLessThanOrEqual(1.5 * figures!.active.p95Ms);
          });
        }
      },
      300,
      300,
    );
    expect(passed).toBeGreaterThan(20);
  });

  it('ignores reports that it has already received', () => {
    always(({ moments }) => {
      for (const { before, event, state, at } of moments) {
        if (event.type !== 'reported' || rolloutHasEnded(state.head) || before.head.state === 'scheduled')
          continue;
        const again = rolloutStep(state, [event], { at, online: () => true, shadows });
        const own = again.changed.find(({ name }) => name === event.device);
        // A retry that is due immediately is a new offer, so a report on the previous one is stale.
        if (own && own.offer === state.devices.get(event.device)!.offer) {
          expect(own).toEqual(state.devices.get(event.device));
        }
      }
    }, 150);
  });

  it('counts a failure once, however often and late it is reported', () => {
    const run = new Run(begin({ waves: ['100%'], attempts: 2, backoffMs: 100, deadlineMs: 2000 }));
    const says = { do: 'report' as const, device: 'd0', sequence: 7, stale: false };
    const refuse = (state: string) => run.act({ ...says, state, error: true });
    const device = () => run.state.devices.get('d0')!;
    run.act({ ...says, state: 'VERIFYING', error: false });
    refuse('IDLE');
    const once = device();
    expect(once).toMatchObject({ state: 'pending', attempts: 1, retryAt: 100 });
    run.at = 50;
    for (const state of ['IDLE', 'ROLLED_BACK', 'IDLE']) refuse(state);
    expect(device()).toEqual(once);
    run.act({ do: 'wait', ms: 50 });
    expect(device()).toMatchObject({ state: 'offered', attempts: 2 });
    // The device's last attempt is withdrawn while it is in progress, because another device stops the rollout.
    run.act({ ...says, state: 'VERIFYING', error: false });
    run.act({ ...says, device: 'd1', state: 'IDLE', error: true });
    run.act({ do: 'wait', ms: 100 });
    run.act({ ...says, device: 'd1', state: 'IDLE', error: true });
    expect(run.state.head.state).toBe('paused');
    for (const _ of [1, 2]) {
      refuse('IDLE');
      expect(device()).toMatchObject({ state: 'pending', attempts: 2 });
    }
  });

  it('ends once its devices do what is requested, whatever happened before', () => {
    always((run) => {
      oblige(run);
      expect(rolloutHasEnded(run.state.head), run.state.head.state).toBe(true);
      for (const { state } of run.state.devices.values()) expect(isEnd(state), state).toBe(true);
    });
  });

  it('ends the same way if the platform restarts from its saved state at any point', () => {
    // A state is plain data, and continuing requires nothing else.
    always(({ moments }) => {
      for (const { before, event, step, at } of moments.slice(0, 40)) {
        const saved: RolloutState = {
          head: JSON.parse(JSON.stringify(before.head)),
          devices: new Map(JSON.parse(JSON.stringify([...before.devices]))),
        };
        const online = () => true;
        const world = { at, online, shadows };
        const twice = [before, saved].map((state) => rolloutStep(state, [event], world));
        expect(twice[1]).toEqual(JSON.parse(JSON.stringify(twice[0])));
        expect(step.head.id).toBe('ro_1');
      }
    }, 50);
  });
});

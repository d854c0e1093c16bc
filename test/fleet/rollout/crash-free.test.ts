import { describe, expect, it } from 'vitest';
import { rolloutPolicySchema } from '../../../src/lib/api/rollouts/schema.js';
import { afterStep, rolloutStep } from '../../../src/lib/fleet/rollout/step.js';
import type { RolloutEvent, RolloutState } from '../../../src/lib/fleet/rollout/types.js';
import { startRollout } from '../../../src/lib/fleet/rollout/waves.js';
import { fc, runs } from '../../support/property.js';

const hourMs = 3_600_000;
const release = { kind: 'model' as const, name: 'har', version: 2, sequence: 7 };
const hang = { signature: '1a2b3c4d5e6f', reason: 'task radio hung' };

/** A rollout on 20 devices in two waves, with a clock that the test moves. Time is in hours since its start. */
function begun(crashFree: object, more: object = {}, current: readonly string[] = []) {
  const start = 1_000_000_000_000;
  const names = Array.from({ length: 20 }, (_, i) => `d${i}`);
  const away = new Map<string, number>();
  let at = start;
  let state: RolloutState = startRollout({
    ...{ id: 'ro_1', releases: [release], rollback: null, selector: 'all', by: 'ann', created: at },
    ...{ devices: names, current },
    policy: rolloutPolicySchema.parse({ waves: [10], maxFailures: 0, crashFree, ...more }),
  });
  const happen = (...events: RolloutEvent[]) => {
    const world = {
      at,
      online: (name: string) => !away.has(name),
      seen: (name: string) => away.get(name) ?? null,
    };
    state = afterStep(state, rolloutStep(state, events, world));
  };
  const self = {
    names,
    happen,
    /** Moves the clock, one hour or less at a time. */
    wait(hours: number) {
      for (let left = hours; left > 0; left--) {
        at += Math.min(1, left) * hourMs;
        happen({ type: 'tick' });
      }
    },
    /** As if the platform had been stopped for these hours: the rollout only notices the later time. */
    stop(hours: number) {
      at += hours * hourMs;
      happen({ type: 'tick' });
    },
    commit(from: number, to: number) {
      for (const device of names.slice(from, to))
        happen({
          type: 'reported',
          device,
          report: { rollout: 'ro_1', kind: 'model', state: 'COMMITTED', error: null, model: { sequence: 7 } },
        });
    },
    crash(device: string, cause = hang, t: number | null = null) {
      happen({ type: 'crashed', device, t, cause });
    },
    leave: (device: string) => away.set(device, at),
    comeBack: (device: string) => away.delete(device),
    /** As if the platform had restarted: the state is read from its stored form. */
    restart: () => {
      const { head, devices } = JSON.parse(
        JSON.stringify({ head: state.head, devices: [...state.devices] }),
      ) as {
        head: RolloutState['head'];
        devices: [string, never][];
      };
      state = { head, devices: new Map(devices) };
    },
    now: () => [state.head.state, ...state.head.waves.map((wave) => wave.state)],
    reason: () => state.head.reason,
    hours: () => (state.head.crashes?.deviceMs ?? 0) / hourMs,
    state: () => state,
    at: () => at,
  };
  happen({ type: 'tick' });
  return self;
}

describe('a rollout with a minimum share of device-hours without a crash', () => {
  it('opens the next wave only after the minimum of device-hours, and judges the last wave too', () => {
    const rollout = begun({ min: '99%', minHours: 100 });
    rollout.commit(0, 10);
    rollout.wait(9);
    expect([rollout.now(), rollout.hours()]).toEqual([['running', 'soaking', 'waiting'], 90]);
    rollout.wait(1);
    expect(rollout.now()).toEqual(['running', 'passed', 'open']);
    rollout.commit(10, 20);
    rollout.wait(1);
    expect(rollout.now()).toEqual(['done', 'passed', 'passed']);
  });

  it('tolerates as many crashed hours as the share allows, and pauses with the most frequent signature', () => {
    const rollout = begun({ min: '99%', minHours: 200 });
    rollout.commit(0, 10);
    rollout.wait(1);
    rollout.crash('d0');
    rollout.crash('d1', { signature: 'ffffffffffff', reason: 'out of memory' });
    // Further crashes of a device in the same hour do not count.
    rollout.crash('d0');
    expect(rollout.now()).toEqual(['running', 'soaking', 'waiting']);
    rollout.wait(1);
    rollout.crash('d0');
    expect(rollout.now()).toEqual(['paused', 'stopped', 'waiting']);
    expect(rollout.reason()).toEqual({
      code: 'AIOT_ROLLOUT_CRASHES',
      message:
        '3 device-hours had crashes, but at most 2 of 200 may (99% must be free of crashes); mostly 1a2b3c4d5e6f (task radio hung)',
    });
  });

  it('counts all hours beyond the minimum, at the time of the crash', () => {
    const rollout = begun({ min: '99%', minHours: 100 }, { soakMs: 50 * hourMs });
    rollout.commit(0, 10);
    rollout.wait(29.99);
    for (const device of ['d0', 'd1']) rollout.crash(device);
    expect(rollout.now()[0]).toBe('running');
    rollout.crash('d2');
    expect(rollout.reason()?.message).toContain('3 device-hours had crashes, but at most 2 of 299 may');
    const later = begun({ min: '99%', minHours: 100 }, { soakMs: 50 * hourMs });
    later.commit(0, 10);
    later.wait(30);
    for (const device of ['d0', 'd1', 'd2']) later.crash(device);
    expect(later.now()[0]).toBe('running');
  });

  it('counts an offline device until it was last connected, and earlier crashes that it reports later', () => {
    const rollout = begun({ min: '50%', minHours: 30 }, { minSuccess: 0 });
    rollout.commit(0, 10);
    rollout.wait(2);
    for (const device of rollout.names.slice(1, 10)) rollout.leave(device);
    rollout.wait(5);
    expect(rollout.hours()).toBe(7 + 9 * 2);
    const earlier = rollout.at() - 4 * hourMs;
    rollout.crash('d0', hang, earlier);
    rollout.crash('d0', hang, earlier);
    rollout.crash('d0', hang, rollout.at());
    expect(rollout.state().devices.get('d0')?.crashHours).toEqual([3, 7]);
    expect(rollout.state().head.crashes?.crashed).toBe(2);
  });

  it('never counts the time in which a device was offline, nor a longer stop of the platform', () => {
    const rollout = begun({ min: '99%', minHours: 100 });
    rollout.commit(0, 10);
    rollout.wait(2);
    for (const device of rollout.names.slice(0, 9)) rollout.leave(device);
    rollout.wait(50);
    for (const device of rollout.names) rollout.comeBack(device);
    expect([rollout.now()[1], rollout.hours()]).toEqual(['soaking', 9 * 2 + 52]);
    rollout.stop(8);
    expect([rollout.now()[1], rollout.hours()]).toEqual(['soaking', 80]);
    rollout.wait(2);
    expect(rollout.now()[1]).toBe('passed');
  });

  it('does not wait for hours if no device of a wave needs the update', () => {
    const names = Array.from({ length: 20 }, (_, i) => `d${i}`);
    const rollout = begun({ min: '99%', minHours: 100 }, {}, names.slice(0, 10));
    rollout.wait(0.01);
    expect(rollout.now()).toEqual(['running', 'passed', 'open']);
    rollout.commit(10, 20);
    rollout.wait(5);
    expect([rollout.now()[0], rollout.hours()]).toEqual(['running', 50]);
    rollout.wait(5);
    expect(rollout.now()[0]).toBe('done');
    const all = begun({ min: '99%', minHours: 100 }, {}, names);
    all.wait(0.01);
    expect(all.now()[0]).toBe('done');
  });

  it('keeps its counts over a restart of the platform', () => {
    const rollout = begun({ min: '99%', minHours: 100 });
    rollout.commit(0, 10);
    rollout.wait(5);
    rollout.crash('d3');
    rollout.restart();
    // The platform does not know yet when the devices were last connected.
    for (const device of rollout.names) rollout.leave(device);
    rollout.crash('d3');
    expect([rollout.now()[0], rollout.hours()]).toEqual(['running', 50]);
    rollout.crash('d4');
    expect(rollout.now()[0]).toBe('paused');
  });

  it('continues after a resume, which accepts the crashes so far and opens the next wave', () => {
    const rollout = begun({ min: '100%', minHours: 1000 });
    rollout.commit(0, 10);
    rollout.crash('d0');
    expect(rollout.now()).toEqual(['paused', 'stopped', 'waiting']);
    rollout.happen({ type: 'resume', who: 'ann' });
    expect(rollout.now()).toEqual(['running', 'passed', 'open']);
    rollout.crash('d1');
    expect(rollout.reason()?.message).toContain('1 device-hour had crashes since the rollout was continued');
  });

  it('does not count crashes towards the failed devices', () => {
    const rollout = begun({ min: '10%', minHours: 1 });
    rollout.commit(0, 9);
    // Crashes are below the limit of hours, and no failed device is allowed.
    rollout.happen({
      type: 'reported',
      device: 'd9',
      report: { rollout: 'ro_1', kind: 'model', state: 'ROLLED_BACK', error: null, model: { sequence: 6 } },
    });
    expect(rollout.reason()?.code).toBe('AIOT_ROLLOUT_FAILURES');
    const other = begun({ min: '10%', minHours: 10 });
    other.commit(0, 10);
    for (const device of other.names.slice(0, 5)) other.crash(device);
    expect(other.now()[0]).toBe('running');
  });

  it('never runs on with more crashed hours than allowed, nor opens a wave before the minimum', () => {
    const act = fc.oneof(
      fc.record({ wait: fc.constantFrom(0.1, 1, 3) }),
      fc.record({ crash: fc.integer({ min: 0, max: 19 }), ago: fc.constantFrom(null, 0, 2, 9) }),
      fc.record({ commit: fc.integer({ min: 0, max: 19 }) }),
      fc.record({ leave: fc.integer({ min: 0, max: 19 }) }),
    );
    const limits = fc.record({
      min: fc.constantFrom('0%', '90%', '97.5%', '99.5%', '100%'),
      minHours: fc.constantFrom(1, 20, 60),
    });
    const property = fc.property(limits, fc.array(act, { maxLength: 40 }), (crashFree, acts) => {
      const rollout = begun(crashFree);
      const share = Number.parseFloat(crashFree.min) / 100;
      for (const act of acts) {
        if ('wait' in act) rollout.wait(act.wait);
        if ('commit' in act) rollout.commit(act.commit, act.commit + 1);
        if ('leave' in act) rollout.leave(rollout.names[act.leave]!);
        if ('crash' in act)
          rollout.crash(
            rollout.names[act.crash]!,
            hang,
            act.ago === null ? null : rollout.at() - act.ago * hourMs,
          );
        const { head, devices } = rollout.state();
        const crashed = [...devices.values()].reduce((sum, each) => sum + (each.crashHours?.length ?? 0), 0);
        expect(head.crashes?.crashed ?? 0).toBe(crashed);
        const judged = Math.max(crashFree.minHours, rollout.hours());
        if (head.state === 'running') expect(crashed).toBeLessThanOrEqual((1 - share) * judged + 1e-6);
        if (head.wave > 0) expect(rollout.hours()).toBeGreaterThanOrEqual(crashFree.minHours);
      }
    });
    fc.assert(property, { numRuns: runs(200, 40) });
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  hasEnded,
  type RolloutEvent,
  type RolloutState,
  rolloutStep,
  startRollout,
} from '../../src/lib/fleet/index.js';

const id = 'ro_1';
const deadline = 1000;
const names = ['a', 'b', 'c'];

const report = fc.record({
  rollout: fc.constantFrom(id, 'ro_other', null),
  state: fc.constantFrom('IDLE', 'DOWNLOADING', 'VERIFYING', 'STAGED', 'TRIAL', 'COMMITTED', 'ROLLED_BACK'),
  model: fc.constantFrom(null, { sequence: 7 }, { sequence: 6 }),
  error: fc.constantFrom(null, { code: 'AIOT_X', message: 'no' }),
});
const device = fc.constantFrom(...names, 'stranger');
const at = fc.integer({ min: 0, max: 1500 });
const event: fc.Arbitrary<RolloutEvent> = fc.oneof(
  fc.record({ type: fc.constant('offered' as const), device, at }),
  fc.record({ type: fc.constant('reported' as const), device, at, report }),
  fc.record({ type: fc.constantFrom('superseded' as const, 'revoked' as const), device, at }),
  fc.record({ type: fc.constant('tick' as const), at }),
);

function start(devices = names): RolloutState {
  const model = { name: 'har', version: 2 };
  return startRollout({
    id,
    kind: 'model',
    model,
    sequence: 7,
    selector: 'all',
    devices,
    created: 0,
    deadline,
  }).state;
}

/** Every state on the way, and all effects. */
function run(events: RolloutEvent[]) {
  const states = [start()];
  const effects = events.flatMap((event) => {
    const step = rolloutStep(states.at(-1) as RolloutState, event);
    states.push(step.state);
    return step.effects;
  });
  return { states, last: states.at(-1) as RolloutState, effects };
}

describe('a one-wave rollout, whatever comes', () => {
  const events = fc.array(event, { maxLength: 60 });

  it('keeps its devices, and never changes one that has ended', () => {
    fc.assert(
      fc.property(events, (list) => {
        const { states } = run(list);
        states.forEach((state, i) => {
          expect(state.devices.map(({ name }) => name)).toEqual(names);
          const before = states[i - 1];
          before?.devices.forEach((device, d) => {
            if (hasEnded(device)) expect(state.devices[d]).toBe(device);
          });
        });
      }),
    );
  });

  it('runs exactly as long as a device has not ended, and ends once', () => {
    fc.assert(
      fc.property(events, (list) => {
        const { states, last, effects } = run(list);
        for (const state of states) {
          expect(state.state === 'running').toBe(!state.devices.every(hasEnded));
          expect(state.ended === null).toBe(state.state === 'running');
        }
        const all = last.devices.every(({ state }) => state === 'committed');
        expect(last.state === 'done').toBe(all);
        expect(effects.filter(({ type }) => type === 'ended')).toHaveLength(last.state === 'running' ? 0 : 1);
      }),
    );
  });

  it('has ended for every device after its deadline', () => {
    fc.assert(
      fc.property(events, (list) => {
        expect(run([...list, { type: 'tick', at: deadline }]).last.devices.every(hasEnded)).toBe(true);
      }),
    );
  });

  it('believes a commit only for this rollout and this sequence', () => {
    fc.assert(
      fc.property(events, (list) => {
        for (const { name, state } of run(list).last.devices) {
          if (state !== 'committed') continue;
          const said = list.some(
            (event) =>
              event.type === 'reported' &&
              event.device === name &&
              event.report.rollout === id &&
              event.report.state === 'COMMITTED' &&
              event.report.model?.sequence === 7,
          );
          expect(said).toBe(true);
        }
      }),
    );
  });

  it('comes to the same end when every message comes twice', () => {
    fc.assert(
      fc.property(events, (list) => {
        const twice = run(list.flatMap((event) => [event, event])).last;
        const ends = (state: RolloutState) => state.devices.map(({ state, error }) => ({ state, error }));
        expect(ends(twice)).toEqual(ends(run(list).last));
      }),
    );
  });

  it('takes the offer back from each device that did not take it, and from no other', () => {
    fc.assert(
      fc.property(events, (list) => {
        const { last, effects } = run(list);
        const withdrawn = effects.flatMap((effect) => (effect.type === 'withdraw' ? [effect.device] : []));
        const expected = last.devices.filter(
          ({ state, error }) =>
            (state === 'failed' || state === 'rolledBack') && error?.code !== 'AIOT_ROLLOUT_SUPERSEDED',
        );
        expect(withdrawn.sort()).toEqual(expected.map(({ name }) => name).sort());
      }),
    );
  });
});

describe('a rollout', () => {
  it.each([
    ['COMMITTED', { sequence: 7 }, null, 'committed'],
    ['COMMITTED', { sequence: 6 }, null, 'failed'],
    ['ROLLED_BACK', { sequence: 6 }, { code: 'AIOT_GOLDEN', message: 'no' }, 'rolledBack'],
    ['IDLE', null, { code: 'AIOT_SIGNATURE_INVALID', message: 'no' }, 'failed'],
    ['IDLE', null, null, 'offered'],
    ['DOWNLOADING', null, null, 'updating'],
  ])('takes %s with model %j and error %j as %s', (state, model, error, expected) => {
    const offered = rolloutStep(start(['a']), { type: 'offered', device: 'a', at: 1 }).state;
    const reported = { rollout: id, state, model, error };
    const after = rolloutStep(offered, { type: 'reported', device: 'a', at: 2, report: reported }).state;
    expect(after.devices[0]?.state).toBe(expected);
  });
});

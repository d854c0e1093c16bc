// Cost of the rollout engine itself, without devices, brokers and databases: memory of a rollout, and its CPU time from start to end.

import { rolloutPolicySchema } from '../../src/lib/api/rollouts/schema.js';
import { collectGarbage } from '../../src/lib/core/process.js';
import { afterStep, rolloutStep } from '../../src/lib/fleet/rollout/step.js';
import type { RolloutEvent, RolloutState } from '../../src/lib/fleet/rollout/types.js';
import { startRollout } from '../../src/lib/fleet/rollout/waves.js';

export interface EngineFigures {
  devices: number;
  /** Memory of the rollout's state at the start and after all devices have committed, bytes per device. */
  memory: { start: number; end: number };
  /** CPU time from the first offer to the last commit, µs per device. */
  cpu: number;
  committed: number;
}

/** The states that a device reports. */
const path = ['DOWNLOADING', 'VERIFYING', 'STAGED', 'TRIAL', 'COMMITTED'];
/** How often the platform runs the engine, ms. */
const tickMs = 250;

/** @param perSecond number of offers per second */
export function engineFigures(devices: number, perSecond: number): EngineFigures {
  const names = Array.from({ length: devices }, (_, i) => `sensor-${String(i).padStart(7, '0')}`);
  const release = { kind: 'model' as const, name: 'tiny', version: 2, sequence: 7 };
  const before = heap();
  let at = Date.UTC(2026, 0, 5);
  let state: RolloutState = startRollout({
    ...{ id: 'ro_scale', releases: [release], rollback: null, selector: 'all', by: 'bench', created: at },
    policy: rolloutPolicySchema.parse({ waves: ['1%', '10%', '50%'], perMinute: perSecond * 60 }),
    devices: names,
  });
  const start = heap() - before;
  let under: { name: string; wish: string; step: number }[] = [];
  const used = process.cpuUsage();
  const online = () => true;
  while (state.head.ended === null) {
    at += tickMs;
    const ticked = rolloutStep(state, [{ type: 'tick' }], { at, online });
    state = afterStep(state, ticked);
    const events = under.map(({ name, wish, step }): RolloutEvent => {
      const report = { rollout: wish, state: path[step]!, model: { sequence: 7 }, error: null };
      return { type: 'reported', device: name, report };
    });
    const step = rolloutStep(state, events, { at, online });
    state = afterStep(state, step);
    under = [
      ...under.map((one) => ({ ...one, step: one.step + 1 })).filter((one) => one.step < path.length),
      ...[...ticked.wishes, ...step.wishes].map(({ device, wish }) => ({ name: device, wish, step: 0 })),
    ];
  }
  const { user, system } = process.cpuUsage(used);
  const end = heap() - before;
  const committed = [...state.devices.values()].filter((device) => device.state === 'committed').length;
  return {
    ...{ devices, committed, cpu: (user + system) / devices },
    memory: { start: start / devices, end: end / devices },
  };
}

function heap(): number {
  collectGarbage();
  return process.memoryUsage().heapUsed;
}

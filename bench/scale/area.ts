// A rollout over a million simulated devices, described in docs/background/scale.md (npx tsx bench/scale/rollout.ts), and the cost of the
// engine itself. Devices and time are simulated; the engine and the devices' update state machine are real. The same seed yields the same
// traffic.
import type { Area, Bench } from '../harness/area.js';
import { exponent, type Figure, growth } from '../harness/figure.js';
import { engineFigures } from './engine.js';
import { simulatedRollout } from './rollout.js';

export const area: Area = {
  about: 'a simulated rollout to a million devices',
  cases: { rollout: { run: rollout }, engine: { run: engine } },
};

async function rollout({ quick }: Bench): Promise<Figure[]> {
  const [devices, rate] = [quick ? 20_000 : 1_000_000, 12_000];
  const { rehearsal, wrong, offersInMinute, peak } = await simulatedRollout(devices, rate);
  const { committed, failed, left } = rehearsal;
  const unaccounted = devices - committed - failed - left;
  return [
    {
      name: `devices of ${devices.toLocaleString('en')} that are unaccounted for`,
      unit: 'devices',
      ours: unaccounted,
      goal: 0,
    },
    { name: 'repeated or early offers', unit: 'offers', ours: wrong, goal: 0 },
    {
      ...{
        name: `offers in a minute at a rate of ${rate.toLocaleString('en')}`,
        unit: 'offers',
        slack: 1,
      },
      ...{ ours: offersInMinute, goal: rate + rate / 60 + 1, note: `${peak.offers} within a second` },
    },
  ];
}

/** The cost per device must not grow with the number of devices. */
function engine({ quick }: Bench): Figure[] {
  const sizes = quick ? [2000, 20_000] : [10_000, 100_000, 1_000_000];
  const all = sizes.map((size) => ({ size, ...engineFigures(size, Math.max(50, size / 5000)) }));
  const lost = all
    .filter(({ committed, size }) => committed !== size)
    .map(({ size }) => `of ${size} not all`);
  const memory = all.map(({ size, memory }) => ({ size, cost: memory.end * size }));
  const cpu = all.map(({ size, cpu }) => ({ size, cost: cpu * size }));
  if (lost.length > 0) throw new Error(lost.join(', '));
  return [
    { ...growth('engine, memory by devices', 1.1, memory, 'bytes'), ours: exponent(memory), slack: 1 },
    growth('engine, CPU time by devices', 1.25, cpu, 'µs'),
  ];
}

// A rollout over a million simulated devices, described in docs/background/scale.md (npx tsx bench/scale/rollout.ts), and the cost of the
// engine itself. Devices and time are simulated; the engine and the devices' update state machine are real. The same seed yields the same
// traffic.

import { startPostgres } from '../../test/support/postgres.js';
import type { Area, Bench } from '../harness/area.js';
import { exponent, type Figure, growth } from '../harness/figure.js';
import { parts } from '../harness/parts.js';
import { storedDevices } from './devices.js';
import { engineFigures } from './engine.js';
import { bigStep } from './replicas.js';
import { requestFigures } from './requests.js';
import { simulatedRollout } from './rollout.js';

export const area: Area = {
  about: 'a simulated rollout to a million devices',
  cases: {
    rollout: { run: rollout },
    engine: { run: engine },
    stored: { needs: [parts.postgres], run: stored },
    step: { needs: [parts.postgres], run: step },
    requests: { needs: [parts.postgres], run: requests },
  },
};

/** For the slowest of a hundred calls in a quick run, because one call that waits for other programs' time slices decides it. */
const busySlack = 20;

/** Lists and selectors on devices stored in PostgreSQL. A quick run has as many devices as one platform of the documents at most. */
async function stored({ quick, folder }: Bench): Promise<Figure[]> {
  const count = quick ? 50_000 : 1_000_000;
  const server = await startPostgres();
  try {
    const found = await storedDevices(count, 100, folder(), await server.database());
    const reads = found.timed.filter(({ isRead }) => isRead);
    const slowest = reads.reduce((a, b) => (b.p99 > a.p99 ? b : a));
    const told = found.timed.map(({ what, p99 }) => `${what}: ${p99.toFixed(1)} ms`).join(', ');
    const of = `${count.toLocaleString('en')} devices`;
    return [
      {
        ...{ name: `${of}: slowest list or selector, p99`, unit: 'ms', ours: slowest.p99, goal: 200 },
        ...{ slack: busySlack },
        note: `${slowest.what}; all p99: ${told}`,
      },
      { name: `${of}: heap by device`, unit: 'bytes', ours: found.bytes, goal: 2000 },
      {
        ...{ name: `${of}: read at startup`, unit: 's', ours: found.read, goal: 120 },
        note: `${found.memory.toFixed(0)} MB in total, peak ${found.peak.toFixed(0)} MB`,
      },
    ];
  } finally {
    await server.stop();
  }
}

/** The steps of a rollout that offers a release to 10,000 devices at once, and takes in their reports. */
async function step({ quick }: Bench): Promise<Figure[]> {
  const devices = quick ? 2000 : 10_000;
  const server = await startPostgres();
  try {
    const rounds = [];
    for (let i = 0; i < (quick ? 1 : 5); i++) rounds.push(await bigStep(server, devices));
    const of = `rollout to ${devices.toLocaleString('en')} devices`;
    return [
      { name: `${of}: offers`, unit: 's', ours: rounds.map(({ offered }) => offered), goal: 5 },
      { name: `${of}: reports`, unit: 's', ours: rounds.map(({ committed }) => committed), goal: 5 },
    ];
  } finally {
    await server.stop();
  }
}

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

/** Requests to the API at a fixed rate: most for one device, the others for lists, selectors, states and changed tags. */
async function requests({ quick, folder }: Bench): Promise<Figure[]> {
  const [devices, rate, seconds] = quick ? [10_000, 100, 10] : [1_000_000, 500, 60];
  const found = await requestFigures({ folder: folder(), devices, rate, seconds });
  const { cores, failed, memory } = found;
  const told = Object.entries(cores).map(([name, share]) => `${name} ${share.toFixed(2)}`);
  const slow = Object.entries(found.kinds).map(([kind, { p99 }]) => `${kind} ${p99.toFixed(0)} ms`);
  const of = `${rate} requests/s, ${devices.toLocaleString('en')} devices`;
  return [
    {
      ...{ name: `${of}: responses`, unit: '/s', better: 'higher', ours: found.rate, goal: rate * 0.99 },
      note: `cores: ${told.join(', ')}; ${memory.toFixed(0)} MB`,
      ...(failed > 0 ? { fails: `${failed} requests failed` } : {}),
    },
    {
      ...{ name: `${of}: p99`, unit: 'ms', ours: found.p99, goal: 200, slack: busySlack },
      note: slow.join(', '),
    },
    // Two cores for 500 requests per second.
    { name: `${of}: CPU of platform and database for each`, unit: 'ms', ours: found.cpuMs, goal: 4 },
  ];
}

// Fleets of simulated devices, each with a TCP connection to a platform in another process, a tenth of them with certificates. Cases: a
// rollout in five waves, a rollout that pauses itself, simultaneous downloads of one blob, and queries over many stored devices.
import type { Area, Bench } from '../harness/area.js';
import { type Figure, growth } from '../harness/figure.js';
import { parts, versionOf } from '../harness/parts.js';
import { blobFigures } from './blob.js';
import { type RolloutFigures, rolloutFigures } from './rollout.js';
import { storedFigures } from './stored.js';

export const area: Area = {
  about: 'rollouts to a fleet, simultaneous downloads, many stored devices',
  cases: {
    rollout: { run: rollout },
    stops: { run: stops },
    blob: { peer: 'nginx', needs: [parts.nginx], run: blob },
    stored: { run: stored },
  },
};

async function rollout(bench: Bench): Promise<Figure[]> {
  const all: RolloutFigures[] = [];
  for (const devices of bench.quick ? [100, 1000] : [100, 1000, 10_000])
    all.push(await rolloutFigures({ folder: bench.folder(), devices, rigged: 0 }));
  const last = all.at(-1)!;
  const what = `${last.devices.toLocaleString('en')} devices`;
  const committed = last.waves.reduce((sum, wave) => sum + wave.committed, 0);
  const whole = last.state === 'done' && last.running === last.devices && last.waves.length === 5;
  return [
    {
      ...{ name: `${what}, not committed or lost`, unit: 'devices', goal: 0 },
      ours: last.devices - committed + last.lost,
      ...(whole
        ? {}
        : { fails: `the rollout is ${last.state}, and ${last.running} devices run the version` }),
    },
    {
      ...{
        name: `${what}, messages during the rollout`,
        unit: '/s',
        better: 'higher',
        goal: 2500,
        slack: 4,
      },
      ours: last.messages / last.seconds,
    },
    {
      ...{ name: `${what}, the fleet's memory`, unit: 'MB', ours: last.memory.fleet, goal: 450, slack: 1 },
      note: `the platform ${Math.round(last.memory.platform)} MB`,
    },
    growth(
      "rollout, devices, the platform's CPU time",
      1.1,
      all.map(({ devices, cpu }) => ({ size: devices, cost: Math.max(cpu.platform, 0.01) })),
      'processor s',
    ),
  ];
}

/** A rollout that stops itself: one in fifty devices of the second wave is rigged to fail, and the limit is one in a hundred. */
async function stops(bench: Bench): Promise<Figure[]> {
  const devices = bench.quick ? 500 : 10_000;
  const { waves, state, running, seconds, rigged } = await rolloutFigures({
    ...{ folder: bench.folder(), devices, rigged: 0.02 },
  });
  const most = waves.slice(0, 2).reduce((sum, wave) => sum + wave.devices, 0);
  const stopped = waves.findIndex((wave) => wave.state === 'stopped') + 1;
  return [
    {
      ...{
        name: `devices of ${devices.toLocaleString('en')} that run a bad version when the rollout stops`,
        unit: 'devices',
      },
      ...{
        ours: running,
        goal: most,
        slack: 1,
        note: `${rigged} of them faulty; stopped after ${seconds.toFixed(1)} s`,
      },
      ...(state === 'paused' && stopped === 2 ? {} : { fails: `the rollout is ${state} in wave ${stopped}` }),
    },
  ];
}

/** Many connections request the same blob simultaneously. */
async function blob(bench: Bench): Promise<Figure[]> {
  const size = { clients: bench.quick ? 200 : 1000, bytes: 1024 ** 2, rounds: bench.quick ? 2 : 5 };
  const { clients, ours, theirs, before, most } = await blobFigures({ folder: bench.folder(), ...size });
  const peer = { name: 'nginx', version: versionOf('nginx', '-v'), rounds: theirs };
  return [
    { name: `1 MiB to ${clients} at once`, unit: 's', ours, peer, goal: 2 },
    {
      ...{ name: 'memory per client', unit: 'kB', goal: 300, slack: 1 },
      ours: ((most - before) * 1024) / clients,
    },
  ];
}

/** The queries of `aiot rollout show` and `aiot device list --selector`. */
async function stored(bench: Bench): Promise<Figure[]> {
  const all = [];
  for (const devices of bench.quick ? [1000, 10_000] : [1000, 10_000, 100_000])
    all.push(await storedFigures(bench.folder(), devices));
  const last = all.at(-1)!;
  const of = `${last.devices.toLocaleString('en')} stored`;
  const slowest = all.map(({ devices, figures }) => ({
    size: devices,
    cost: Math.max(...figures.map(({ p50 }) => p50)),
  }));
  return [
    ...last.figures.map(({ what, p50 }) => ({
      name: `${what}, ${of}, p50`,
      unit: 'ms',
      ours: p50,
      goal: 100,
    })),
    growth('slowest query, devices stored', 1.1, slowest, 'ms'),
  ];
}

// The loop, with the har-imu template at 100 Hz and a prediction every 0.2 s: latency, CPU use and memory use, on a full core and
// on a quarter of one. Also runs a week of a simulated sensor, and a fast sensor. The features are compared with the original's
// extractor in `models`.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import type { Area, Bench } from '../harness/area.js';
import { type Figure, growth } from '../harness/figure.js';
import { root } from '../harness/process.js';
import { canLimit, runLive } from './live.js';
import { type Inputs, makeProject } from './project.js';

export const area: Area = {
  about: 'predictions from a sensor: latency, cost, losses',
  cases: { live: { run: live }, quarter: { run: quarter }, week: { run: week }, fast: { run: fast } },
};

const unitless = { unit: 'samples', goal: 0 } as const;

/** Time from a window's last sample to the delivery of its prediction to the outputs, and the CPU time and memory of the process. */
async function live(bench: Bench): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const inputs of bench.quick ? (['motion'] as const) : (['motion', 'raw'] as const)) {
    const project = projectOf(bench, inputs);
    const { p50, p99, lost, windows, cpu, memory } = await runLive(project, bench.quick ? 8 : 40, 1);
    const what = `${inputs} inputs, two cores`;
    figures.push(
      {
        name: `${what}, latency p99`,
        unit: 'ms',
        ours: p99,
        goal: 10,
        note: `p50 ${p50.toFixed(2)} ms, ${windows} answers`,
      },
      { name: `${what}, CPU`, unit: '% of a core', ours: cpu * 100, goal: 3 },
      { name: `${what}, memory`, unit: 'MB', ours: memory, goal: 150, slack: 1 },
      { ...unitless, name: `${what}, lost`, ours: lost },
    );
  }
  return figures;
}

async function quarter(bench: Bench): Promise<Figure[]> {
  if (!canLimit()) throw new Error('needs permission to create a control group, such as root');
  const project = projectOf(bench, 'motion');
  const { p50, p99, lost } = await (bench.quick ? runLive(project, 16, 0.25, 6) : runLive(project, 60, 0.25));
  const what = 'motion inputs, a quarter of a core';
  return [
    { name: `${what}, latency p99`, unit: 'ms', ours: p99, goal: 40, note: `p50 ${p50.toFixed(2)} ms` },
    { ...unitless, name: `${what}, lost`, ours: lost },
  ];
}

/** Runs a week of the template's sensor, or some hours in a quick run. */
async function week(bench: Bench): Promise<Figure[]> {
  const project = projectOf(bench, 'motion');
  const hours = bench.quick ? 3 : 7 * 24;
  const { samples, lost, seconds, memory } = soak(project, hours);
  // Memory that is allocated for startup and for compiled code does not count as growth.
  const [early = 0, late = 0] = [memory[2], memory.at(-1)];
  const what = `${hours} h of the sensor`;
  const points = (bench.quick ? [0.3] : [1, 10]).map((size) => ({ size, cost: soak(project, size).seconds }));
  return [
    {
      ...unitless,
      name: `${what}, lost`,
      ours: lost,
      note: `${samples.toLocaleString('en')} samples in ${seconds.toFixed(0)} s`,
    },
    { name: `${what}, memory at the end`, unit: 'MB', ours: late, goal: 150, slack: 1 },
    {
      name: `${what}, memory growth after three tenths`,
      unit: 'MB',
      ours: Math.max(0, late - early),
      goal: 10,
    },
    growth('loop, hours of the sensor', 1.1, [...points, { size: hours, cost: seconds }]),
  ];
}

/** Reads a sensor at 1.6 kHz from its chip's FIFO, through the registers. */
async function fast(bench: Bench): Promise<Figure[]> {
  const hours = bench.quick ? 0.05 : 1;
  const sensor = 'i2c://sim/lsm6ds3tr-c?rate=1666&gyro=off&selftest=off&map=x:ax,y:ay,z:az';
  const { samples, lost, gaps, seconds } = soak(projectOf(bench, 'motion'), hours, sensor);
  const few = samples <= hours * 3600 * 1600 ? { fails: `only ${samples} samples` } : {};
  const note = `${samples.toLocaleString('en')} samples in ${seconds.toFixed(0)} s`;
  return [{ ...unitless, name: `1.6 kHz for ${hours * 60} min, lost`, ours: lost + gaps, note, ...few }];
}

const projects = new Map<Inputs, string>();

/** All cases share one project, because creating it takes seconds. The model that it trains is stored in the benchmark's own cache. */
function projectOf(bench: Bench, inputs: Inputs): string {
  process.env.XDG_CACHE_HOME ??= bench.folder();
  const project = projects.get(inputs) ?? makeProject(bench.folder(), inputs);
  projects.set(inputs, project);
  return project;
}

interface Soaked {
  samples: number;
  lost: number;
  gaps: number;
  windows: number;
  seconds: number;
  /** Memory after each tenth of the run, 10⁶ bytes. */
  memory: number[];
}

function soak(dir: string, hours: number, sensor?: string): Soaked {
  const args = [join(root, 'bench', 'loop', 'soak.mjs'), dir, String(hours)];
  const { stdout, stderr, status } = spawnSync(process.execPath, sensor ? [...args, sensor] : args, {
    cwd: root,
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout) as Soaked;
}

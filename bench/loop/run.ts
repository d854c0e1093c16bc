// The loop: how soon it answers and what it costs, alone on two cores and on a quarter of one; a week of a simulated sensor; a fast
// one; and its features against the original's extractor in Python.
//
//   npm run bench:loop [-- --short] [-- --only CASE,CASE]
//
// The exit code is 1 when a limit is broken, 2 when a peer is missing. The short form takes less time, and bears what else the machine
// does: twice the limit.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { machine, root } from '../models/measure.js';
import { compareExtractors, extractorPython } from './extractor.js';
import { canLimit, runLive } from './live.js';
import { makeProject } from './project.js';

const { values } = parseArgs({ options: { short: { type: 'boolean' }, only: { type: 'string' } } });
const { short = false } = values;
const folder = mkdtempSync(join(tmpdir(), 'aiot-bench-'));
process.env.XDG_CACHE_HOME = join(folder, 'cache');
process.env.AIOT_CONFIG_DIR = join(folder, 'config');
process.env.AIOT_DATA_DIR = join(folder, 'data');
const allowance = short ? 2 : 1;
let broken = 0;

const cases: Record<string, () => Promise<void>> = { live, quarter, week, fast, extractor };
const wanted = values.only?.split(',') ?? Object.keys(cases);
const unknown = wanted.filter((name) => !Object.hasOwn(cases, name));
if (unknown.length > 0) leave(`no case ${unknown.join(', ')}; there are ${Object.keys(cases).join(', ')}`);
if (!existsSync(extractorPython)) leave('no Python to compare with; scripts/python-envs.sh makes it');
try {
  console.log(`${machine()}; har-imu at 100 Hz, an answer every 0.2 s`);
  for (const name of wanted) await cases[name]!();
} finally {
  rmSync(folder, { recursive: true, force: true });
}
process.exit(broken > 0 ? 1 : 0);

/** From a window's last sample to its answer, and what the process costs. */
async function live(): Promise<void> {
  for (const inputs of ['motion', 'raw'] as const) {
    const { p50, p99, lost, windows, cpu, memory } = await runLive(
      makeProject(folder, inputs),
      short ? 12 : 40,
      1,
    );
    say(
      cpu * 100 < 3 * allowance && memory < 150 && lost === 0,
      `${inputs} inputs, two cores: ${windows} answers, latency p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms; ${(cpu * 100).toFixed(1)} % of a core (limit 3), ${memory.toFixed(0)} MB (limit 150), ${lost} samples lost`,
    );
  }
}

async function quarter(): Promise<void> {
  if (!canLimit()) {
    console.log('skipped a quarter of a core: this process may make no control group');
    return;
  }
  for (const inputs of short ? (['motion'] as const) : (['motion', 'raw'] as const)) {
    const { p50, p99, lost, windows } = await runLive(makeProject(folder, inputs), short ? 25 : 60, 0.25);
    say(
      lost === 0,
      `${inputs} inputs, a quarter of a core: ${windows} answers, latency p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms, ${lost} samples lost`,
    );
  }
}

/** A week, or some hours, of the template's sensor through the registers of its chip. */
async function week(): Promise<void> {
  const hours = short ? 6 : 7 * 24;
  const { samples, lost, windows, seconds, memory } = soak(makeProject(folder, 'motion'), hours);
  // What is allocated and compiled in the beginning is no growth.
  const [early = 0, late = 0] = [memory[2], memory.at(-1)];
  say(
    lost === 0 && late < 150 && late - early < 10,
    `${hours} h in ${seconds.toFixed(0)} s: ${samples} samples, ${lost} lost, ${windows} answers; ${early.toFixed(0)} MB after three tenths, ${late.toFixed(0)} MB at the end (limits 150, and 10 more)`,
  );
}

/** 1.6 kHz from the FIFO, through its registers. */
async function fast(): Promise<void> {
  const hours = short ? 0.05 : 1;
  const sensor = 'i2c://sim/lsm6ds3tr-c?rate=1666&gyro=off&selftest=off&map=x:ax,y:ay,z:az';
  const { samples, lost, gaps, seconds } = soak(makeProject(folder, 'motion'), hours, sensor);
  say(
    lost === 0 && gaps === 0 && samples > hours * 3600 * 1600,
    `1.6 kHz for ${hours * 60} min in ${seconds.toFixed(0)} s: ${samples} samples, ${lost} lost`,
  );
}

interface Soaked {
  samples: number;
  lost: number;
  gaps: number;
  windows: number;
  seconds: number;
  /** 10⁶ bytes, after each tenth. */
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

async function extractor(): Promise<void> {
  const { ours, theirs, windows, worst } = compareExtractors(folder);
  say(
    ours * 8 < theirs * allowance && worst < 1e-4,
    `115 features to the text sent, median of ${windows} windows: aiot ${ours.toFixed(2)} ms, Python ${theirs.toFixed(2)} ms; ×${(theirs / ours).toFixed(0)} as fast, at least ×8; features agree to ${worst.toExponential(0)}`,
  );
}

function say(kept: boolean, text: string): void {
  if (!kept) broken += 1;
  console.log(`${kept ? 'kept  ' : 'BROKEN'} ${text}`);
}

function leave(message: string): never {
  console.error(message);
  process.exit(2);
}

import { spawn } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { tidyAtEnd } from '../../bench/harness/tidy.js';
import { parseDuration } from '../../src/lib/core/time.js';
import { Servers } from '../servers.js';
import { courseOf, quantile, type Sample, type Tolerance } from './judge.js';
import { filesBelow, lookAt, type Soaked, startAll } from './parts.js';

const usage = `npm run soak -- [--for TIME] [--devices N] [--leak]

  --for TIME     duration; in an hour, a week's messages are sent [default: 60m]
  --devices N    number of connected simulated devices [default: 1000]
  --leak         measure a leaking process instead, which must be reported

A table on stderr; the last line on stdout is {seconds, acknowledged, figures, violations}. Exit code 1: a value grew too much.`;

/** A thousand devices with a message every ten minutes, and a pipeline run every hour, for a week. */
const week = { messages: 1_008_000, runs: 168, ms: 3_600_000 };
const samplesInAll = 60;

const { values } = parseArgs({
  options: {
    for: { type: 'string', default: '60m' },
    devices: { type: 'string', default: '1000' },
    leak: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
const say = (line: string) => void process.stderr.write(`${line}\n`);
if (values.help) say(usage);
else process.exitCode = await run();

async function run(): Promise<number> {
  const forMs = parseDuration(values.for);
  // A program warms up during its first minutes, so runs shorter than ten minutes have a larger tolerance.
  const short = forMs < 600_000;
  const tolerances: Record<string, Tolerance> = {
    memory: { share: short ? 0.5 : 0.1, atLeast: short ? 64 : 16 },
    handles: { share: 0.02, atLeast: short ? 16 : 8 },
    // Each pipeline run adds files until the history reaches its limit.
    files: { share: short ? 10 : 0.02, atLeast: 16 },
    p50: { share: 1, atLeast: short ? 50 : 5 },
    p99: { share: 1, atLeast: short ? 500 : 50 },
  };
  const folder = mkdtempSync(join(tmpdir(), 'aiot-soak-'));
  tidyAtEnd(folder);
  const servers = new Servers();
  const violations: { invariant: string; detail: string }[] = [];
  const report = (invariant: string, detail: string) => void violations.push({ invariant, detail });
  const amount = {
    ...{ devices: Number(values.devices), forMs },
    ...{
      messages: (week.messages * 1000) / week.ms,
      runs: Math.max(1, Math.round((week.runs * forMs) / week.ms)),
    },
  };
  const soaked = values.leak ? leaking(folder) : await startAll(folder, servers, amount, report);
  const stop = new AbortController();
  const loading = soaked.load(stop.signal);
  const samples = await watch(soaked, forMs);
  stop.abort();
  await loading;
  const acknowledged = soaked.acknowledged();
  for (const { name, starts } of soaked.programs)
    if (starts > 1) report('goes on', `${name} was started ${starts} times`);
  await soaked.stop();
  await servers.stop();
  const figures = [...samples].map(([name, course]) => {
    const { half, end, flat } = courseOf(course, tolerances[name.split(' ').at(-1) ?? ''] as Tolerance);
    const figure = { name, half: Math.round(half * 10) / 10, end: Math.round(end * 10) / 10, flat };
    if (!flat) report('is flat', `${name} went from ${figure.half} to ${figure.end} in the second half`);
    say(
      `${name.padEnd(24)}${String(figure.half).padStart(10)}${String(figure.end).padStart(10)}  ${flat ? 'flat' : 'GREW'}`,
    );
    return figure;
  });
  process.stdout.write(`${JSON.stringify({ seconds: forMs / 1000, acknowledged, figures, violations })}\n`);
  return violations.length === 0 ? 0 : 1;
}

/** Takes `samplesInAll` measurements of every value over `forMs`; returns them by name. */
async function watch(soaked: Soaked, forMs: number): Promise<Map<string, Sample[]>> {
  const samples = new Map<string, Sample[]>();
  const began = performance.now();
  const note = (name: string, value: number) => {
    const course = samples.get(name) ?? [];
    course.push({ atMs: performance.now() - began, value });
    samples.set(name, course);
  };
  for (let n = 1; n <= samplesInAll; n++) {
    await delay((n * forMs) / samplesInAll - (performance.now() - began));
    for (const { name, pid } of soaked.programs) {
      const { memory, handles } = lookAt(pid) ?? {};
      if (memory !== undefined && handles !== undefined) {
        note(`${name} memory`, memory);
        note(`${name} handles`, handles);
      }
    }
    note('all files', filesBelow(soaked.folder));
    for (const [name, latencies] of Object.entries(soaked.latencies())) {
      if (latencies.length === 0) continue;
      latencies.sort((a, b) => a - b);
      note(`${name} p50`, quantile(latencies, 0.5));
      note(`${name} p99`, quantile(latencies, 0.99));
    }
  }
  return samples;
}

/** Starts a process that leaks 100 MB and 10 file handles per second. */
function leaking(folder: string): Soaked {
  const code = `const keep = []; setInterval(() => {
    keep.push(Buffer.alloc(1e7, 1), require('node:fs').openSync('/dev/null'));
  }, 100);`;
  const child = spawn(process.execPath, ['-e', code]);
  return {
    programs: [{ name: 'leak', pid: child.pid, starts: 1 }],
    load: async () => {},
    latencies: () => ({}),
    folder,
    acknowledged: () => 0,
    stop: async () => void child.kill(),
  };
}

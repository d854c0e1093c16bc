// Fleets of simulated devices: a rollout in five waves, one that stops itself, the same blob for all at once, and many devices stored.
//
//   npm run bench:fleet [-- --short] [-- --only CASE,CASE] [-- --devices N]
//
// Whole processes. The exit code is 1 when a limit is broken. The short form has fewer devices.
import { mkdirSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { machine } from '../models/measure.js';
import { tidyAtEnd } from '../streams/tidy.js';
import { blobFigures } from './blob.js';
import { type RolloutFigures, rolloutFigures } from './rollout.js';
import { storedFigures } from './stored.js';

const { values } = parseArgs({
  options: { short: { type: 'boolean' }, only: { type: 'string' }, devices: { type: 'string' } },
});
const { short = false } = values;
const devices = Number(values.devices ?? (short ? 500 : 10_000));
const root = mkdtempSync(join(tmpdir(), 'aiot-bench-'));
let folders = 0;
let broken = 0;

const cases: Record<string, () => Promise<void>> = { rollout, stops, blob, stored };
const wanted = values.only?.split(',') ?? Object.keys(cases);
const unknown = wanted.filter((name) => !Object.hasOwn(cases, name));
if (unknown.length > 0) {
  console.error(`no case ${unknown.join(', ')}; there are ${Object.keys(cases).join(', ')}`);
  process.exit(2);
}
tidyAtEnd(root);
console.log(machine());
for (const name of wanted) await cases[name]!();
process.exit(broken > 0 ? 1 : 0);

async function rollout(): Promise<void> {
  const figures = await rolloutFigures({ folder: folder(), devices, rigged: 0 });
  const committed = figures.waves.reduce((sum, wave) => sum + wave.committed, 0);
  const kept = figures.state === 'done' && committed === devices && figures.running === devices;
  say(
    kept && figures.lost === 0 && figures.waves.length === 5 && figures.memory.fleet <= 450,
    `rollout: ${committed} of ${devices} committed in ${figures.waves.length} waves, ${figures.lost} lost; ${flow(figures)}`,
  );
}

async function stops(): Promise<void> {
  const figures = await rolloutFigures({ folder: folder(), devices, rigged: 0.02 });
  const bad = figures.waves.reduce((sum, wave) => sum + wave.committed, 0);
  const most = figures.waves.slice(0, 2).reduce((sum, wave) => sum + wave.devices, 0);
  const stopped = figures.waves.findIndex(({ state }) => state === 'stopped') + 1;
  say(
    figures.state === 'paused' && stopped === 2 && bad <= most && figures.running <= most,
    `stops: with ${figures.rigged} devices of wave two rigged it is ${figures.state} in wave ${stopped} after ${figures.seconds.toFixed(1)} s; ${figures.running} devices run the version, at most ${most}`,
  );
}

async function blob(): Promise<void> {
  const size = { clients: short ? 200 : 1000, bytes: 1024 ** 2, rounds: short ? 1 : 5 };
  const { clients, ours, theirs, ratio, before, most, cpu } = await blobFigures({
    folder: folder(),
    ...size,
  });
  // What a connection may take while it downloads, as of one that does not read.
  const limit = (300 * clients) / 1024;
  say(
    most - before <= limit && ratio >= (short ? 0.25 : 0.5),
    `blob: 1 MiB to ${clients} at once in ${ours.toFixed(2)} s (${cpu.ours.toFixed(2)} CPU s), nginx ${theirs.toFixed(2)} s (${cpu.theirs.toFixed(2)}); ×${ratio.toFixed(2)}, at least ×0.5; memory ${Math.round(before)} MB, at most ${Math.round(most)} MB (limit ${Math.round(limit)} MB more)`,
  );
}

async function stored(): Promise<void> {
  const { devices, members, start, figures } = await storedFigures(folder(), 100_000);
  // The short form bears what else the machine does: four times the limit.
  const limit = short ? 400 : 100;
  const lines = figures.map(
    ({ what, p50, p99 }) =>
      `       ${what.padEnd(40)} p50 ${p50.toFixed(1).padStart(6)} ms  p99 ${p99.toFixed(1).padStart(6)} ms`,
  );
  say(
    figures.every(({ p50 }) => p50 <= limit),
    `stored: ${devices} devices, ${members} of them in a rollout, which started in ${start.toFixed(1)} s; each below ${limit} ms\n${lines.join('\n')}`,
  );
}

function flow({ mutual, enlist, connect, seconds, messages, memory, cpu }: RolloutFigures): string {
  const times = `registered in ${enlist.toFixed(1)} s (${mutual} with certificates), connected in ${connect.toFixed(1)} s, updated in ${seconds.toFixed(1)} s`;
  const rate = `${messages} messages, ${Math.round(messages / seconds)} a second`;
  const cost = `platform ${Math.round(memory.platform)} MB and ${cpu.platform.toFixed(1)} CPU s, fleet ${Math.round(memory.fleet)} MB and ${cpu.fleet.toFixed(1)} CPU s`;
  return `${times}; ${rate}; ${cost}`;
}

function folder(): string {
  const path = join(root, String(++folders));
  mkdirSync(path);
  return path;
}

function say(kept: boolean, text: string): void {
  if (!kept) broken += 1;
  console.log(`${kept ? 'kept  ' : 'BROKEN'} ${text}`);
}

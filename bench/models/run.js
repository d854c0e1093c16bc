// Models, side by side with a named peer in one run: TensorFlow with Keras (scripts/python-envs.sh installs it).
//
//   npm run bench:models [-- --short] [-- --only CASE,CASE]
//
// Whole processes from start to exit, in turn; medians of several rounds and of the ratios of each pair. The exit code is 1 when a
// limit is broken, 2 when the peer is missing. The short form has three rounds, on machines that do other things too: there a figure
// breaks its limit from half as much again.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { cases } from './cases.js';
import { hasPeer, machine } from './measure.js';

const { values } = parseArgs({ options: { short: { type: 'boolean' }, only: { type: 'string' } } });
const rounds = values.short ? 3 : 7;
const allowance = values.short ? 1.5 : 1;
const wanted = values.only?.split(',') ?? Object.keys(cases);
const unknown = wanted.filter((name) => !(name in cases));
if (unknown.length > 0) {
  console.error(`no case ${unknown.join(', ')}; there are ${Object.keys(cases).join(', ')}`);
  process.exit(2);
}
if (!hasPeer() && wanted.some((name) => cases[name]?.needsPeer)) {
  console.error(
    'no TensorFlow to compare with; scripts/python-envs.sh installs it (or: --only features,memory)',
  );
  process.exit(2);
}

const folder = mkdtempSync(join(tmpdir(), 'aiot-bench-'));
process.env.AIOT_CONFIG_DIR = join(folder, 'config');
process.env.AIOT_DATA_DIR = join(folder, 'data');
let broken = 0;
try {
  console.log(`${machine()}; ${rounds} rounds`);
  for (const [name, { run }] of Object.entries(cases).filter(([name]) => wanted.includes(name))) {
    const own = join(folder, name);
    mkdirSync(own);
    const { what, ours, theirs, value, limit, unit } = await run(own, rounds);
    const kept = value <= limit * allowance;
    if (!kept) broken += 1;
    const word = value <= limit ? 'kept  ' : kept ? 'MISSED' : 'BROKEN';
    const figure = unit === '×' ? `×${value.toFixed(3)}` : `${value.toFixed(0)}${unit}`;
    const most = unit === '×' ? `×${limit.toFixed(3)}` : `${limit}${unit}`;
    console.log(`${word} ${what}: aiot ${ours}, peer ${theirs}; ${figure}, at most ${most}`);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
process.exit(broken > 0 ? 1 : 0);

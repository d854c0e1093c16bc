// Writing flash, side by side with PyPI's esptool 5 (scripts/python-envs.sh installs it) on the same simulated chip and image.
//
//   npm run bench:flash [-- --short] [-- --only CASE,CASE]
//
// Whole processes from start to exit, in turn; medians of several rounds and of the ratios of each pair. The exit code is 1 when a
// limit is broken, 2 when the peer is missing. The short form has two rounds, on machines that do other things too: there a figure
// breaks its limit from half as much again.
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { deflateSync } from 'node:zlib';
import { machine } from '../models/measure.js';
import { cases, esptool } from './cases.js';
import { programImage } from './image.js';

const { values } = parseArgs({ options: { short: { type: 'boolean' }, only: { type: 'string' } } });
const rounds = values.short ? 2 : 5;
const allowance = values.short ? 1.5 : 1;
const wanted = values.only?.split(',') ?? Object.keys(cases);
const unknown = wanted.filter((name) => !(name in cases));
if (unknown.length > 0) {
  console.error(`no case ${unknown.join(', ')}; there are ${Object.keys(cases).join(', ')}`);
  process.exit(2);
}
if (!existsSync(esptool)) {
  console.error('no esptool to compare with; scripts/python-envs.sh installs it');
  process.exit(2);
}

const folder = mkdtempSync(join(tmpdir(), 'aiot-bench-'));
process.env.AIOT_CONFIG_DIR = join(folder, 'config');
process.env.AIOT_DATA_DIR = join(folder, 'data');
let broken = 0;
try {
  const image = join(folder, 'app.bin');
  const bytes = programImage(1 << 20);
  writeFileSync(image, bytes);
  const compressed = Math.round(deflateSync(bytes, { level: 9 }).length / 1024);
  console.log(`${machine()}; ${rounds} rounds; an image of 1024 KiB, ${compressed} KiB compressed`);
  for (const name of wanted) {
    for (const { what, ours, theirs, value, limit, unit } of (await cases[name]?.(image, rounds)) ?? []) {
      const kept = value <= limit * allowance;
      if (!kept) broken += 1;
      const word = value <= limit ? 'kept  ' : kept ? 'MISSED' : 'BROKEN';
      const peer = theirs === null ? '' : `, esptool ${theirs.toFixed(2)} s`;
      const figure = unit === '×' ? `×${value.toFixed(3)}` : `${value.toFixed(2)} s`;
      const most = unit === '×' ? `×${limit.toFixed(2)}` : `${limit} s`;
      console.log(`${word} ${what}: aiot ${ours.toFixed(2)} s${peer}; ${figure}, at most ${most}`);
    }
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
process.exit(broken > 0 ? 1 : 0);

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Area, Bench } from '../harness/area.js';
import { root } from '../harness/process.js';
import { startTimes } from './measure.js';

export const area: Area = {
  about: 'startup time: version and help',
  cases: { programs: { peer: 'Node itself, the smallest oclif program', run: programs } },
};

function programs({ quick }: Bench) {
  const { node, version, bareHelp, help, frontPage } = startTimes(quick ? 9 : 21);
  const { version: oclif } = JSON.parse(
    readFileSync(join(root, 'node_modules', '@oclif', 'core', 'package.json'), 'utf8'),
  );
  const alone = { name: 'node -e 0', version: process.versions.node, rounds: node };
  const bare = { name: 'smallest oclif program', version: oclif, rounds: bareHelp };
  return [
    { name: 'aiot --version', unit: 'ms', ours: version, peer: alone, goal: 1.6 },
    { name: "a command's help", unit: 'ms', ours: help, peer: bare, goal: 1.3 },
    { name: 'aiot --help', unit: 'ms', ours: frontPage, peer: bare, goal: 1.5 },
  ];
}

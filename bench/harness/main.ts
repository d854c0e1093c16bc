// npm run bench [-- --quick] [--json] [--only AREA,AREA/CASE] [--list]
import { chmodSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type AreaName, areas } from './area.js';
import type { Result } from './figure.js';
import { machine } from './process.js';
import { runArea } from './run-area.js';
import { line, tables } from './table.js';
import { tidyAtEnd } from './tidy.js';

const { values } = parseArgs({
  options: {
    ...{ quick: { type: 'boolean', default: false }, json: { type: 'boolean', default: false } },
    ...{ list: { type: 'boolean', default: false }, only: { type: 'string' } },
  },
});
const wanted = await chosen(values.only);
if (values.list) await list();
else await run();

/** Areas in their order, each with the cases that were asked for. */
async function chosen(only: string | undefined): Promise<{ name: AreaName; only?: string[] }[]> {
  if (only === undefined) return Object.keys(areas).map((name) => ({ name: name as AreaName }));
  const all = new Map<AreaName, string[]>();
  for (const [name = '', own] of only.split(',').map((word) => word.split('/'))) {
    if (!Object.hasOwn(areas, name)) leave(`no area ${name}; there are ${Object.keys(areas).join(', ')}`);
    const cases = all.get(name as AreaName) ?? [];
    if (own !== undefined) {
      const there = Object.keys((await areas[name as AreaName].load()).area.cases);
      if (!there.includes(own)) leave(`no case ${own} in ${name}; there are ${there.join(', ')}`);
      cases.push(own);
    }
    all.set(name as AreaName, cases);
  }
  return [...all].map(([name, own]) => (own.length > 0 ? { name, only: own } : { name }));
}

async function list(): Promise<void> {
  for (const { name } of wanted) {
    const { about, cases } = (await areas[name].load()).area;
    console.log(`${name.padEnd(10)} ${about}`);
    for (const [own, { peer }] of Object.entries(cases))
      console.log(`  ${`${name}/${own}`.padEnd(24)} ${peer ? `beside ${peer}` : 'by itself'}`);
  }
}

async function run(): Promise<void> {
  const { quick, json } = values;
  // However this ends: nothing that was started goes on, and no folder is left.
  const folder = mkdtempSync(join(tmpdir(), 'aiot-bench-'));
  tidyAtEnd(folder);
  // As the areas' own: another user's program has to find them.
  chmodSync(folder, 0o711);
  const facts = machine();
  const started = performance.now();
  const results: Result[] = [];
  for (const one of wanted) {
    const began = performance.now();
    process.stderr.write(`── ${one.name}\n`);
    results.push(
      ...(await runArea({ ...one, quick, folder }, (result) => process.stderr.write(`${line(result)}\n`))),
    );
    process.stderr.write(`── ${one.name}: ${((performance.now() - began) / 1000).toFixed(0)} s\n`);
  }
  const seconds = Math.round((performance.now() - started) / 1000);
  const behind = results.filter(({ ok }) => !ok).length;
  if (json) process.stdout.write(`${JSON.stringify({ results, behind, quick, seconds, machine: facts })}\n`);
  else
    process.stdout.write(
      `${tables(results, facts)}\n\n${results.length - behind} of ${results.length} reach their ${quick ? 'quick limit' : 'goal'}, ${seconds} s\n`,
    );
  process.exitCode = behind > 0 ? 1 : 0;
}

function leave(message: string): never {
  process.stderr.write(`${message}\n`);
  process.exit(2);
}

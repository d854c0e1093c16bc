// npm run bench [-- --quick] [--json] [--only AREA,AREA/CASE] [--list]

import { spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type AreaName, areas } from './area.js';
import { type Result, unmeasured } from './figure.js';
import { machine, root } from './process.js';
import { line, tables } from './table.js';
import { endDescendants, tidyAtEnd } from './tidy.js';

const { values } = parseArgs({
  options: {
    ...{ quick: { type: 'boolean', default: false }, json: { type: 'boolean', default: false } },
    ...{ list: { type: 'boolean', default: false }, only: { type: 'string' } },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
if (values.help) {
  console.log(
    `npm run bench [-- --quick] [--json] [--only AREA,AREA/CASE] [--list]\nAREA is one of: ${Object.keys(areas).join(', ')}.`,
  );
  process.exit();
}
const wanted = await chosen(values.only);
if (values.list) await list();
else await run();

/** Requested areas in order, each with its requested cases. */
async function chosen(only: string | undefined): Promise<{ name: AreaName; only?: string[] }[]> {
  if (only === undefined) return Object.keys(areas).map((name) => ({ name: name as AreaName }));
  const all = new Map<AreaName, string[]>();
  for (const [name = '', own] of only.split(',').map((word) => word.split('/'))) {
    if (!Object.hasOwn(areas, name)) leave(`unknown area ${name}; known: ${Object.keys(areas).join(', ')}`);
    const cases = all.get(name as AreaName) ?? [];
    if (own !== undefined) {
      const there = Object.keys((await areas[name as AreaName].load()).area.cases);
      if (!there.includes(own)) leave(`unknown case ${own} in ${name}; known: ${there.join(', ')}`);
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
      console.log(`  ${`${name}/${own}`.padEnd(24)} ${peer ? `compared with ${peer}` : 'without a peer'}`);
  }
}

async function run(): Promise<void> {
  const { quick, json } = values;
  // Child processes and the folder are removed however this process ends.
  const folder = mkdtempSync(join(tmpdir(), 'aiot-bench-'));
  tidyAtEnd(folder);
  // Programs that run as another user must be able to traverse the folder to reach the areas' folders.
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
      `${tables(results, facts)}\n\n${results.length - behind} of ${results.length} meet their ${quick ? 'quick limit' : 'goal'}, ${seconds} s\n`,
    );
  process.exitCode = behind > 0 ? 1 : 0;
}

function leave(message: string): never {
  process.stderr.write(`${message}\n`);
  process.exit(2);
}

interface AreaRun {
  name: AreaName;
  /** Cases to run; all if not given. */
  only?: readonly string[];
  quick: boolean;
  /** Folder where the area creates its own. */
  folder: string;
}

/**
 * Runs an area in a separate process, so that the memory and handles of one area do not affect the next. The output of the process goes to
 * stderr. If the area takes too long, the process is ended with all its child processes.
 */
async function runArea(
  { name, only, quick, folder: within }: AreaRun,
  onResult: (result: Result) => void,
): Promise<Result[]> {
  const folder = mkdtempSync(join(within, `${name}-`));
  const results: Result[] = [];
  const add = (result: Result) => {
    results.push(result);
    onResult(result);
  };
  const flags = [...(quick ? ['--quick'] : []), ...(only ? ['--only', only.join(',')] : [])];
  // The largest simulated rollouts need more memory than Node's default limit.
  const node = ['--max-old-space-size=14000', '--import', 'tsx', join(import.meta.dirname, 'one.ts')];
  const child = spawn(process.execPath, [...node, name, folder, ...flags], {
    cwd: root,
    stdio: ['ignore', 2, 2, 'ipc'],
  });
  child.on('message', (result) => add(result as Result));
  const gone = new Promise<string | null>((resolve) => {
    child.once('error', ({ message }) => resolve(message));
    child.once('close', (code, signal) =>
      resolve(code === 0 ? null : `the area exited with ${code ?? signal}`),
    );
  });
  const minutes = areas[name].minutes[quick ? 0 : 1];
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    if (child.pid === undefined) return;
    // Suspended first, so that it cannot start new child processes while they are being ended.
    child.kill('SIGSTOP');
    endDescendants(child.pid);
    child.kill('SIGKILL');
  }, minutes * 60_000);
  const failure = await gone;
  clearTimeout(timer);
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  if (late) add(unmeasured(name, 'time', `the area took more than ${minutes} min and was stopped`));
  else if (failure !== null) add(unmeasured(name, 'end', failure));
  return results;
}

import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { tidyAtEnd } from '../bench/harness/tidy.js';
import { parseDuration } from '../src/lib/core/time.js';
import { apart } from './apart.js';
import { buildShim } from './faults/shim.js';
import { scenarioOf, seedOf } from './plan.js';
import { runRound } from './round.js';
import { scenarios } from './scenarios/index.js';
import { partsHere, Servers } from './servers.js';
import type { Fault, Violation } from './types.js';

const usage = `npm run chaos -- [--rounds N | --for TIME] [--seed N] [--only SCENARIO,…] [--devices N] [--round-seed N] [--sabotage] [--list]

  --rounds N        number of rounds [default: 20]
  --for TIME        start rounds for this long, such as 30m; the last one is completed
  --seed N          seed from which each round's seed is derived [default: 1]
  --only A,B        only these scenarios
  --devices N       simulated devices in the scenario replicas [default: 12]
  --round-seed N    one round of the scenario in --only, with the seed that a violation names
  --sabotage        violate an invariant in each round, to test that the harness detects it
  --list            list the scenarios

Progress on stderr; the last line on stdout is {rounds, violations}. Exit code 1: an invariant was violated.`;

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '20' },
    for: { type: 'string' },
    seed: { type: 'string', default: '1' },
    only: { type: 'string' },
    devices: { type: 'string' },
    'round-seed': { type: 'string' },
    sabotage: { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
});

const say = (line: string) => void process.stderr.write(`${line}\n`);

if (values.help) say(usage);
else if (values.list) for (const { name, about } of scenarios) say(`${name.padEnd(12)}${about}`);
else process.exitCode = (await apart()) ?? (await run());

async function run(): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'aiot-chaos-'));
  tidyAtEnd(folder);
  const parts = await partsHere();
  const named = values.only?.split(',');
  const unknown = named?.filter((name) => !scenarios.some((one) => one.name === name)) ?? [];
  if (unknown.length > 0) {
    say(`unknown scenario: ${unknown.join(', ')}. Known: ${scenarios.map(({ name }) => name).join(', ')}`);
    return 2;
  }
  const able = scenarios.filter(({ name, needs }) => {
    const missing = needs.filter((part) => !parts.has(part));
    if (missing.length > 0) say(`skipped, because ${missing.join(', ')} is missing: ${name}`);
    return missing.length === 0 && (named?.includes(name) ?? true);
  });
  for (const part of ['mounts', 'cc', 'prlimit'] as const)
    if (!parts.has(part)) say(`skipped, because ${part} is missing: the faults that need it`);
  const shim = parts.has('cc') ? buildShim(folder) : undefined;
  const servers = new Servers();
  const violations: Violation[] = [];
  const once = values['round-seed'];
  const until = values.for === undefined ? undefined : Date.now() + parseDuration(values.for);
  const most =
    once !== undefined ? 1 : until === undefined ? Number(values.rounds) : Number.POSITIVE_INFINITY;
  let rounds = 0;
  const seed = Number(values.seed);
  while (rounds < most && (until === undefined || Date.now() < until)) {
    const round = ++rounds;
    const scenario = scenarioOf(able, seed, round);
    const roundSeed = once === undefined ? seedOf(seed, round) : Number(once);
    const began = performance.now();
    const { sabotage } = values;
    const devices = values.devices === undefined ? undefined : Number(values.devices);
    const options = { round, seed: roundSeed, scenario, folder, shim, servers, parts, devices, sabotage };
    const result = await runRound(options);
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    const bad = result.violations.length === 0 ? 'all holds' : `${result.violations.length} VIOLATIONS`;
    say(
      `${round}/${until === undefined ? most : values.for} ${scenario.name} ${roundSeed}: ${result.faults.map(shown).join(', ')}`,
    );
    say(`   ${result.acknowledged} acknowledged, ${seconds} s: ${bad}`);
    for (const { invariant, detail } of result.violations) say(`   ${invariant}: ${detail}`);
    violations.push(...result.violations);
  }
  await servers.stop();
  process.stdout.write(`${JSON.stringify({ rounds, violations })}\n`);
  return violations.length === 0 ? 0 : 1;
}

function shown({ kind, target, atMs, forMs }: Fault): string {
  return `${kind} ${target} (${atMs} ms, ${forMs} ms)`;
}

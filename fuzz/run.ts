import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { buildWorker } from './build.js';
import { Fuzzer } from './fuzzer.js';
import type { Finding, TargetRun } from './types.js';

const usage = `npm run fuzz -- [--seconds N] [--seed S] [--only TARGET,…] [--inputs N] [--out DIR] [--list] [--replay FILE]

  --seconds N     total time, shared among the targets [default: 60]
  --seed S        seed of the mutations [default: 1]
  --only A,B      only these targets; formats/ selects all in that group, and planted/ those with a planted fault
  --inputs N      maximum number of inputs per target: the same seed then tries the same inputs on every machine
  --least N       fail if a target tries fewer inputs, because the time was too short
  --out DIR       folder for inputs with findings [default: a new temporary folder]
  --list          list the targets
  --replay FILE   repeat one input for the target in --only

Progress on stderr; the last line on stdout is {seconds, seed, inputs, targets, findings}. Exit code 1: there is a finding, or a target tried fewer inputs than --least.`;

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string', default: '1' },
    only: { type: 'string' },
    inputs: { type: 'string' },
    least: { type: 'string' },
    out: { type: 'string' },
    list: { type: 'boolean', default: false },
    replay: { type: 'string' },
    help: { type: 'boolean', short: 'h', default: false },
  },
});

let folder = values.out;

const say = (line: string) => void process.stderr.write(`${line}\n`);

if (values.help) say(usage);
else process.exitCode = await run();

async function run(): Promise<number> {
  const fuzzer = new Fuzzer(await buildWorker());
  try {
    const all = await fuzzer.targets();
    const usual = all.filter((name) => !name.startsWith('planted/'));
    const wanted = values.only?.split(',');
    const fits = (name: string, word: string) =>
      name === word || (word.endsWith('/') && name.startsWith(word));
    const unknown = wanted?.filter((word) => !all.some((name) => fits(name, word))) ?? [];
    if (unknown.length > 0) {
      say(`unknown target: ${unknown.join(', ')}. Known: ${usual.join(', ')}`);
      return 2;
    }
    const names = wanted ? all.filter((name) => wanted.some((word) => fits(name, word))) : usual;
    if (values.list) for (const name of names) say(name);
    else if (values.replay !== undefined) return await replay(fuzzer, names, values.replay);
    else return await fuzz(fuzzer, names);
    return 0;
  } finally {
    await fuzzer.close();
  }
}

async function replay(fuzzer: Fuzzer, [target, ...more]: string[], file: string): Promise<number> {
  if (target === undefined || more.length > 0) {
    say('--replay needs exactly one target in --only');
    return 2;
  }
  const { fault, said } = await fuzzer.replayed(target, readFileSync(file));
  say(fault === null ? `${target}: ${said}` : `${target}: ${fault.kind}: ${fault.detail}`);
  process.stdout.write(`${JSON.stringify({ target, fault, said })}\n`);
  return fault === null ? 0 : 1;
}

async function fuzz(fuzzer: Fuzzer, names: readonly string[]): Promise<number> {
  const [seconds, seed] = [Number(values.seconds), Number(values.seed)];
  const inputs = values.inputs === undefined ? Number.POSITIVE_INFINITY : Number(values.inputs);
  const runs: TargetRun[] = [];
  const findings: Finding[] = [];
  for (const target of names) {
    const result = await fuzzer.fuzz({ target, seed, seconds: seconds / names.length, inputs });
    const { run } = result;
    say(
      `${target.padEnd(28)}${`${run.inputs}`.padStart(8)} inputs, ${run.kept} kept, ${run.reached} places, ${run.seconds.toFixed(1)} s`,
    );
    for (const finding of result.findings) say(shown(finding, findings.push(finding)));
    runs.push(run);
  }
  const total = runs.reduce((sum, run) => sum + run.inputs, 0);
  const told = findings.map(({ target, kind, detail, input }) => ({
    target,
    kind,
    detail,
    input: input.toString('base64'),
  }));
  process.stdout.write(
    `${JSON.stringify({ seconds, seed, inputs: total, targets: runs, findings: told })}\n`,
  );
  const short = runs.filter((run) => run.inputs < Number(values.least ?? 0));
  for (const { target, inputs: tried } of short)
    say(`${target}: ${tried} inputs, expected at least ${values.least}`);
  return findings.length === 0 && short.length === 0 ? 0 : 1;
}

function shown({ target, kind, detail, input }: Finding, number: number): string {
  folder ??= mkdtempSync(join(tmpdir(), 'aiot-fuzz-'));
  mkdirSync(folder, { recursive: true });
  const file = join(folder, `${target.replaceAll('/', '-')}-${number}`);
  writeFileSync(file, input);
  return `  FOUND ${kind}: ${detail}\n  ${input.length} bytes; to repeat: npm run fuzz -- --only ${target} --replay ${file}`;
}

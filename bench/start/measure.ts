// Duration of the shortest commands: `aiot --version` compared with `node -e 0`, a command's help compared with that of the smallest oclif
// program.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { root } from '../harness/process.js';

const run = join(root, 'bin', 'run.js');
const programs = {
  node: ['-e', '0'],
  version: [run, '--version'],
  bareHelp: [join(root, 'bench', 'bare', 'run.js'), 'hello', '--help'],
  help: [run, 'error', '--help'],
  frontPage: [run, '--help'],
};

export type Program = keyof typeof programs;

/** Time from start to exit of each program in alternating rounds, ms. A warm-up round for the disk cache is not counted. */
export function startTimes(rounds: number): Record<Program, number[]> {
  const times: Record<Program, number[]> = { node: [], version: [], bareHelp: [], help: [], frontPage: [] };
  for (let round = 0; round <= rounds; round++) {
    for (const [name, args] of Object.entries(programs)) {
      const start = performance.now();
      const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
      if (status !== 0) throw new Error(`${args.join(' ')} failed: ${stderr}`);
      if (round > 0) times[name as Program].push(performance.now() - start);
    }
  }
  return times;
}

/** The ratios of the fastest rounds, because other processes only ever add time. */
export function quickestRatios(rounds: number): { version: number; help: number } {
  const times = startTimes(rounds);
  const quickest = (name: Program) => Math.min(...times[name]);
  return {
    version: quickest('version') / quickest('node'),
    help: quickest('help') / quickest('bareHelp'),
  };
}

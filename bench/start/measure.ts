// How long the shortest things take: `aiot --version` against `node -e 0`, a command's help against that of the smallest oclif program.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { root } from '../harness/process.js';

const run = join(root, 'bin', 'run.js');
const programs = {
  node: ['-e', '0'],
  version: [run, '--version'],
  bareHelp: [join(root, 'bench', 'bare', 'run.js'), 'hello', '--help'],
  help: [run, 'explain', '--help'],
  frontPage: [run, '--help'],
};

export type Program = keyof typeof programs;

/** ms from start to exit of each, in turn, in so many rounds; one before, which warms the disk's cache, is not counted. */
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

/** The ratios of the quickest of some rounds: what else runs on the machine only ever adds. */
export function quickestRatios(rounds: number): { version: number; help: number } {
  const times = startTimes(rounds);
  const quickest = (name: Program) => Math.min(...times[name]);
  return {
    version: quickest('version') / quickest('node'),
    help: quickest('help') / quickest('bareHelp'),
  };
}

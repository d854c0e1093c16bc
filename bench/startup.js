// How long the shortest things take, each against a named peer, measured in turn in one run:
// `aiot --version` against `node -e 0`, a command's help against that of the smallest oclif program (bench/bare).
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const run = join(root, 'bin', 'run.js');
const cases = {
  node: ['-e', '0'],
  version: [run, '--version'],
  bareHelp: [join(root, 'bench', 'bare', 'run.js'), 'hello', '--help'],
  help: [run, 'explain', '--help'],
};

/**
 * The quickest of some rounds, in ms, and the two ratios: what else runs on the machine only ever adds.
 * @param {number} rounds
 */
export function measure(rounds) {
  /** @type {Record<string, number[]>} */
  const times = Object.fromEntries(Object.keys(cases).map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const [name, args] of Object.entries(cases)) {
      const start = performance.now();
      const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
      if (status !== 0) throw new Error(`${args.join(' ')} failed: ${stderr}`);
      // The first round warms the disk's cache.
      if (round > 0) times[name]?.push(performance.now() - start);
    }
  }
  const [node = 0, version = 0, bareHelp = 0, help = 0] = Object.values(times).map((all) => Math.min(...all));
  return { node, version, bareHelp, help, versionRatio: version / node, helpRatio: help / bareHelp };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const seen = measure(Number(process.argv[2] ?? 21));
  console.log(`node -e 0          ${seen.node.toFixed(1)} ms`);
  console.log(
    `aiot --version     ${seen.version.toFixed(1)} ms  ×${seen.versionRatio.toFixed(2)} (at most 1.6)`,
  );
  console.log(`bare oclif --help  ${seen.bareHelp.toFixed(1)} ms`);
  console.log(`aiot --help        ${seen.help.toFixed(1)} ms  ×${seen.helpRatio.toFixed(2)} (at most 1.3)`);
}

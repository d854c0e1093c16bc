// Times whole processes against each other, in turn: what else runs on the machine slows both.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const peers = join(root, 'bench', 'models', 'peers');
const python = join(root, '.venv', 'tensorflow', 'bin', 'python');

/**
 * A program with its arguments.
 * @typedef {[program: string, ...args: string[]]} CommandLine
 */

/** The command line of aiot, as it is installed. @param {string[]} args @returns {CommandLine} */
export const aiot = (...args) => [process.execPath, join(root, 'bin', 'run.js'), ...args, '--json'];

/** A script of the named peer, TensorFlow with Keras. @param {string} script @param {string[]} args @returns {CommandLine} */
export const peer = (script, ...args) => [python, join(peers, script), ...args];

export const hasPeer = () => existsSync(python);

/** @param {number[]} values */
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1
    ? (sorted[middle] ?? 0)
    : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}

/**
 * Runs a program to its end; its stdout, and seconds from its start to its exit.
 * @param {CommandLine} command
 * @param {Record<string, string>} [env]
 */
export function timed([program, ...args], env = {}) {
  const start = performance.now();
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    cwd: root,
    encoding: 'utf8',
    env: { ...process.env, TF_CPP_MIN_LOG_LEVEL: '3', ...env },
    maxBuffer: 1 << 28,
  });
  const seconds = (performance.now() - start) / 1000;
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${error?.message ?? stderr.slice(-2000)}`);
  return { seconds, stdout };
}

/**
 * Two programs in turn, one round before that is not counted (it warms the disk's cache).
 * @param {CommandLine} ours
 * @param {CommandLine} theirs
 * @param {number} rounds
 */
export function inTurn(ours, theirs, rounds) {
  /** @type {{ ours: number, theirs: number }[]} */
  const pairs = [];
  for (let round = 0; round <= rounds; round++) {
    const pair = { ours: timed(ours).seconds, theirs: timed(theirs).seconds };
    if (round > 0) pairs.push(pair);
  }
  return {
    ours: median(pairs.map((pair) => pair.ours)),
    theirs: median(pairs.map((pair) => pair.theirs)),
    ratio: median(pairs.map((pair) => pair.ours / pair.theirs)),
  };
}

/** One line about the machine. */
export function machine() {
  const model = cpus()[0]?.model.trim() ?? 'unknown processor';
  return `${cpus().length} × ${model}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.versions.node}, ${new Date().toISOString().slice(0, 10)}`;
}

import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { writeContexts } from '../../src/lib/core/contexts.js';
import { root, runCli } from '../support/cli.js';
import { describeReal } from '../support/real.js';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-shells-'));
  for (const shell of ['bash', 'zsh', 'fish']) {
    await writeFile(join(folder, shell), (await runCli(['completion', shell])).stdout);
  }
  const says = 'aiot() { echo GOT "$@"; }';
  await writeFile(join(folder, 'bashrc'), `PS1='READY>'\nsource ./bash\n${says}\n`);
  const completions = 'autoload -U compinit; compinit -u -D; source ./zsh';
  await writeFile(join(folder, '.zshrc'), `PS1='READY>'\n${completions}\n${says}\n`);
  const contexts = { factory: { url: 'https://127.0.0.1:8443' } };
  await writeContexts({ current: 'factory', contexts }, join(folder, 'config'));
  const names = join(folder, 'cache', 'completion', 'factory');
  await mkdir(names, { recursive: true });
  await writeFile(join(names, 'devices'), 'motor-1\nfan-1\n');
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const run = (program: string, args: string[]) =>
  spawnSync(program, args, {
    encoding: 'utf8',
    timeout: 80_000,
    cwd: folder,
    env: {
      PATH: process.env.PATH,
      HOME: folder,
      ZDOTDIR: folder,
      LANG: 'C.UTF-8',
      AIOT_CONFIG_DIR: join(folder, 'config'),
      AIOT_CACHE_DIR: join(folder, 'cache'),
    },
  });

/** Returns the arguments that a shell passes to aiot when these lines are typed on a terminal. */
function typed(shell: string[], lines: string[]): string[] {
  const program = join(root, 'test', 'support', 'python', 'type_in_shell.py');
  const { stdout } = run('python3', [program, JSON.stringify([...lines, 'exit']), ...shell]);
  return [...stdout.matchAll(/^GOT (.*?)\r*$/gm)].map(([, words]) => words ?? '');
}

const lines = [
  'aiot devi\tli\t--sel\tx',
  'aiot model train --ki\tcnn\t',
  'aiot context use fac\t',
  'aiot device show mot\t',
];
const calls = [
  'device list --selector x',
  'model train --kind cnn1d',
  'context use factory',
  'device show motor-1',
];

describeReal('python3', 'Tab completion in bash', () => {
  it('completes commands, flags, flag values, contexts and device names', () => {
    expect(typed(['bash', '--rcfile', './bashrc', '-i'], lines)).toEqual(calls);
  });
});

describeReal('zsh', 'Tab completion in zsh', () => {
  it('completes commands, flags, flag values, contexts and device names', () => {
    // -d: the system-wide startup files are skipped.
    expect(typed(['zsh', '-d', '-i'], lines)).toEqual(calls);
  });
});

describeReal('fish', 'completion in fish', () => {
  it.each([
    ['aiot devi', ['device']],
    ['aiot device li', ['list']],
    ['aiot device list --sel', ['--selector']],
    ['aiot model train --kind cn', ['cnn1d']],
    ['aiot model train --kind=cn', ['--kind=cnn1d']],
    ['aiot context use fa', ['factory']],
    ['aiot device show mo', ['motor-1']],
    ['aiot device list --context factory --selector fa', ['fan-1']],
    ['aiot model train --report zs', ['zsh']],
  ])('completes %s with %j', (line, expected) => {
    const { stdout, stderr } = run('fish', ['--no-config', '-c', `source ./fish; complete -C '${line}'`]);
    expect(stderr).toBe('');
    const offered = stdout.split('\n').filter((each) => each !== '');
    expect(offered.map((each) => each.split('\t')[0])).toEqual(expected);
  });
});

import { spawnSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { adviceAsTyped, asTyped, programName } from '../../src/lib/cli/invocation.js';
import { root } from '../support/cli.js';

let folder: string;
let script: string;

async function executable(...path: string[]): Promise<string> {
  const file = join(folder, ...path);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, '#!/bin/sh\n');
  await chmod(file, 0o755);
  return file;
}

async function linked(target: string, ...path: string[]): Promise<void> {
  const file = join(folder, ...path);
  await mkdir(dirname(file), { recursive: true });
  await symlink(target, file);
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-name-'));
  script = await executable('clone', 'bin', 'run.js');
  await mkdir(join(folder, 'clone', 'docs'));
  await mkdir(join(folder, 'project', 'data'), { recursive: true });
  await executable('other', 'aiot');
  await linked(script, 'installed', 'aiot');
  await linked(script, 'npm', 'node_modules', '.bin', 'aiot');
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe('the program name in suggested commands', () => {
  const at = (cwd: string, ...path: string[]) =>
    programName({
      ...{ script, platform: 'linux' },
      cwd: join(folder, cwd),
      path: path.map((own) => join(folder, own)).join(':'),
    });

  it('is aiot if the shell finds this program by that name', () => {
    expect(at('clone', 'installed')).toBe('aiot');
    expect(
      programName({
        script: join(folder, 'installed', 'aiot'),
        cwd: folder,
        path: join(folder, 'installed'),
      }),
    ).toBe('aiot');
  });

  it('is aiot if the shell finds the script of a package that contains Node', async () => {
    await executable('usr', 'bin', 'aiot');
    const own = await executable('usr', 'lib', 'aiot', 'bin', 'run.js');
    const path = join(folder, 'usr', 'bin');
    expect(programName({ script: own, cwd: folder, path, platform: 'linux' })).toBe('aiot');
    expect(programName({ script, cwd: folder, path, platform: 'linux' })).toBe('clone/bin/run.js');
  });

  it('is the path to bin/run.js in a clone, relative to the working directory', () => {
    expect(at('clone', 'clone/docs')).toBe('bin/run.js');
    expect(at('clone/docs')).toBe('../bin/run.js');
    expect(at('clone/bin')).toBe('./run.js');
    expect(at('project/data')).toBe(script);
  });

  it('is not aiot if that is another program or is found only on npm’s PATH', () => {
    expect(at('clone', 'other', 'installed')).toBe('bin/run.js');
    expect(at('clone', 'npm/node_modules/.bin')).toBe('bin/run.js');
  });

  it('is npx aiot in a project that has installed it', async () => {
    const own = await executable('project', 'node_modules', 'aiot', 'bin', 'run.js');
    await linked(own, 'project', 'node_modules', '.bin', 'aiot');
    const inProject = (cwd: string) =>
      programName({ script: own, cwd: join(folder, cwd), path: '', platform: 'linux' });
    expect(inProject('project')).toBe('npx aiot');
    expect(inProject('project/data')).toBe('npx aiot');
    expect(inProject('clone')).toBe('../project/node_modules/aiot/bin/run.js');
  });

  it.each([
    [['aiot'], 'npx aiot'],
    [['./aiot-0.1.0.tgz'], 'npx ./aiot-0.1.0.tgz'],
    [['aiot', 'other'], null],
  ])('repeats the words for npx if npx has downloaded %j', async (packages, expected) => {
    const cache = join('home', '_npx', String(packages.length + packages[0]!.length));
    const own = await executable(cache, 'node_modules', 'aiot', 'bin', 'run.js');
    await writeFile(join(folder, cache, 'package.json'), JSON.stringify({ _npx: { packages } }));
    const name = programName({ script: own, cwd: join(folder, 'project/data'), path: '', platform: 'linux' });
    expect(name).toBe(expected ?? own);
  });

  it('includes node on Windows, which ignores shebang lines', () => {
    expect(programName({ script, cwd: join(folder, 'clone'), path: '', platform: 'win32' })).toBe(
      'node bin/run.js',
    );
  });

  it('replaces aiot only where it begins a command', () => {
    expect(asTyped('aiot model push aiot', 'bin/run.js')).toBe('bin/run.js model push aiot');
    expect(asTyped('aiot down --data aiot && aiot up --new-token', 'npx aiot')).toBe(
      'npx aiot down --data aiot && npx aiot up --new-token',
    );
    expect(adviceAsTyped('aiot error', 'npx aiot')).toBe('npx aiot error');
    expect(
      adviceAsTyped('Not an aiot model: run `aiot model list`, or start it: aiot up.', 'bin/run.js'),
    ).toBe('Not an aiot model: run `bin/run.js model list`, or start it: bin/run.js up.');
    expect(adviceAsTyped('aiot device logs, aiot platform logs', 'npx aiot')).toBe(
      'npx aiot device logs, npx aiot platform logs',
    );
    expect(adviceAsTyped('Run aiot --help to list the commands.', 'npx aiot')).toBe(
      'Run npx aiot --help to list the commands.',
    );
  });

  it.each([
    ['a clone', '', 'bin/run.js'],
    ['an installed program', 'installed-here', 'aiot'],
  ])('is used by results and errors of %s', async (_what, bin, expected) => {
    if (bin !== '') await linked(join(root, 'bin', 'run.js'), bin, 'aiot');
    const run = (...args: string[]) =>
      spawnSync(process.execPath, [join(root, 'bin', 'run.js'), ...args], {
        ...{ cwd: root, encoding: 'utf8', timeout: 60_000 },
        env: { PATH: join(folder, bin), HOME: folder, NO_COLOR: '1' },
      });
    expect(run('context', 'list').stdout).toContain(`Next: ${expected} up`);
    expect(run('error', 'zzz').stderr).toContain(`run \`${expected} error\``);
    expect(run('error', 'zzz', '--json').stdout).toContain('run `aiot error`');
  });
});

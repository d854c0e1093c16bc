import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { programName } from '../../src/lib/cli/invocation.js';

let folder: string;
let script: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-name-'));
  script = join(folder, 'clone', 'bin', 'run.js');
  for (const dir of ['clone/bin', 'clone/docs', 'installed', 'other', 'npm/node_modules/.bin'])
    await mkdir(join(folder, dir), { recursive: true });
  await writeFile(script, '#!/usr/bin/env node\n');
  await writeFile(join(folder, 'other', 'aiot'), '#!/bin/sh\n');
  await chmod(join(folder, 'other', 'aiot'), 0o755);
  await chmod(script, 0o755);
  await symlink(script, join(folder, 'installed', 'aiot'));
  await symlink(script, join(folder, 'npm', 'node_modules', '.bin', 'aiot'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe('the program name in suggested commands', () => {
  const at = (cwd: string, ...path: string[]) =>
    programName({
      ...{ script, platform: 'linux' },
      cwd: join(folder, cwd),
      path: path.map((own) => join(folder, own)).join(':'),
    });

  it('is aiot if the shell finds this program by that name', async () => {
    expect(await at('clone', 'installed')).toBe('aiot');
    expect(
      await programName({
        script: join(folder, 'installed', 'aiot'),
        cwd: folder,
        path: join(folder, 'installed'),
      }),
    ).toBe('aiot');
  });

  it('is the path to bin/run.js in a clone, relative to the working directory', async () => {
    expect(await at('clone', 'clone/docs')).toBe('bin/run.js');
    expect(await at('clone/docs')).toBe('../bin/run.js');
    expect(await at('clone/bin')).toBe('./run.js');
    expect(await at('npm/node_modules')).toBe(script);
  });

  it('is not aiot if that is another program or is found only on npm’s PATH', async () => {
    expect(await at('clone', 'other', 'installed')).toBe('bin/run.js');
    expect(await at('clone', 'npm/node_modules/.bin')).toBe('bin/run.js');
  });

  it('includes node on Windows, which ignores shebang lines', async () => {
    expect(await programName({ script, cwd: join(folder, 'clone'), path: '', platform: 'win32' })).toBe(
      'node bin/run.js',
    );
  });
});

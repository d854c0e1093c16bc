import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { chosen, type Part, parts, usersOfParts } from '../../scripts/parts/table.js';
import { root } from '../support/cli.js';

const all: [name: string, part: Part][] = Object.entries(parts);

describe('the table of real parts', () => {
  it('lists the test folders that use each part, and no unused part', () => {
    const users = usersOfParts();
    expect([...(users.get('redis') ?? [])].sort()).toEqual(['loop', 'stream']);
    expect([...users.keys()].filter((name) => !(name in parts))).toEqual([]);
    // The programs that benchmarks compare with, and the tools that check the Debian package.
    const others = ['nginx', 'packaging', 'tflite-c'];
    expect(all.map(([name]) => name).filter((name) => !users.has(name) && !others.includes(name))).toEqual(
      [],
    );
  });

  it('explains how each part is installed, or why it is not', () => {
    const silent = all.filter(([, part]) => !part.apt && !part.python && !part.script && !part.elsewhere);
    expect(silent.map(([name]) => name)).toEqual([]);
    const scripts = all.flatMap(([, { script }]) => script ?? []);
    const there = readdirSync(join(root, 'scripts', 'parts')).filter((name) => name.endsWith('.sh'));
    expect(scripts.sort()).toEqual(there.sort());
  });

  it('selects parts by name and by test folder in its own order, and rejects unknown names', () => {
    expect(chosen(['redis', 'kafka'])).toEqual(['kafka', 'redis']);
    expect(chosen(['web'])).toEqual(['chromium']);
    expect(chosen([])).toEqual(all.flatMap(([name, { byName }]) => (byName ? [] : name)));
    // PyTorch is large, so only its name selects it.
    expect(chosen([])).not.toContain('torch');
    expect(chosen(['model'])).not.toContain('torch');
    expect(chosen(['torch'])).toEqual(['torch']);
    expect(() => chosen(['kafak'])).toThrow('not a part or a folder of test/: kafak');
  });

  it('is printed by npm run parts -- --list, which exits with 2 for an unknown name', () => {
    const run = (...args: string[]) =>
      spawnSync(process.execPath, [join(root, 'scripts/parts.js'), ...args], { encoding: 'utf8' });
    const { stdout, status } = run('--list', 'redis');
    expect(stdout).toMatch(/^redis +\d+ MB {2}Redis \[loop, stream\]: (ready|missing)\n$/);
    expect(status).toBe(0);
    expect(run('nothing').status).toBe(2);
  });

  it('are installed once for all clones, by one clone at a time', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'aiot-parts-'));
    const sleeper = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 60_000)']);
    try {
      const clones = ['one', 'two'].map((name) => join(folder, name)) as [string, string];
      for (const clone of clones) {
        mkdirSync(join(clone, 'test'), { recursive: true });
        cpSync(join(root, 'scripts'), join(clone, 'scripts'), { recursive: true });
      }
      // A program that makes the part `cc` ready.
      writeFileSync(join(folder, 'cc'), '', { mode: 0o755 });
      const env = {
        ...{ ...process.env, AIOT_PARTS: '', XDG_CACHE_HOME: join(folder, 'cache') },
        PATH: `${folder}:${process.env.PATH}`,
      };
      const parts = (clone: string) =>
        spawn(process.execPath, [join(clone, 'scripts/parts.js'), 'cc'], { env });
      const linkIn = (clone: string) =>
        readdirSync(clone, { withFileTypes: true }).find((entry) => entry.isSymbolicLink())!.name;
      const ended = (child: ChildProcess) => once(child, 'exit').then(([code]) => code as number);
      expect(await ended(parts(clones[0]))).toBe(0);
      const shared = realpathSync(join(clones[0], linkIn(clones[0])));
      expect(shared).toBe(join(realpathSync(folder), 'cache', 'aiot-parts'));
      const lock = join(shared, '.build', 'lock');
      mkdirSync(lock, { recursive: true });
      writeFileSync(join(lock, `${sleeper.pid}`), '');
      const second = parts(clones[1]);
      const [line] = await once(second.stderr, 'data');
      expect(`${line}`).toContain(`Waiting for process ${sleeper.pid}`);
      sleeper.kill('SIGKILL');
      expect(await ended(second)).toBe(0);
      expect(realpathSync(join(clones[1], linkIn(clones[1])))).toBe(shared);
      // A cache can be deleted at any time.
      rmSync(shared, { recursive: true });
      expect(await ended(parts(clones[1]))).toBe(0);
      expect(readdirSync(shared)).toEqual(['.build']);
    } finally {
      sleeper.kill('SIGKILL');
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

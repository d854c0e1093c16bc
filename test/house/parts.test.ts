import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
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
});

import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { counted } from '../../fuzz/counted.js';
import { minimized } from '../../fuzz/minimize.js';
import { Mutator } from '../../fuzz/mutate.js';
import { seededRandom } from '../../src/lib/core/index.js';
import { root } from '../support/cli.js';
import { runProgram } from '../support/programs.js';

const fuzz = async (...args: string[]) => {
  const ran = await runProgram(process.execPath, ['--import', 'tsx', join(root, 'fuzz/run.ts'), ...args], {
    cwd: root,
  });
  return { ...ran, told: ran.stdout === '' ? null : JSON.parse(ran.stdout) };
};

describe('npm run fuzz', () => {
  it('finds an error without a code, a hang, memory without measure, and a changed prototype; and what it kept shows each again', {
    timeout: 180_000,
  }, async () => {
    const out = mkdtempSync(join(tmpdir(), 'aiot-fuzz-test-'));
    const { code, told, stderr } = await fuzz('--only', 'planted/', '--seconds', '10', '--out', out);
    expect(code, stderr).toBe(1);
    const found = told.findings as { target: string; kind: string; input: string }[];
    expect(found.map(({ target, kind }) => `${target} ${kind}`)).toEqual([
      'planted/error error',
      'planted/hang hang',
      'planted/slow hang',
      'planted/memory memory',
      'planted/prototype prototype',
    ]);
    // The least that shows it: 13 bytes, where its example has six.
    expect(Buffer.from(found[0]!.input, 'base64').toString()).toBe('0'.repeat(13));
    const file = join(out, 'planted-prototype-5');
    expect(readFileSync(file).toString('base64')).toBe(found[4]!.input);
    const again = await fuzz('--only', 'planted/prototype', '--replay', file);
    expect(again.told).toMatchObject({ target: 'planted/prototype', fault: { kind: 'prototype' } });
    expect(again.code).toBe(1);
    rmSync(out, { recursive: true });
  });

  it('finds nothing in readers that hold, tries the same for the same seed, and reaches what examples do not', {
    timeout: 120_000,
  }, async () => {
    const run = () => fuzz('--only', 'formats/cbor,formats/archive', '--inputs', '600', '--seconds', '40');
    const [first, second] = [await run(), await run()];
    expect(first.told.findings, first.stderr).toEqual([]);
    expect(first.code).toBe(0);
    const facts = ({ told }: typeof first) =>
      told.targets.map(({ seconds: _, ...run }: { seconds: number }) => run);
    expect(facts(first)).toEqual(facts(second));
    for (const { inputs, kept } of facts(first)) {
      expect(inputs).toBe(600);
      expect(kept).toBeGreaterThan(8);
    }
  });

  it('leaves nothing behind of what its targets write', { timeout: 120_000 }, async () => {
    const before = process.env.TMPDIR;
    const folder = mkdtempSync(join(tmpdir(), 'aiot-fuzz-test-'));
    process.env.TMPDIR = folder;
    try {
      const targets = 'model/tfjs,platform/http,planted/hang';
      const { told, stderr } = await fuzz(
        '--only',
        targets,
        '--inputs',
        '20',
        '--out',
        join(folder, 'found'),
      );
      const found = (told.findings as { target: string }[]).map(({ target }) => target);
      expect(found, stderr).toEqual(['planted/hang']);
      expect(readdirSync(folder).filter((name) => name.startsWith('aiot-'))).toEqual([]);
    } finally {
      if (before === undefined) delete process.env.TMPDIR;
      else process.env.TMPDIR = before;
      rmSync(folder, { recursive: true });
    }
  });

  it('lists its targets, and refuses one that it does not have', { timeout: 60_000 }, async () => {
    const list = await fuzz('--list');
    expect(list.stderr).toContain('formats/esp-image\n');
    expect(list.stderr).not.toContain('planted');
    const unknown = await fuzz('--only', 'nothing');
    expect(unknown.code).toBe(2);
    expect(unknown.stderr).toContain('no such target: nothing');
  });
});

describe('counters', () => {
  it('count each side of what parts a way, and change nothing of what it does', () => {
    const source = `(function f(n) { "use strict"; if (n > 2) return n; else n++; switch (n) { case 1: n = n ? 5 : 6; }
      for (const i of [1, 2]) n += i; const g = (m) => m && m.x?.y; return [n, g(null), g({ x: { y: 3 } }) ?? 4]; })`;
    const { text, next } = counted(source, 10);
    const run = (code: string, n: number) => {
      const __fuzz = new Uint8Array(40);
      const value = JSON.stringify((runInNewContext(code, { __fuzz }) as (n: number) => unknown)(n));
      return { value, passed: [...__fuzz].flatMap((count, at) => (count > 0 ? [`${at}×${count}`] : [])) };
    };
    for (const n of [0, 1, 3]) expect(run(text, n).value).toBe(run(source, n).value);
    expect(run(text, 3).passed).toEqual(['10×1', '11×1']);
    // The function, `else`, the case, its true side, the loop twice, the arrow twice, behind `&&` once.
    expect(run(text, 0).passed).toEqual(['10×1', '12×1', '13×1', '14×1', '16×2', '17×2', '18×1']);
    expect(next).toBe(20);
  });
});

describe('damage', () => {
  it('is the same of the same seed, no longer than told, and of all kinds', () => {
    const damage = (seed: number) => {
      const mutator = new Mutator(seededRandom(seed), ['magic'], 300);
      return Array.from({ length: 2000 }, () =>
        mutator.mutated(Buffer.from('x'.repeat(200)), Buffer.from('other')),
      );
    };
    const made = damage(1);
    expect(made.map(String)).toEqual(damage(1).map(String));
    expect(made.map(String)).not.toEqual(damage(2).map(String));
    expect(Math.max(...made.map(({ length }) => length))).toBe(300);
    const all = Buffer.concat(made).toString('latin1');
    const parts = ['magic', '__proto__', 'othe', '\xff\xff\xff', '\x7f\xff', 'x'.repeat(250)];
    expect(parts.filter((part) => !all.includes(part))).toEqual([]);
  });

  it('is made less as long as the same goes wrong', async () => {
    const input = Buffer.from('much before it A and B much behind it');
    const least = await minimized(input, async (less) => /A.*B/.test(less.toString()));
    expect(least.toString()).toBe('AB');
  });
});

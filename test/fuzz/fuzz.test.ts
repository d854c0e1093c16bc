import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { counted } from '../../fuzz/counted.js';
import { minimized } from '../../fuzz/minimize.js';
import { Mutator } from '../../fuzz/mutate.js';
import { seededRandom } from '../../src/lib/core/numbers.js';

describe('coverage counters', () => {
  it('count each side of a branch without changing the behavior', () => {
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
    // The counts of the function, `else`, the case, its true side, the loop (twice), the arrow (twice), and the part
    // after `&&` (once).
    expect(run(text, 0).passed).toEqual(['10×1', '12×1', '13×1', '14×1', '16×2', '17×2', '18×1']);
    expect(next).toBe(20);
  });
});

describe('mutated input', () => {
  it('is reproducible by seed, limited in length, and made by every kind of mutation', () => {
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

  it('is minimized while the same failure occurs', async () => {
    const input = Buffer.from('much before it A and B much behind it');
    const least = await minimized(input, async (less) => /A.*B/.test(less.toString()));
    expect(least.toString()).toBe('AB');
  });
});

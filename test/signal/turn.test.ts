import { expect, it } from 'vitest';
import { turn } from '../../src/lib/signal/turn.js';

it('a turn is exact on the axes and lies on the unit circle everywhere', () => {
  expect([0, 1, 2, 3].map((quarter) => turn(quarter, 4))).toEqual([
    { cos: 1, sin: 0 },
    { cos: -0, sin: 1 },
    { cos: -1, sin: -0 },
    { cos: 0, sin: -1 },
  ]);
  for (let k = 0; k < 501; k++) {
    const { cos, sin } = turn(k, 501);
    expect(Math.abs(cos * cos + sin * sin - 1)).toBeLessThan(4e-16);
    expect(Math.abs(cos - Math.cos((2 * Math.PI * k) / 501))).toBeLessThan(1e-15);
    expect(Math.abs(sin - Math.sin((2 * Math.PI * k) / 501))).toBeLessThan(1e-15);
  }
});

it('mirrored turns have the same sine and cosine, up to the sign', () => {
  const { cos, sin } = turn(1, 8);
  expect(Math.abs(cos - Math.SQRT1_2)).toBeLessThan(2e-16);
  expect(Math.abs(sin - Math.SQRT1_2)).toBeLessThan(2e-16);
  for (let k = 1; k < 60; k++) {
    if (k % 15 === 0) continue;
    expect(turn(k, 120).cos).toBe(turn(120 - k, 120).cos);
    expect(turn(k, 120).sin).toBe(-turn(120 - k, 120).sin);
    expect(turn(k, 120).sin).toBe(turn(60 - k, 120).sin);
  }
});

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { seededRandom } from '../../src/lib/core/numbers.js';
import { root } from '../support/cli.js';
import { describeReal, python } from '../support/real.js';

const core = join(root, 'firmware', 'core');
const sources = ['guide_spectrum', 'fourier', 'stages', 'turn'].map((name) =>
  join(core, 'src', 'signal', `${name}.c`),
);

/** Finds the same peak with numpy's FFT and Hamming window. */
const judge = `
import sys, numpy as np
for line in sys.stdin:
    n, rate, keep, *x = line.split()
    n, rate, x = int(n), float(rate), np.array([float(v) for v in x])
    if keep == '0': x = x - x.mean()
    w = np.hamming(n)
    m = np.abs(np.fft.fft(x * w))
    best = 0
    for k in range(1, n // 2 + 1):
        if m[k] > m[k - 1] and m[k] > m[k + 1] and (best == 0 or m[k] > m[best]): best = k
    a, b, c = m[best - 1], m[best], m[best + 1]
    hz = (best + 0.5 * (a - c) / (a - 2 * b + c)) * rate / n
    print(best, repr(float(hz)), repr(float(b)), repr(float((1 if best == n // 2 else 2) * b / w.sum())), *[repr(float(v)) for v in m[: n // 2 + 1]])
`;

describeReal('litert', 'the firmware’s spectrum compared with numpy', () => {
  let folder = '';
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'aiot-spectrum-'));
    const test = join(root, 'firmware', 'test', 'spectrum_test.c');
    const flags = ['-std=c11', '-O2', '-ffp-contract=off', '-I', join(core, 'include')];
    const made = [
      ...flags,
      ...sources,
      join(core, 'src', 'arena.c'),
      test,
      '-lm',
      '-o',
      join(folder, 'spectrum'),
    ];
    execFileSync('cc', made);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('has the same peak for 120 signals of 4 to 1024 samples, with and without their mean', () => {
    const random = seededRandom(11);
    const lines = Array.from({ length: 120 }, (_, i) => {
      const n = 2 ** (2 + (i % 9));
      const [hz, mean] = [random() / 2, 20 * random()];
      const samples = Array.from(
        { length: n },
        (_, t) => mean + Math.sin(2 * Math.PI * hz * t) + 0.3 * (random() - 0.5),
      );
      return `${n} ${100 + i} ${i % 2} ${samples.join(' ')}`;
    });
    const input = `${lines.join('\n')}\n`;
    const run = (program: string, args: string[]) => {
      const { status, stdout, stderr } = spawnSync(program, args, { input, encoding: 'utf8' });
      expect(stderr).toBe('');
      expect(status).toBe(0);
      return stdout
        .trim()
        .split('\n')
        .map((line) => line.split(' ').map(Number));
    };
    const got = run(join(folder, 'spectrum'), ['-']);
    const expected = run(python('litert'), ['-c', judge]);
    expect(got.length).toBe(120);
    expect(got.map(([bin]) => bin)).toEqual(expected.map(([bin]) => bin));
    expect(got.filter(([bin]) => bin !== 0).length).toBeGreaterThan(100);
    got.forEach((row, i) => {
      if (row[0] === 0) return;
      const scale = Math.max(...expected[i]!.slice(4));
      row.slice(1).forEach((value, k) => {
        expect(Math.abs(value - expected[i]![k + 1]!)).toBeLessThan(1e-10 * Math.max(scale, Math.abs(value)));
      });
    });
  });
});

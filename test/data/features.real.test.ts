import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { runCli } from '../support/cli.js';
import { describeReal, recordingsFolder } from '../support/real.js';

let dir: string;
const file = (name: string) => join(dir, name);
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'aiot-features-'));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

const features = (...argv: string[]) => runCli(['data', 'features', ...argv]);

describeReal('recordings', 'the original merged feature table', () => {
  const har = recordingsFolder;
  const rowsOf = async (path: string) =>
    (await readFile(path, 'utf8'))
      .trim()
      .split('\n')
      .slice(1)
      .map((line) => line.split(','));

  const keyOf = (row: string[]) => [0, 1, 30, 34, 60].map((i) => Number(row[i]).toPrecision(8)).join();

  it('matches the rows file by file in order, except for rows manually removed from three files', async () => {
    const merged = await rowsOf(join(har, 'features', 'merged_features.csv'));
    const out = file('all.csv');
    const cut = ['--rate', '100', '--window', '501', '--stride', '500', '--trim', '100'];
    await features(join(har, 'recordings'), '--set', 'har', ...cut, '--out', out);
    const own = (await rowsOf(out)).filter((row) => !row.includes(''));
    expect([own.length, merged.length]).toEqual([995, 927]);
    const places = new Map(own.map((row, i) => [keyOf(row), i]));
    let worst = 0;
    const found = merged.map((row) => {
      const at = places.get(keyOf(row))!;
      const mine = own[at]!;
      for (let i = 0; i < 115; i++) {
        const expected = Number(row[i]);
        worst = Math.max(worst, Math.abs(Number(mine[i]) - expected) / Math.max(1e-6, Math.abs(expected)));
      }
      expect(row[115]).toBe(['lying', 'sitting'].includes(mine[116]!) ? 'resting' : mine[116]);
      return { at, recording: mine[115]! };
    });
    expect(worst).toBeLessThan(1e-9);
    // The rows of each file are consecutive, and its windows are in order.
    const files = found.filter(({ recording }, i) => recording !== found[i - 1]?.recording);
    expect([files.length, new Set(files.map(({ recording }) => recording)).size]).toEqual([53, 53]);
    expect(
      found.every(({ at, recording }, i) => recording !== found[i - 1]?.recording || at > found[i - 1]!.at),
    ).toBe(true);
    const missing = new Set(own.filter((_, i) => !found.some(({ at }) => at === i)).map((row) => row[115]));
    expect([...missing]).toEqual(['lying5', 'sitting2', 'sitting3']);
  });
});

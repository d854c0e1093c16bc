import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  changes,
  compareSamples,
  halves,
  independentCases,
  independentRows,
  motorCases,
  motors,
  ratesOf,
} from '../../bench/drift/rates.js';
import DataDrift from '../../src/commands/data/drift.js';
import { gaussian, seededRandom } from '../../src/lib/core/numbers.js';
import { paceOf } from '../../src/lib/data/drift/effective-count.js';
import { sortNumbers } from '../../src/lib/data/drift/profile.js';
import { initProject } from '../../src/lib/project/init.js';

import { runCli } from '../support/cli.js';
import { fc, runs } from '../support/property.js';

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'aiot-drift-'));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

async function csv(name: string, header: string, rows: (string | number)[][]): Promise<string> {
  const file = join(dir, name);
  await writeFile(file, `${header}\n${rows.map((row) => row.join(',')).join('\n')}\n`);
  return file;
}

/** Writes rows with `time, temperature, vibration, kind` at 10 Hz. `change` may alter each row. */
async function sensor(
  name: string,
  seed: number,
  change: (row: (string | number)[], i: number) => void = () => {},
  rows = 2000,
) {
  const random = seededRandom(seed);
  const list = Array.from({ length: rows }, (_, i) => {
    const row: (string | number)[] = [
      new Date(Date.UTC(2026, 0, 1) + i * 100).toISOString(),
      (20 + gaussian(random)).toFixed(3),
      gaussian(random).toFixed(3),
      random() < 0.3 ? 'warm' : 'cold',
    ];
    change(row, i);
    return row;
  });
  return await csv(name, 'time,temperature,vibration,kind', list);
}

async function drift(...argv: string[]) {
  const { json, code, stdout } = await runCli(['data', 'drift', ...argv, '--json']);
  return { code, stdout, found: DataDrift.result.parse(json) as ReturnType<typeof DataDrift.result.parse> };
}
const featureOf = (found: { features: { name: string }[] }, name: string) =>
  found.features.find((one) => one.name === name) as never as Record<string, unknown>;

describe('aiot data drift', () => {
  it('finds no drift in equal distributions, and reports every metric', async () => {
    const { found, code } = await drift(await sensor('a.csv', 1), await sensor('b.csv', 2));
    expect(code).toBe(0);
    expect(found.drifted).toBe(false);
    expect(found.features.map(({ name, drifted }) => [name, drifted])).toEqual([
      ['temperature', false],
      ['vibration', false],
      ['kind', false],
    ]);
    for (const one of found.features.slice(0, 2)) {
      for (const key of ['psi', 'js', 'ks', 'wasserstein'] as const) expect(one[key]).toBeTypeOf('number');
    }
  });

  it('detects a unit change and its start, with columns in any order', async () => {
    const base = await sensor('unit-base.csv', 1);
    const now = await sensor('unit-now.csv', 2, (row, i) => {
      if (i >= 1500) row[1] = (Number(row[1]) * 1.8 + 32).toFixed(3);
    });
    const lines = (await readFile(now, 'utf8'))
      .trim()
      .split('\n')
      .map((line) => line.split(',').reverse().join(','));
    await writeFile(now, `${lines.join('\n')}\n`);
    const { found } = await drift(base, now, '--windows', '8');
    expect(found.drifted).toBe(true);
    const one = featureOf(found, 'temperature') as { drifted: boolean; since: { row: number; time: string } };
    expect(one.drifted).toBe(true);
    expect(Math.abs(one.since.row - 1501)).toBeLessThan(20);
    expect(one.since.time).toMatch(/^2026-01-01T00:02:(29|30)/);
    expect(featureOf(found, 'vibration').drifted).toBe(false);
    expect(found.windows.map(({ drifted }) => drifted)).toEqual([
      false,
      false,
      false,
      false,
      false,
      false,
      true,
      true,
    ]);
    const { found: whole } = await drift(
      base,
      await sensor('f.csv', 3, (row) => {
        row[1] = (Number(row[1]) * 1.8 + 32).toFixed(3);
      }),
    );
    expect(featureOf(whole, 'temperature')).toMatchObject({ hint: 'degC became degF', since: { row: 1 } });
  });

  it.each([
    [
      'missing cells',
      (row: (string | number)[], i: number) => {
        if (i % 10 === 0) row[1] = '';
      },
      'temperature',
      'missing',
    ],
    [
      'an infinite value',
      (row: (string | number)[], i: number) => {
        if (i === 7) row[1] = 'inf';
      },
      'temperature',
      'infinite',
    ],
    [
      'a stuck sensor',
      (row: (string | number)[], i: number) => {
        if (i > 1000) row[2] = 0.5;
      },
      'vibration',
      'stuck',
    ],
    [
      'a constant',
      (row: (string | number)[]) => {
        row[2] = 0.5;
      },
      'vibration',
      'stuck',
    ],
    [
      'words instead of numbers',
      (row: (string | number)[]) => {
        row[2] = 'off';
      },
      'vibration',
      'type',
    ],
    [
      'an empty column',
      (row: (string | number)[]) => {
        row[2] = '';
      },
      'vibration',
      'missing',
    ],
    [
      'a new category',
      (row: (string | number)[], i: number) => {
        if (i % 20 === 0) row[3] = 'hot';
      },
      'kind',
      'category',
    ],
    [
      'different shares of categories',
      (row: (string | number)[], i: number) => {
        if (i % 3 === 0) row[3] = 'warm';
      },
      'kind',
      'distribution',
    ],
  ] as const)('detects %s', async (name, change, column, reason) => {
    const file = `${name.replaceAll(' ', '-')}.csv`;
    const { found } = await drift(await sensor('base.csv', 1), await sensor(file, 2, change));
    const drifted = found.features.filter((one) => one.drifted);
    expect(drifted.map((one) => one.name)).toEqual([column]);
    expect(drifted[0]!.reasons).toContain(reason);
  });

  it('lists columns found in only one of the files, and rejects files without common columns', async () => {
    const a = await csv(
      'cols-a.csv',
      'x,y,z',
      Array.from({ length: 60 }, (_, i) => [i % 7, i % 5, 1]),
    );
    const b = await csv(
      'cols-b.csv',
      'z,x,w',
      Array.from({ length: 60 }, (_, i) => [1, i % 7, 2]),
    );
    const { found } = await drift(a, b);
    expect(found).toMatchObject({ onlyInBase: ['y'], onlyInNow: ['w'], drifted: false });
    expect(found.features.map(({ name }) => name)).toEqual(['x', 'z']);
    const c = await csv('cols-c.csv', 'other', [[1], [2]]);
    await expect(runCli(['data', 'drift', a, c])).resolves.toMatchObject({
      code: 2,
      stderr: expect.stringContaining('AIOT_CSV_COLUMNS'),
    });
  });

  it('separates labels and predictions from features', async () => {
    const rows = (shift: number) =>
      Array.from({ length: 600 }, (_, i) => [
        (i * 7919) % 101,
        (i * 31 + shift) % 10 < 3 + shift ? 'ill' : 'well',
        ((i * 17) % 100) / 100 + shift,
      ]);
    const { found } = await drift(
      await csv('label-a.csv', 'x,label,prediction', rows(0)),
      await csv('label-b.csv', 'x,label,prediction', rows(3)),
    );
    expect(found.features.map(({ name, drifted }) => [name, drifted])).toEqual([['x', false]]);
    expect(found).toMatchObject({
      label: { name: 'label', drifted: true },
      prediction: { name: 'prediction', drifted: true },
      drifted: true,
    });
  });

  it('exits with 6 if a limit is exceeded, and lists the limit', async () => {
    const base = await sensor('gate-a.csv', 1);
    const moved = await sensor('gate-b.csv', 2, (row) => {
      row[1] = Number(row[1]) + 1;
    });
    expect((await drift(base, moved)).code).toBe(0);
    const failed = await drift(base, moved, '--fail-on-drift', '--max-psi', '0.2');
    expect(failed.code).toBe(6);
    expect(failed.found.gates).toMatchObject([
      {
        name: 'drift',
        passed: false,
        message: 'expected no drift, got drift in temperature, all columns together',
      },
      { name: 'psi', passed: false, limit: 0.2 },
    ]);
    expect(
      (await drift(base, await sensor('gate-c.csv', 3), '--fail-on-drift', '--max-psi', '0.2')).code,
    ).toBe(0);
  });

  it('uses limits, units, and the baseline from a project', async () => {
    const project = join(dir, 'motor');
    await initProject({ dir: project, template: 'motor-watch', name: 'motor' });
    const file = join(project, 'aiot.yaml');
    const text = await readFile(file, 'utf8');
    await writeFile(file, text.replace('arena: 32KiB }', 'arena: 32KiB, drift: none }'));
    const same = await drift(join(project, 'data'), '--project', project);
    expect(same.found).toMatchObject({
      base: { from: 'project' },
      now: { from: 'recordings' },
      drifted: false,
      ok: true,
      label: { name: 'label' },
    });
    expect(featureOf(same.found, 'current')).toMatchObject({ unit: 'A', psi: 0, ks: 0 });
    const moved = motors([1, 2, 3, 4, 5, 6], 16, 'blocked').columns;
    const other = await csv(
      'blocked.csv',
      Object.keys(moved).join(','),
      Array.from({ length: 3200 * 6 }, (_, i) => Object.values(moved).map((column) => column[i]!.toFixed(4))),
    );
    const { code, found } = await drift(other, '--project', project);
    expect(code).toBe(6);
    expect(featureOf(found, 'current').drifted).toBe(true);
  }, 30_000);

  it('accepts a saved reference in place of its rows', async () => {
    const base = await sensor('ref-base.csv', 1);
    const now = await sensor('ref-now.csv', 2, (row) => {
      row[1] = Number(row[1]) + 0.7;
    });
    const reference = join(dir, 'reference.json');
    await runCli(['data', 'stats', base, '--save', reference, '--json']);
    const rows = (await drift(base, now)).found;
    const { found } = await drift(reference, now);
    expect(found).toMatchObject({
      base: { from: 'reference', rows: 2000 },
      approximate: true,
      drifted: true,
    });
    for (const [i, one] of found.features.entries()) {
      const whole = rows.features[i]!;
      expect(one).toMatchObject({ name: whole.name, psi: whole.psi, js: whole.js, drifted: whole.drifted });
      if (one.ks !== null) expect(Math.abs(one.ks - whole.ks!)).toBeLessThan(0.002);
    }
    expect(found.joint?.auc).toBe(rows.joint?.auc);
  });

  it('prints the drifted columns, and writes a self-contained report', async () => {
    const base = await sensor('text-a.csv', 1);
    const moved = await sensor('text-b.csv', 2, (row) => {
      row[1] = Number(row[1]) + 2;
    });
    const report = join(dir, 'drift.html');
    const { stdout } = await runCli(['data', 'drift', base, moved, '--report', report]);
    expect(stdout).toContain('temperature  drifted');
    expect(stdout).toContain('Drift in temperature.');
    const page = await readFile(report, 'utf8');
    expect(page).toContain('<h1>Drift in temperature</h1>');
    expect(page).not.toMatch(/(?:src|href)=|url\(|@import|https?:|NaN|undefined/);
    expect(page).toContain('role="img" aria-label="Distribution of temperature: drifted');
    const refused = await runCli(['data', 'drift', base, moved, '--report', base]);
    expect(refused.code).toBe(2);
  });
});

describe('drift detection', () => {
  const told = (rates: { name: string; told: number }[]) =>
    Object.fromEntries(rates.map((rate) => [rate.name, rate.told]));

  it('never flags unchanged independent rows, and always flags large changes', () => {
    const rates = ratesOf(independentCases, 4, (repeat) => [
      independentRows(1000, 2 * repeat + 101),
      independentRows(1000, 2 * repeat + 102),
    ]);
    expect(told(rates)).toMatchObject({
      'no change': 0,
      'mean + 1 deviation': 1,
      'deviation × 1.5': 1,
      'stuck in the second half': 1,
      'axes a and b swapped': 1,
      'g became m/s² (× 9.81)': 1,
      'degC became degF': 1,
    });
  });

  it('never flags the two halves of one motor’s data, and always flags a unit change', () => {
    const rates = ratesOf(motorCases.slice(0, 5), 4, (repeat) => halves(repeat + 301, 16));
    expect(told(rates)).toMatchObject({
      'no change': 0,
      'vibration: g became m/s² (× 9.81)': 1,
      'temperature: degC became degF': 1,
    });
  });

  it('accepts other healthy motors, and flags a blocked one', () => {
    const seeds = (from: number, count: number) => Array.from({ length: count }, (_, i) => from + i);
    const base = motors(seeds(1, 20), 8);
    expect(compareSamples(base, motors(seeds(101, 20), 8)).drifted).toBe(false);
    const worn = compareSamples(base, motors(seeds(101, 20), 8, 'blocked'));
    expect(worn.features.find(({ name }) => name === 'current')?.drifted).toBe(true);
  });
});

describe('drift helpers', () => {
  it('sort numbers like the JavaScript engine', () => {
    const scratch = new Float64Array(6000);
    fc.assert(
      fc.property(
        fc.integer({ min: 2000, max: 6000 }),
        fc.integer(),
        fc.constantFrom(1, 1e-9, 1e9, 0.25),
        (count, seed, scale) => {
          const random = seededRandom(seed);
          const values = Float64Array.from({ length: count }, () =>
            scale === 0.25
              ? Math.round(gaussian(random) * 4)
              : 1e6 + gaussian(random) * scale - (random() < 0.5 ? 2e6 : 0),
          );
          expect(sortNumbers(values.slice(), scratch)).toEqual(values.slice().sort());
        },
      ),
      { numRuns: runs(20) },
    );
  });

  it('estimate the autocorrelation time of a series', () => {
    const random = seededRandom(1);
    for (const rho of [0, 0.5, 0.9, 0.99]) {
      let value = 0;
      const series = Float64Array.from({ length: 200_000 }, () => {
        value = rho * value + gaussian(random);
        return value;
      });
      const time = paceOf(series).time;
      expect(time / ((1 + rho) / (1 - rho))).toBeGreaterThan(0.85);
      expect(time / ((1 + rho) / (1 - rho))).toBeLessThan(1.2);
    }
    expect(paceOf(Float64Array.from({ length: 1000 }, (_, i) => i)).time).toBeGreaterThan(250);
  });

  it('leave inputs unchanged under an identity change', () => {
    const sample = independentRows(300, 1);
    expect(changes.linear('a', 1, 0)(sample).columns.a).toEqual(sample.columns.a);
  });
});

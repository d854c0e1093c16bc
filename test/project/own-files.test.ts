import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { telemetryNames } from '../../src/lib/core/names.js';
import { seededRandom } from '../../src/lib/core/numbers.js';
import { loadProject } from '../../src/lib/core/project.js';
import { fieldsOfColumns } from '../../src/lib/data/tables/columns.js';
import { accelerationUnitNamed } from '../../src/lib/data/units.js';
import { telemetryMembers } from '../../src/lib/device/protocol/messages.js';
import { readRecording } from '../../src/lib/device/telemetry/sensor.js';
import { runCli } from '../support/cli.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-own-files-'));
});
afterAll(() => rm(folder, { recursive: true }));

/** Writes four recordings of two labels with 200 rows at 50 Hz. @param time the time of row i, ms */
async function recordings(
  name: string,
  {
    cell = ',',
    decimal = '.',
    time = (i: number) => (20 * i) as number | string,
    column = 'time_ms',
    rows = 200,
  } = {},
): Promise<string> {
  const at = join(folder, name);
  const random = seededRandom(5);
  await mkdir(at);
  for (const file of ['idle1', 'idle2', 'run1', 'run2']) {
    const lines = Array.from({ length: rows }, (_, i) => {
      const values = [random(), file.startsWith('run') ? 3 * random() : random()];
      return [time(i), ...values.map((v) => v.toFixed(3).replace('.', decimal))].join(cell);
    });
    await writeFile(join(at, `${file}.csv`), `${[column, 'a', 'b'].join(cell)}\n${lines.join('\n')}\n`);
  }
  return at;
}

describe('files whose cells are not separated by commas', () => {
  it.each([
    [';', ',', 'Cells +separated by semicolons, with a decimal comma'],
    [';', '.', 'Cells +separated by semicolons\n'],
    ['\t', ',', 'Cells +separated by tabs, with a decimal comma'],
  ])(
    'are read with %j between the cells and %j in numbers, and init reports that',
    async (cell, decimal, says) => {
      const name = `cells-${cell.charCodeAt(0)}-${decimal.charCodeAt(0)}`;
      const from = await recordings(`${name}-from`, { cell, decimal });
      const dir = join(folder, name);
      const { stdout } = await runCli(['init', dir, '--from', from]);
      expect(stdout).toMatch(new RegExp(says));
      expect(stdout).toMatch(/Rate +50 Hz, from the time column/);
      const rows = async (file: string) => (await readFile(file, 'utf8')).trim().split('\n').slice(1);
      const own = await rows(join(from, 'run2.csv'));
      const copied = await rows(join(dir, 'data', 'recordings', 'run2.csv'));
      const numbers = own.map((row) =>
        row
          .replaceAll(decimal, '.')
          .split(cell === '.' ? ',' : cell)
          .slice(1)
          .map(Number),
      );
      expect(copied.map((row) => row.split(',').map(Number))).toEqual(numbers);
      expect((await runCli(['data', 'check', from, '--json'])).json).toMatchObject({
        rateHz: 50,
        findings: [],
      });
      await rename(join(from, 'run2.csv'), join(from, 'run3.csv'));
      const imported = await runCli(['data', 'import', join(from, 'run3.csv'), '--project', dir]);
      expect(imported.code).toBe(0);
      expect(await rows(join(dir, 'data', 'recordings', 'run3.csv'))).toEqual(copied);
    },
  );

  it('name the line and column of a bad cell', async () => {
    const from = join(folder, 'bad-cell');
    await mkdir(from);
    await writeFile(join(from, 'a.csv'), 'time;x\n0;1,5\n20;x,5\n');
    await expect(runCli(['init', join(folder, 'bad-cell-project'), '--from', from])).resolves.toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/a\.csv:3:4: expected a finite number for "x"/),
    });
  });

  it('may have commas in names', async () => {
    const from = join(folder, 'comma-names');
    await mkdir(from);
    await writeFile(join(from, 'a.csv'), 'time;force, N;way, mm\n0;1,5;2,5\n20;1,25;2\n40;1;2\n');
    const { json } = await runCli(['data', 'check', from, '--json']);
    expect(json).toMatchObject({ recordings: 1, samples: 3 });
  });

  it('are read as tables', async () => {
    const file = join(folder, 'rows.csv');
    const random = seededRandom(2);
    const rows = Array.from({ length: 60 }, (_, i) => {
      const [a, b] = [random(), random() + (i % 2)].map((v) => v.toFixed(3).replace('.', ','));
      return `${a};${b};${i % 2 === 0 ? 'off' : 'on'}`;
    });
    await writeFile(file, `a;b;label\n${rows.join('\n')}\n`);
    const dir = join(folder, 'rows-project');
    const { stdout } = await runCli(['init', dir, '--from', file]);
    expect(stdout).toMatch(/Inputs +a, b\n/);
    expect(stdout).toMatch(/Cells +separated by semicolons, with a decimal comma/);
    const trained = await runCli(['model', 'train', '--project', dir, '--epochs', '3', '--json']);
    expect(trained.json).toMatchObject({ classes: ['off', 'on'], inputs: ['a', 'b'] });
    await writeFile(file, `a;b;label\n${rows.join('\n')}\n1e99;1;on\n`);
    const beyond = await runCli(['model', 'train', '--project', dir, '--data', file]);
    expect(beyond.stderr).toMatch(/rows\.csv:62:1: expected a number of at most 3.4e38 for "a"/);
  });
});

describe('a time column', () => {
  const random = seededRandom(9);

  it.each<[string, (i: number) => number, string | null, number]>([
    ['that does not change', () => 7, 'does not change in', 100],
    [
      'that decreases',
      (i) => 20 * (200 - i),
      'decreases in idle1, idle2, run1, run2: the rows are in reverse order',
      100,
    ],
    ['with repeated rows', (i) => 20 * (i - (i % 10 === 3 ? 1 : 0)), '80 timestamps of time_ms', 50],
    ['with a gap', (i) => 20 * i + (i > 100 ? 4000 : 0), '4 gaps in the timestamps', 50],
    [
      'that rises and falls',
      () => Math.round(random() * 1000),
      'The values of time_ms rise and fall, so they are not times: the column is an input.',
      100,
    ],
    ['that jumps back once', (i) => 20 * (i % 150), '4 gaps in the timestamps', 50],
    ['in order', (i) => 20 * i, null, 50],
    ['of a clock in whole seconds', (i) => 1000 * Math.floor(i / 50), null, 50],
  ])('%s is named by init and data check, if it is a problem', async (name, time, message, rateHz) => {
    const from = await recordings(`from ${name}`, { time });
    const dir = join(folder, `time-${name.replaceAll(/\W+/g, '-')}`);
    const { stdout } = await runCli(['init', dir, '--from', from]);
    const { json } = await runCli(['data', 'check', from, '--json']);
    const { findings, rateHz: rate } = json as {
      findings: { kind: string; severity: string; message: string }[];
      rateHz: number;
    };
    const warnings = findings.filter(
      ({ kind, severity }) => /^(time|gap)$/.test(kind) && severity === 'warning',
    );
    expect(Math.round(rate)).toBe(rateHz);
    if (message === null) {
      expect(warnings).toEqual([]);
      expect(stdout).not.toContain('!');
      return;
    }
    expect(warnings.map((one) => one.message).join('\n')).toContain(message);
    expect(stdout).toContain(message);
  });
});

describe('a column with a name that telemetry messages reserve', () => {
  it('becomes a field of another name', async () => {
    const at = await recordings('reserved-from');
    for (const file of ['idle1', 'idle2', 'run1', 'run2']) {
      const path = join(at, `${file}.csv`);
      await writeFile(path, (await readFile(path, 'utf8')).replace('time_ms,a,b', 'time_ms,t,rate'));
    }
    const dir = join(folder, 'reserved');
    const { stdout, code } = await runCli(['init', dir, '--from', at, '--no-color']);
    expect(code).toBe(0);
    expect(stdout).toContain('Telemetry messages reserve the name of the column t: it becomes the field _t.');
    const { stream } = (await loadProject(dir)).config;
    expect(Object.keys(stream.fields)).toEqual(['_t', '_rate']);
    expect([...telemetryNames]).toEqual([...telemetryMembers]);
    const sent = await readRecording(join(at, 'idle1.csv'), null);
    expect(sent.fields).toEqual(['_t', '_rate']);
    await rename(join(at, 'idle1.csv'), join(at, 'idle9.csv'));
    expect((await runCli(['data', 'import', join(at, 'idle9.csv'), '--project', dir])).code).toBe(0);
  });

  it('is reported in a table, whose columns keep their names', async () => {
    const at = join(folder, 'reserved.csv');
    const rows = Array.from(
      { length: 60 },
      (_, i) => `${20 + ((7 * i) % 11)},${i % 5},${i % 2 ? 'on' : 'off'}`,
    );
    await writeFile(at, ['t,load,state', ...rows].join('\n'));
    const dir = join(folder, 'reserved-rows');
    const { stdout } = await runCli(['init', dir, '--from', at, '--no-color']);
    expect(stdout).toContain('reserve the name of the column t: rename it, or devices cannot send it.');
    expect((await loadProject(dir)).config.stream.fields).toEqual({});
  });
});

describe('the number of epochs of a new project', () => {
  it.each([
    [200, 400],
    [20_000, 70],
    [40_000, 50],
  ])('with four recordings of %d samples is %d', async (rows, epochs) => {
    const from = await recordings(`epochs-from-${rows}`, { rows });
    const dir = join(folder, `epochs-${rows}`);
    await runCli(['init', dir, '--from', from]);
    expect(await readFile(join(dir, 'aiot.yaml'), 'utf8')).toContain(
      `train: { epochs: ${epochs}, batch: 32, seed: 7 }`,
    );
  });
});

describe('data list and data show', () => {
  it('mark recordings with problems', async () => {
    const from = await recordings('bad-from');
    const short = (await readFile(join(from, 'run1.csv'), 'utf8')).split('\n').slice(0, 30).join('\n');
    const dir = join(folder, 'bad');
    await runCli(['init', dir, '--from', from]);
    const clean = await runCli(['data', 'list', '--project', dir]);
    expect(clean.stdout).not.toContain('problems');
    expect((await runCli(['data', 'show', 'run1', '--project', dir, '--json'])).json).toMatchObject({
      findings: [],
    });
    await writeFile(join(from, 'short1.csv'), `${short}\n`);
    await runCli(['data', 'import', join(from, 'short1.csv'), '--project', dir, '--label', 'run']);
    const listed = await runCli(['data', 'list', '--project', dir]);
    expect(listed.stdout).toMatch(/recording +label +device +samples +length +problems/);
    expect(listed.stdout).toMatch(/short1 .* ! short\n/);
    expect(listed.stdout).toMatch(/run1 .* s\s*\n/);
    const shown = await runCli(['data', 'show', 'short1', '--project', dir]);
    expect(shown.stdout).toMatch(/! .*short1/);
  });
});

describe('units in the names of columns', () => {
  it('become the units of fields, and are accepted again by data import', async () => {
    const from = join(folder, 'units-from');
    await mkdir(from);
    const head =
      'time_ms,accel_x [g],accel_y [m/s^2],temperature (°C),humidity (%),flow (left),sensor (A),sensor (B)';
    const lines = Array.from({ length: 200 }, (_, i) => [
      20 * i,
      ...[1, 2, 3, 4, 5, 6, 7].map((k) => Math.sin(i / k)),
    ]);
    for (const file of ['idle1', 'idle2', 'run1', 'run2'])
      await writeFile(join(from, `${file}.csv`), `${head}\n${lines.join('\n')}\n`);
    const dir = join(folder, 'units');
    const { stdout, code } = await runCli(['init', dir, '--from', from, '--no-color']);
    expect(code).toBe(0);
    expect(stdout).toContain('accel_x (g), accel_y (m/s^2), temperature (°C), humidity (%), flow_left, ');
    const { stream } = (await loadProject(dir)).config;
    expect(Object.entries(stream.fields).map(([name, { unit }]) => [name, unit])).toEqual([
      ['accel_x', 'g'],
      ['accel_y', 'm/s^2'],
      ['temperature', '°C'],
      ['humidity', '%'],
      ['flow_left', ''],
      ['sensor_A', ''],
      ['sensor_B', ''],
    ]);
    await rename(join(from, 'idle1.csv'), join(from, 'idle9.csv'));
    expect((await runCli(['data', 'import', join(from, 'idle9.csv'), '--project', dir])).code).toBe(0);
  });

  it.each([
    [['temp (°C)', 'temp (°F)'], { temp_C: '°C', temp_F: '°F' }],
    [['x (1)', 'y[rpm]', 'z (m/s/s)', '(g)'], { x_1: '', y: 'rpm', z: 'm/s/s', g: '' }],
  ])('of %j make the fields %j', (columns, fields) => {
    expect(Object.fromEntries(fieldsOfColumns(columns).map(({ name, unit }) => [name, unit]))).toEqual(
      fields,
    );
  });

  it.each([
    ['g', 'g'],
    ['G', 'g'],
    ['m/s²', 'm/s²'],
    ['m s⁻²', 'm/s²'],
    ['m s-2', 'm/s²'],
    ['mg', null],
    ['rpm', null],
    ['', null],
  ])('declare the acceleration %s as %s', (text, unit) => {
    expect(accelerationUnitNamed(text)).toBe(unit);
  });
});

describe('a declared unit of acceleration', () => {
  it.each([
    ['g', 9.81, 'stream.fields declares ax, ay, az in g, but the recordings show gravity in m/s².'],
    ['m/s2', 1, 'stream.fields declares ax, ay, az in m/s², but the recordings show gravity in g.'],
    ['m/s^2', 9.81, null],
    ['g', 1, null],
    ['counts', 9.81, null],
    ['g', 3, null],
  ])('of %s with a gravity of %d is compared with the data', async (unit, gravity, message) => {
    const name = `unit-${unit.replaceAll(/\W/g, '-')}-${gravity}`;
    const from = join(folder, `${name}-from`);
    const random = seededRandom(8);
    await mkdir(from);
    for (const file of ['idle1', 'idle2', 'run1', 'run2']) {
      const rows = Array.from({ length: 200 }, (_, i) =>
        [20 * i, ...[0, 0, gravity].map((v) => (v + (random() - 0.5) * gravity * 0.2).toFixed(4))].join(','),
      );
      await writeFile(join(from, `${file}.csv`), `time_ms,ax,ay,az\n${rows.join('\n')}\n`);
    }
    const dir = join(folder, name);
    await runCli(['init', dir, '--from', from]);
    const yaml = await readFile(join(dir, 'aiot.yaml'), 'utf8');
    await writeFile(join(dir, 'aiot.yaml'), yaml.replaceAll(/unit: [^ }]+/g, `unit: ${unit}`));
    const { json } = await runCli(['data', 'check', '--project', dir, '--json']);
    const { findings } = json as { findings: { kind: string; message: string }[] };
    const own = findings.filter(({ kind }) => kind === 'unit').map((finding) => finding.message);
    expect(own).toEqual(message === null ? [] : [message]);
  });
});

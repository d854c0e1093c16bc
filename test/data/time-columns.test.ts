import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadProject } from '../../src/lib/core/project.js';
import { openDataset } from '../../src/lib/data/dataset/open.js';
import { firstCells, rolesOf, timeColumnOf } from '../../src/lib/data/tables/columns.js';
import { runCli } from '../support/cli.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-times-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** 2026-03-01T10:00:00Z, ms. */
const start = Date.UTC(2026, 2, 1, 10);
const iso = (ms: number) => new Date(ms).toISOString();

/** The time column that is found in rows with one measurement, and the fields. */
function found(name: string, cells: readonly (string | number)[]) {
  const text = `${name},x\n${cells.map((cell, i) => `${cell},${(i * 7) % 5}\n`).join('')}`;
  const head = firstCells(Buffer.from(text), 'own.csv');
  const { time, fields } = rolesOf(head.names, undefined, head.cells);
  if (time === null) return { time, fields };
  const { unit, sinceEpoch, rateHz } = timeColumnOf(time, head.cells[head.names.indexOf(time)]!);
  return { time, unit, sinceEpoch, rateHz, fields };
}

const rising = (step: number, first = 0, count = 200) =>
  Array.from({ length: count }, (_, i) => first + i * step);

describe('a time column', () => {
  it.each([
    ['timestamp_ms', rising(20, start), 'ms', true, 50],
    ['time_ms', rising(10), 'ms', false, 100],
    ['ts', rising(20, start), 'ms', true, 50],
    ['ts', rising(0.02, start / 1e3).map((value) => value.toFixed(2)), 's', true, 50],
    ['ts', rising(20_000, start * 1e3), 'us', true, 50],
    ['epoch_ns', rising(20).map((ms) => `${start + ms}000000`), 'ns', true, 50],
    ['Time (s)', rising(0.01).map((value) => value.toFixed(3)), 's', false, 100],
    ['"Time (s)"', rising(0.01).map((value) => value.toFixed(3)), 's', false, 100],
    ['elapsed [ms]', rising(5), 'ms', false, 200],
    ['seconds_elapsed', rising(0.04).map((value) => value.toFixed(2)), 's', false, 25],
    ['timestampMs', rising(20, start), 'ms', true, 50],
    ['millis', rising(20, 123_456), 'ms', false, 50],
    ['time_min', rising(1), 'min', false, 0.01667],
    ['recorded_at', rising(250, start).map(iso), 'date', true, 4],
    [
      'time',
      rising(60_000, start).map((ms) => iso(ms).slice(0, 19).replace('T', ' ')),
      'date',
      true,
      0.01667,
    ],
    ['time', rising(20, 0, 50).map((ms) => `9:05:00.${String(ms).padStart(3, '0')}`), 'date', false, 50],
    // Unknown names, so only the values show that these are times.
    ['Zeit', rising(20, start).map(iso), 'date', true, 50],
    ['when', rising(20, start), 'ms', true, 50],
  ] as const)('is recognized: %s from %j', (name, cells, unit, sinceEpoch, rateHz) => {
    expect(found(name, cells)).toEqual({ time: name, unit, sinceEpoch, rateHz, fields: ['x'] });
  });

  it.each([
    ['60', rising(1000 / 60, start).map(Math.round)],
    ['400', rising(2.5, start).map(Math.round)],
    ['3', Array.from({ length: 200 }, (_, i) => Math.floor(start / 1e3 + i / 3))],
  ])('of rounded values has the rate %s Hz', (hz, cells) => {
    expect(found('ts', cells).rateHz).toBeCloseTo(Number(hz), 1);
  });

  it.each([
    ['t', [21.5, 21.4, 21.6, 21.2]],
    ['cycle_time', rising(20)],
    ['pressure_pa', [1.0132e9, 1.0131e9, 1.0133e9, 1.013e9]],
    ['items', rising(3)],
    ['min', [3, 2, 4, 1]],
  ])('is not assumed for the measurements of %s', (name, cells) => {
    expect(found(name, cells)).toEqual({ time: null, fields: [name, 'x'] });
  });

  it('is never an input, and neither is a second one', () => {
    const text = 'time,seconds_elapsed,z\n1700000000000000000,0.01,1\n1700000000010000000,0.02,2\n';
    const { names, cells } = firstCells(Buffer.from(text), 'own.csv');
    expect(rolesOf(names, undefined, cells)).toMatchObject({
      ...{ time: 'time', counter: ['seconds_elapsed'], fields: ['z'] },
    });
    // A date without a time of day does not reveal the rate.
    const dated = firstCells(
      Buffer.from('date,time,z\n2026-03-01,10:00:00,1\n2026-03-01,10:00:01,2\n'),
      'a.csv',
    );
    expect(rolesOf(dated.names, undefined, dated.cells)).toMatchObject({
      ...{ time: 'time', counter: ['date'], fields: ['z'] },
    });
  });
});

/** Samples of two fields at 50 Hz, with a time column. */
const samples = (time: string, hz: number, count = 600, from = start) =>
  `${time},acc x,y\n${rising(20, from, count)
    .map((t, i) => `${t},${Math.sin(i * hz).toFixed(4)},${Math.cos(i * hz).toFixed(4)}\n`)
    .join('')}`;

describe('recordings with times in milliseconds', () => {
  const own = () => join(folder, 'own');
  const project = () => join(folder, 'project');
  beforeAll(async () => {
    await mkdir(own());
    for (const take of [1, 2, 3]) {
      await writeFile(join(own(), `slow${take}.csv`), samples('timestamp_ms', 0.1 + take / 100));
      await writeFile(join(own(), `fast${take}.csv`), samples('timestamp_ms', 0.7 + take / 100));
    }
  });

  it('become a project at the rate of the time column, which the result names', async () => {
    const made = await runCli(['init', project(), '--from', own(), '--no-color']);
    expect(made.code).toBe(0);
    expect(made.stdout).toMatch(/Inputs +acc_x, y\nTime +timestamp_ms, in ms since 1970; not an input\n/);
    expect(made.stdout).toMatch(/Rate +50 Hz, from the time column\n/);
    expect((await loadProject(project())).config.signal.rate).toBe(50);
    const again = await runCli(['init', join(folder, 'again'), '--from', own(), '--json']);
    expect(again.json).toMatchObject({
      ...{ rateHz: 50, rateFrom: 'time' },
      time: { name: 'timestamp_ms', unit: 'ms', sinceEpoch: true, rateHz: 50 },
    });
  });

  it('can be imported into the project later, with the columns of the original files', async () => {
    const more = join(folder, 'slow9.csv');
    await writeFile(more, samples('timestamp_ms', 0.14));
    const args = ['data', 'import', more, '--project', project()];
    const { stdout } = await runCli([...args, '--no-color', '--dry-run']);
    expect(stdout).toContain('Time column: timestamp_ms, in ms since 1970; not imported');
    const { json } = await runCli([...args, '--json']);
    expect(json).toMatchObject({
      imported: [{ id: 'slow9', label: 'slow' }],
      time: { name: 'timestamp_ms' },
    });
    const { recordings } = await openDataset(await loadProject(project()));
    expect(recordings.find(({ id }) => id === 'slow9')).toMatchObject({ startedAt: start });
    expect(recordings.find(({ id }) => id === 'slow9')!.columns[0]![1]).toBe(0.1395);
  });

  it('are read from a data folder without a list, and checked without a project', async () => {
    const { recordings } = await openDataset(await loadProject(project()), own());
    expect(recordings.map(({ id, label }) => [id, label])).toContainEqual(['fast1', 'fast']);
    expect(recordings[0]!.columns.length).toBe(2);
    const { stdout } = await runCli(['data', 'check', own(), '--no-color']);
    expect(stdout).toContain('50 Hz according to the time column timestamp_ms');
  });

  it('are rejected by a project of another rate', async () => {
    const file = join(folder, 'fast8.csv');
    await writeFile(
      file,
      samples('t_ms', 0.7).replace(/^\d+/gm, (t) => String(start + (Number(t) - start) / 2)),
    );
    const { json } = await runCli(['data', 'import', file, '--project', project(), '--json']);
    expect(json).toMatchObject({
      error: {
        code: 'AIOT_DATA_RATE',
        message: expect.stringContaining('got about 100 according to its time column'),
      },
    });
  });
});

describe('a table with times', () => {
  const file = () => join(folder, 'rooms.csv');
  beforeAll(async () => {
    const rows = rising(60_000, start, 120).map((ms, i) => {
      const warm = i % 2 === 1;
      return `${iso(ms)},${(warm ? 25 : 12) + Math.sin(i)},${40 + (i % 9)},${warm ? 'warm' : 'cold'}\n`;
    });
    await writeFile(file(), `measured,temperature,humidity,label\n${rows.join('')}`);
  });

  it('becomes a project without them, and the result says how to classify stretches of time', async () => {
    const dir = join(folder, 'rooms');
    const { stdout } = await runCli(['init', dir, '--from', file(), '--no-color']);
    expect(stdout).toMatch(
      /Inputs +temperature, humidity\nTime +measured, dates or times of day; not an input\n/,
    );
    expect(stdout).toContain(
      `put ${file()} into a folder, remove ${dir}, and repeat the command with --from`,
    );
    expect((await loadProject(dir)).config.model.table?.inputs).toEqual(['temperature', 'humidity']);
    const ms = join(folder, 'ms.csv');
    await writeFile(
      ms,
      `ts,a,label\n${rising(20, start, 60)
        .map((t, i) => `${t},${i % 2},${i % 2}\n`)
        .join('')}`,
    );
    expect((await runCli(['data', 'check', ms, '--json'])).json).toMatchObject({ of: 'table', samples: 60 });
  });

  it('is checked, and trains a model without a project, on the other columns', async () => {
    expect((await runCli(['data', 'check', file(), '--json'])).json).toMatchObject({
      of: 'table',
      samples: 120,
    });
    const dir = join(folder, 'bare');
    await mkdir(dir);
    const args = ['--project', dir, '--data', file(), '--json'];
    const trained = await runCli(['model', 'train', ...args, '--epochs', '3']);
    expect(trained.json).toMatchObject({ inputs: ['temperature', 'humidity'] });
    expect((await runCli(['model', 'quantize', ...args])).code).toBe(0);
    expect((await runCli(['model', 'evaluate', ...args])).code).toBe(0);
  });
});

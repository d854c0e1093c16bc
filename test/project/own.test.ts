import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { seededRandom } from '../../src/lib/core/numbers.js';
import { loadProject } from '../../src/lib/core/project.js';
import { openDataset } from '../../src/lib/data/dataset/open.js';
import { streamAbove } from '../../src/lib/device/telemetry/sensor.js';
import { modelMemoryOf } from '../../src/lib/model/bundle/board-memory.js';
import { bundleProject } from '../../src/lib/model/bundle/bundle-project.js';
import { deviceNeed } from '../../src/lib/model/bundle/device-memory.js';
import { initResultSchema } from '../../src/lib/project/init.js';
import { runCli } from '../support/cli.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-own-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const sine = (samples: number, hz: number, head: string, stamp = false) =>
  `${head}\n${Array.from({ length: samples }, (_, i) => `${stamp ? `${i * 20},` : ''}${Math.sin(i * hz).toFixed(4)},${Math.cos(i * hz).toFixed(4)}\n`).join('')}`;

/**
 * Creates six recordings with two labels as folder names, 50 Hz according to the time column, and field names that are
 * invalid in a project.
 */
async function takes(name: string): Promise<string> {
  const at = join(folder, name);
  for (const [label, hz] of [
    ['slow turn', 0.1],
    ['fast', 0.7],
  ] as const) {
    await mkdir(join(at, label), { recursive: true });
    for (const take of [1, 2, 3])
      await writeFile(
        join(at, label, `${take}.csv`),
        sine(900, hz + take / 100, 'time_ms,accel (g),gyro z', true),
      );
  }
  return at;
}

const rows = (cells: (i: number) => unknown[], head: string, count = 120) =>
  `${head}\n${Array.from({ length: count }, (_, i) => `${cells(i).join(',')}\n`).join('')}`;

describe('aiot init --from', () => {
  it('says that updates over the air need a shorter window if the chip has no room for a second version', async () => {
    const at = join(folder, 'four', 'turn');
    await mkdir(at, { recursive: true });
    for (const take of [1, 2, 3])
      await writeFile(
        join(at, `${take}.csv`),
        `x,y,z,current\n${Array.from({ length: 2000 }, (_, i) => [0, 1, 2, 3].map((k) => Math.sin(i / (4 + take + k))).join(',')).join('\n')}\n`,
      );
    const { stdout, code } = await runCli([
      ...['init', join(folder, 'four-c3'), '--from', dirname(at), '--rate', '100', '--chip', 'esp32c3'],
    ]);
    expect(code).toBe(0);
    expect(stdout.replaceAll(/\s+/g, ' ')).toMatch(
      /Window .* \(not 200: more would not fit into the memory of the ESP32-C3's default firmware\. For updates over the air, choose fewer\)/,
    );
  });

  it('rejects --label-from folder for files that are in no folders', async () => {
    const flat = join(folder, 'flat');
    await mkdir(flat, { recursive: true });
    await writeFile(join(flat, 'a.csv'), sine(900, 0.1, 'time_ms,x,y', true));
    const { code, json } = await runCli([
      ...['init', join(folder, 'flat-project'), '--from', flat, '--label-from', 'folder', '--json'],
    ]);
    expect([code, json]).toMatchObject([
      2,
      {
        error: {
          code: 'AIOT_USAGE',
          message: `--label-from folder: ${flat} has no folders named after labels`,
        },
      },
    ]);
  });

  it('shortens the window until the model and its trial fit into the memory of the chip', async () => {
    const at = join(folder, 'quick', 'spin');
    await mkdir(at, { recursive: true });
    for (const take of [1, 2, 3])
      await writeFile(
        join(at, `${take}.csv`),
        `x,y,z\n${Array.from({ length: 2000 }, (_, i) => [0, 1, 2].map((k) => Math.sin(i / (4 + take + k))).join(',')).join('\n')}\n`,
      );
    const from = ['--from', dirname(at), '--rate', '200'];
    const windowFor = async (name: string, more: string[]) => {
      const dir = join(folder, name);
      const { code, stdout } = await runCli(['init', dir, ...from, ...more]);
      expect(code).toBe(0);
      if (more.length > 0) expect(stdout).toMatch(/Window .* \(not 400: more would not fit into/);
      else expect(stdout).not.toContain('not 400');
      return { dir, window: (await loadProject(dir)).config.signal!.window };
    };
    expect((await windowFor('spin-pi', [])).window).toBe(400);
    // On this chip, the next version fits beside the active one.
    const { window: shorter } = await windowFor('spin-s3', ['--chip', 'esp32s3']);
    expect(shorter).toBeGreaterThanOrEqual(64);
    expect(shorter).toBeLessThan(200);
    const { dir, window } = await windowFor('spin-esp32', ['--chip', 'esp32']);
    expect(window).toBeLessThan(200);
    expect(await readFile(join(dir, 'aiot.yaml'), 'utf8')).toContain(
      'samples, not 400: more would not fit into the memory of the ESP32',
    );
    expect((await runCli(['model', 'train', '--project', dir, '--epochs', '2', '--json'])).code).toBe(0);
    for (const step of ['quantize', 'evaluate'])
      expect((await runCli(['model', step, '--project', dir, '--json'])).code, step).toBe(0);
    const { trial } = deviceNeed((await bundleProject({ project: await loadProject(dir) })).bundle);
    expect(trial + 2048).toBeLessThanOrEqual(modelMemoryOf('esp32')!);
  });

  it('creates a project from recordings that trains immediately, with settings from the files', async () => {
    const dir = join(folder, 'turns');
    const { code, json } = await runCli([
      ...['init', dir, '--from', await takes('takes'), '--chip', 'esp32c3', '--json'],
    ]);
    expect(code).toBe(0);
    expect(initResultSchema.parse(json)).toMatchObject({
      template: 'own',
      recordings: 6,
      samples: 5400,
      labels: { fast: 3, 'slow turn': 3 },
    });
    const project = await loadProject(dir);
    // Shorter than 2 s, so that the trial of the next version fits into the chip's memory beside the active one.
    expect(project.config.signal).toMatchObject({ rate: 50, window: 75, stride: 38, features: 'spectral' });
    expect(project.config.stream.fields).toMatchObject({ accel: { unit: 'g' }, gyro_z: { unit: '' } });
    expect(project.config.stream.topic).toBe('turns');
    // The default of `aiot device simulate --recording`.
    expect(await streamAbove(join(dir, 'data', 'recordings', 'fast-1.csv'))).toBe('turns');
    expect(project.config.pipeline.selector).toBe('all');
    const { recordings } = await openDataset(project);
    expect(recordings.map(({ id }) => id)).toEqual([
      'fast-1',
      'fast-2',
      'fast-3',
      'slow-turn-1',
      'slow-turn-2',
      'slow-turn-3',
    ]);
    const trained = await runCli(['model', 'train', '--project', dir, '--epochs', '10', '--json']);
    expect(trained.code).toBe(0);
    expect(existsSync(join(dir, 'build', 'model.float.tflite'))).toBe(true);
  });

  it.each([
    [
      'classes',
      (i: number) => [i, i % 2 ? 3 : 1, Math.cos(i), i % 3, i % 2 ? 'bad' : 'good'],
      { kind: 'mlp', output: 'classes', labels: { bad: ['bad'], good: ['good'] } },
    ],
    [
      'values',
      (i: number) => [i, i % 7, Math.cos(i), 'ann', i / 8],
      { kind: 'mlp', output: 'value', labels: {} },
    ],
    [
      'numbers as classes',
      (i: number) => [i, i % 7, Math.cos(i), 'ann', i % 2],
      { kind: 'mlp', labels: { 0: ['0'], 1: ['1'] } },
    ],
  ] as const)('creates a project from rows with %s', async (name, cells, model) => {
    const file = join(folder, `${name}.csv`);
    await writeFile(file, rows(cells, 'time,temp,vib (mm/s),operator,quality'));
    const dir = join(folder, `of ${name}`);
    const made = await runCli([
      'init',
      dir,
      '--from',
      file,
      '--label-from',
      'column:quality',
      '--name',
      'line',
    ]);
    expect(made.code).toBe(0);
    expect(made.stdout).toContain('120 rows');
    const { config } = await loadProject(dir);
    expect(config.model).toMatchObject({ ...model, table: { file: 'data/rows.csv', label: 'quality' } });
    expect(config.model.table?.inputs?.slice(0, 2)).toEqual(['temp', 'vib (mm/s)']);
    expect(await readFile(join(dir, 'data', 'rows.csv'))).toEqual(await readFile(file));
    const checked = await runCli(['data', 'check', '--project', dir, '--json']);
    expect(checked.json).toMatchObject({ of: 'table', findings: expect.any(Array) });
    const trained = await runCli(['model', 'train', '--project', dir, '--epochs', '3', '--json']);
    expect(trained.json).toMatchObject({ inputs: config.model.table?.inputs });
  });

  it('names the flag that sets the rate if it is assumed, and the flag has that effect', async () => {
    const from = join(folder, 'timeless');
    await mkdir(from);
    for (const take of [1, 2, 3]) await writeFile(join(from, `fast${take}.csv`), sine(400, take / 9, 'x,y'));
    const dir = join(folder, 'assumed');
    const { stdout } = await runCli(['init', dir, '--from', from, '--no-color']);
    expect(stdout).toContain(
      `If the recordings were not made at 100 Hz, remove ${dir}, and repeat the command with --rate.`,
    );
    await rm(dir, { recursive: true });
    expect((await runCli(['init', dir, '--from', from, '--rate', '50'])).code).toBe(0);
    expect((await runCli(['data', 'check', '--project', dir, '--json'])).json).toMatchObject({ rateHz: 50 });
  });

  /**
   * Twelve recordings of an accelerometer at 50 Hz: gravity, noise, and a tone whose frequency and axis, counted from that of gravity,
   * depend on the label. In a worn sensor, gravity is on a different axis in each recording.
   */
  async function tones(
    name: string,
    byLabel: Record<string, { hz: number; axis: number }>,
    worn: boolean,
  ): Promise<string> {
    const at = join(folder, name);
    const random = seededRandom(3);
    for (const [label, { hz, axis }] of Object.entries(byLabel)) {
      await mkdir(join(at, label), { recursive: true });
      for (const take of [1, 2, 3, 4, 5, 6]) {
        const lines = Array.from({ length: 600 }, (_, i) => {
          const sample = [0, 0, 0].map(() => (random() + random() + random() - 1.5) * 0.4);
          const down = worn ? take % 3 : 2;
          sample[down]! += 2;
          sample[(down + axis) % 3]! += 0.5 * Math.sin((2 * Math.PI * (hz + take / 20) * i) / 50 + take);
          return [20 * i, ...sample].join(',');
        });
        await writeFile(join(at, label, `${take}.csv`), `time_ms,ax,ay,az\n${lines.join('\n')}\n`);
      }
    }
    return at;
  }

  it.each([
    ['spectral', 25, { fan: { hz: 15, axis: 1 }, worn: { hz: 20, axis: 1 } }],
    ['motion', 12, { up: { hz: 2, axis: 0 }, aside: { hz: 2, axis: 1 } }],
  ] as const)(
    'chooses %s features if they separate the labels, and prints their band',
    async (features, most, byLabel) => {
      const dir = join(folder, `tones-${features}`);
      const from = await tones(`from-${features}`, byLabel, features === 'motion');
      const { json } = await runCli(['init', dir, '--from', from, '--json']);
      expect(json).toMatchObject({ signal: { features, bandHz: [0, most], window: 100 } });
      expect((await loadProject(dir)).config.signal.features).toBe(features);
      await rm(dir, { recursive: true });
      const { stdout } = await runCli(['init', dir, '--from', from, '--no-color']);
      expect(stdout).toMatch(new RegExp(`Features +${features}, which resolve 0 to ${most} Hz`));
      expect(stdout).toMatch(/Window +100 samples, 2 s/);
    },
  );

  it.each([
    ['g', 1],
    ['m/s²', 9.81],
  ])('recognizes accelerations in %s, and warns of a board sensor in another unit', async (unit, gravity) => {
    const name = `gravity-${gravity}`;
    const from = join(folder, name);
    await mkdir(from);
    for (const take of [1, 2]) {
      const lines = Array.from(
        { length: 300 },
        (_, i) => `${20 * i},${Math.sin(i)},${Math.cos(i)},${gravity}`,
      );
      await writeFile(join(from, `still${take}.csv`), `time_ms,ax,ay,az\n${lines.join('\n')}\n`);
    }
    const dir = join(folder, `of-${name}`);
    const made = await runCli(['init', dir, '--from', from, '--no-color']);
    expect(made.stdout).toMatch(new RegExp(`Unit +${unit}, from the size of gravity`));
    const { config } = await loadProject(dir);
    expect(config.stream.fields).toMatchObject({ ax: { unit }, ay: { unit }, az: { unit } });
    const { stderr, code } = await runCli(['firmware', 'init', '--project', dir]);
    expect(code).toBe(0);
    // The firmware measures in the unit of the recordings.
    expect(stderr).not.toContain('predictions are wrong');
    const header = await readFile(join(dir, 'firmware', 'generated', 'aiot_config.h'), 'utf8');
    if (unit === 'g') expect(header).not.toContain('AIOT_IMU_PER_G');
    else expect(header).toMatch(/#define AIOT_IMU_PER_G 9\.80665/);
  });

  it('warns about a unit that the board cannot measure in', async () => {
    const dir = join(folder, 'feet');
    await runCli(['init', dir, '--template', 'har-imu']);
    const file = join(dir, 'aiot.yaml');
    const own = await readFile(file, 'utf8');
    const fields = '{ ax: { unit: ft/s² }, ay: { unit: g }, az: { unit: g } }';
    await writeFile(file, own.replace(/^ {2}fields:.*\n( {4}.*\n)*/m, `  fields: ${fields}\n`));
    const { stderr } = await runCli(['firmware', 'init', '--project', dir]);
    expect(stderr).toContain(
      'can provide ax, ay, az in g or in m/s², but stream.fields declares ax in ft/s², ay in g, az in g',
    );
  });

  it('takes the only column with a few words as the label, and reports that', async () => {
    const file = join(folder, 'status.csv');
    const words = ['ok', 'worn', 'broken'];
    await writeFile(
      file,
      ['t;p;status', ...Array.from({ length: 90 }, (_, i) => `${i % 3},5;${i % 7},25;${words[i % 3]}`)].join(
        '\n',
      ),
    );
    const dir = join(folder, 'status');
    const made = await runCli(['init', dir, '--from', file, '--no-color']);
    expect(made.code, made.stderr).toBe(0);
    expect(made.stdout).toMatch(/Labels +in the column status: ok 30, worn 30, broken 30/);
    expect(made.stdout).toContain(
      'The column status is taken as the label, because it is the only one with words.',
    );
    expect((await loadProject(dir)).config.model).toMatchObject({
      table: { label: 'status', inputs: ['t', 'p'] },
    });
    const without = join(folder, 'without');
    const bare = await runCli(['init', without, '--from', file, '--label-from', 'none', '--no-color']);
    expect(bare.stdout).toContain('none: anomaly detection');
    const check = await runCli(['data', 'check', '--project', dir, '--label-from', 'column:p']);
    expect(check.code).toBe(2);
    expect(check.stderr).toContain('--label-from applies to data outside a project');
  });

  it('names the label column of a table or of recordings in a folder', async () => {
    const table = join(folder, 'in-a-folder');
    await mkdir(table, { recursive: true });
    const text = [
      'current,state of it',
      ...Array.from({ length: 90 }, (_, i) => `${i % 7},${i < 45 ? 'dry' : 'wet'}`),
    ];
    await writeFile(join(table, 'pump.csv'), text.join('\n'));
    const made = await runCli(['init', join(folder, 'by-folder'), '--from', table]);
    expect(made.code).toBe(2);
    const advice = made.stderr.replace(/\s+/g, ' ');
    expect(advice).toContain('the column "state of it" contains words, such as "dry"; expected numbers');
    expect(advice).toContain(
      'add --label-from "column:state of it". If each row is an example of its own, pass the file',
    );
    const timed = text.map((line, i) => `${i === 0 ? 'time' : i / 100},${line}`);
    await writeFile(join(table, 'pump.csv'), timed.join('\n'));
    const { stderr } = await runCli(['init', join(folder, 'by-folder'), '--from', table]);
    expect(stderr).not.toContain('example of its own');
    const labelled = [
      ...['init', join(folder, 'by-column')],
      '--from',
      table,
      '--label-from',
      'column:state of it',
    ];
    expect((await runCli([...labelled, '--no-color'])).stdout).toContain('by column: dry 1, wet 1');
  });

  it('does not take a column of names or of single words as the label', async () => {
    const file = join(folder, 'names.csv');
    await writeFile(
      file,
      [
        'temperature,humidity,serial',
        ...Array.from({ length: 60 }, (_, i) => `${i % 9},${i % 7},unit-${i}`),
      ].join('\n'),
    );
    const made = await runCli(['init', join(folder, 'names'), '--from', file, '--no-color']);
    expect(made.stdout).toContain('none: anomaly detection, or from a column: --label-from column:serial');
  });

  it('uses anomaly detection if nothing is labeled', async () => {
    const file = join(folder, 'bare.csv');
    await writeFile(
      file,
      rows((i) => [i % 7, Math.cos(i)], 'temp,vib'),
    );
    const dir = join(folder, 'bare');
    const made = await runCli(['init', dir, '--from', file, '--no-color']);
    expect(made.stdout).toContain('none: anomaly detection');
    expect((await loadProject(dir)).config.model).toMatchObject({ kind: 'autoencoder', labels: {} });
    expect((await runCli(['model', 'train', '--project', dir, '--epochs', '3', '--json'])).code).toBe(0);
  });

  it.each([
    ['a missing file', ['--from', 'missing'], 'AIOT_FILE_NOT_FOUND'],
    ['a missing column', ['--from', 'words.csv', '--label-from', 'column:nope'], 'AIOT_CSV_COLUMNS'],
    ['a table without numbers', ['--from', 'words.csv'], 'AIOT_CSV_COLUMNS'],
    ['labels from file names for table rows', ['--from', 'words.csv', '--label-from', 'name'], 'AIOT_USAGE'],
    ['a sampling rate for table rows', ['--from', 'words.csv', '--rate', '50'], 'AIOT_USAGE'],
    ['a template combined with data', ['--from', 'words.csv', '--template', 'har-imu'], 'AIOT_USAGE'],
    ['a chip without data', ['--chip', 'esp32'], 'AIOT_USAGE'],
  ])('rejects %s and writes nothing', async (_, argv, code) => {
    const at = join(folder, 'refused');
    await mkdir(at, { recursive: true });
    await writeFile(join(at, 'words.csv'), 'operator,place\nann,here\nbo,there\n');
    const dir = join(at, 'new');
    const from = argv.map((word, i) => (argv[i - 1] === '--from' ? join(at, word) : word));
    const { json, code: exit } = await runCli(['init', dir, ...from, '--json']);
    expect(json).toMatchObject({ error: { code } });
    expect(exit).toBe(code === 'AIOT_FILE_NOT_FOUND' ? 4 : 2);
    expect(existsSync(dir)).toBe(false);
  });
});

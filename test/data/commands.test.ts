import { copyFile, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import DataCheck from '../../src/commands/data/check.js';
import DataImport from '../../src/commands/data/import.js';
import DataLabel from '../../src/commands/data/label.js';
import DataList from '../../src/commands/data/list.js';
import DataRecord from '../../src/commands/data/record.js';
import DataRemove from '../../src/commands/data/remove.js';
import DataShow from '../../src/commands/data/show.js';
import { initProject } from '../../src/lib/project/init.js';
import { toLine } from '../../src/lib/stream/file/line.js';
import { runCli } from '../support/cli.js';

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'aiot-data-cli-'));
  await initProject({ dir, template: 'har-imu', name: 'wrist' });
});
afterAll(() => rm(dir, { recursive: true, force: true }));

const run = (...argv: string[]) => runCli([...argv, '--project', dir]);
const json = async (schema: { parse: (value: unknown) => unknown }, ...argv: string[]) => {
  const result = await run(...argv, '--json');
  expect(result.code, result.stdout).toBe(0);
  expect(result.stdout.trim().split('\n').length).toBe(1);
  return schema.parse(result.json);
};

describe('aiot data', () => {
  it('lists recordings', async () => {
    const summary = await json(DataList.result, 'data', 'list');
    expect(summary).toMatchObject({
      name: 'wrist',
      samples: 127_500,
      labels: { walking: { recordings: 5 } },
    });
    const { stdout } = await run('data', 'list');
    expect(stdout).toContain('walking 5 (375 s)');
    expect(stdout).toContain('aiot data check');
  });

  it('shows one recording', async () => {
    const shown = await json(DataShow.result, 'data', 'show', 'lying2');
    expect(shown).toMatchObject({ id: 'lying2', label: 'lying', samples: 4000, windows: 15 });
    expect((await run('data', 'show', 'lying2')).stdout).toContain('Repeated rows  46.');
  });

  it('checks the recordings, and reports problems in plain words', async () => {
    const report = await json(DataCheck.result, 'data', 'check');
    expect(report).toMatchObject({ ok: true, split: { train: 21, validation: 5, test: 9 } });
    const { stdout } = await run('data', 'check');
    expect(stdout.replace(/\s+/g, ' ')).toMatch(
      /46\.\d % of the rows of lying, sitting, walking repeat the row before, but 0\.0 % of downstairs, upstairs\. A model could learn this difference instead of the signal\. \(This alone distinguishes the two groups of labels in 35 of 35 recordings; the signal's mean, deviation and step do so in 30\.\)/,
    );
    expect(stdout).toContain('removes the repeats');
  });

  it('removes recordings of a project, with their entries', async () => {
    const other = await mkdtemp(join(tmpdir(), 'aiot-data-removed-'));
    await initProject({ dir: other, template: 'har-imu', name: 'wrist' });
    const own = (...argv: string[]) => runCli([...argv, '--project', other]);
    const files = () => readdir(join(other, 'data/recordings'));
    const before = await files();
    // Nothing is removed if a name is unknown, or without confirmation.
    const unknown = await own('data', 'remove', 'lying2', 'lyin3', '--yes');
    expect(unknown.code).toBe(4);
    expect(unknown.stderr.replace(/\s+/g, ' ')).toContain(
      'recording lyin3 does not exist. Did you mean lying3? Try: aiot data remove lying3',
    );
    const unconfirmed = await own('data', 'remove', 'lying2', '--json');
    expect(unconfirmed.code).toBe(2);
    const dry = await own('data', 'remove', 'lying2', '--dry-run');
    expect(dry.stdout).toMatch(/Would remove lying2 \(.*lying2\.csv\) \(--dry-run\)\./);
    expect(await files()).toEqual(before);
    // An entry is removed even if its file is already gone, which is an error before.
    await rm(join(other, 'data/recordings/lying3.csv'));
    const gone = await own('data', 'list');
    expect(gone.code).toBe(2);
    expect(gone.stderr.replace(/\s+/g, ' ')).toContain('remove the recording with `aiot data remove lying3`');
    const removed = await own('data', 'remove', 'lying2', 'lying3', '--yes', '--json');
    expect(DataRemove.result.parse(removed.json)).toMatchObject({
      recordings: [{ recording: 'lying2' }, { recording: 'lying3' }],
      dryRun: false,
    });
    expect(await files()).toEqual(before.filter((file) => !/^lying[23]\./.test(file)));
    expect((await own('data', 'list')).stdout).toContain('lying 3 (120 s)');
    // Without dataset.json, only the file is removed.
    await rm(join(other, 'data/dataset.json'));
    expect((await own('data', 'remove', 'lying4', '--yes')).stdout).toContain('Removed lying4');
    expect(await readdir(join(other, 'data'))).not.toContain('dataset.json');
    expect((await own('data', 'list')).stdout).toContain('lying 2 (80 s)');
    const both = await own('data', 'remove', 'lying5', 'motion/waist-1/take7', '--yes');
    expect(both.stderr).toContain('expected one STREAM/DEVICE/RECORDING');
    await rm(other, { recursive: true });
  });

  it('corrects the label of a recording of a project', async () => {
    const other = await mkdtemp(join(tmpdir(), 'aiot-data-labelled-'));
    await initProject({ dir: other, template: 'har-imu', name: 'wrist' });
    const own = (...argv: string[]) => runCli([...argv, '--project', other]);
    const unknown = await own('data', 'label', 'lying2', 'lyin');
    expect(unknown.stderr).toContain('AIOT_LABEL_UNKNOWN');
    expect(unknown.stderr.replace(/\s+/g, ' ')).toContain('got "lyin". Did you mean lying?');
    const part = await own(
      'data',
      'label',
      'lying2',
      'sitting',
      '--from',
      '2026-11-20',
      '--to',
      '2026-11-21',
    );
    expect(part.stderr.replace(/\s+/g, ' ')).toContain('only recordings on the platform have labeled parts');
    expect((await own('data', 'label', 'lying9', 'sitting')).code).toBe(4);
    const set = await own('data', 'label', 'lying2', 'sitting');
    expect(set.stdout).toContain('The label of lying2 is sitting (it was lying).');
    expect((await own('data', 'show', 'lying2', '--json')).json).toMatchObject({ label: 'sitting' });
    const removed = await own('data', 'label', 'lying2', '--remove', '--json');
    expect(DataLabel.result.parse(removed.json)).toEqual({
      recording: 'lying2',
      label: null,
      before: 'sitting',
    });
    expect((await own('data', 'show', 'lying2', '--json')).json).toMatchObject({ label: null });
    await rm(other, { recursive: true });
  });

  it('exits with 6 if a check finds an error', async () => {
    const other = await mkdtemp(join(tmpdir(), 'aiot-data-copy-'));
    try {
      await copyFile(join(dir, 'data', 'recordings', 'walking1.csv'), join(other, 'walking1.csv'));
      const { code, json: report } = await run('data', 'check', '--data', other, '--json');
      expect(code).toBe(6);
      expect(DataCheck.result.parse(report)).toMatchObject({
        ok: false,
        split: null,
        findings: [{ severity: 'error', message: expect.stringContaining('at least two classes') }, {}],
      });
    } finally {
      await rm(other, { recursive: true, force: true });
    }
  });

  it('previews an import', async () => {
    const file = join(dir, 'extra.csv');
    await writeFile(file, 'x,y,z\n0,0,1\n0,0,1.1\n');
    expect(
      await json(DataImport.result, 'data', 'import', file, '--label', 'lying', '--dry-run'),
    ).toMatchObject({
      imported: [{ id: 'extra', label: 'lying', samples: 2 }],
      dryRun: true,
    });
    const { stdout } = await run('data', 'import', file, '--label', 'lying', '--dry-run');
    expect(stdout).toContain('Nothing was written');
  });

  it('records a stream', async () => {
    const payload = Buffer.from(JSON.stringify({ x: [0, 1], y: [0, 1], z: [1, 2] }));
    const file = join(dir, 'messages.ndjson');
    const topic = 'aiot/v1/w1/telemetry/motion';
    await writeFile(file, `${JSON.stringify(toLine({ topic, payload, time: 5, source: 'test' }))}\n`);
    const url = pathToFileURL(file).href;
    expect(
      await json(DataRecord.result, 'data', 'record', url, '--label', 'walking', '--count', '2'),
    ).toMatchObject({
      recordings: [{ id: 'walking6', device: 'w1', samples: 2 }],
    });
    const { stdout } = await run('data', 'record', url, '--label', 'walking', '--count', '2');
    const saved = /Saved in (.*)/.exec(stdout)?.[1] as string;
    expect(await readdir(saved)).toContain('walking7.csv');
  });

  it.each([
    ['list', ['data', 'list', '--data', '/nowhere'], 4, 'AIOT_FILE_NOT_FOUND'],
    ['show', ['data', 'show', 'nobody'], 4, 'AIOT_NOT_FOUND'],
    ['check', ['data', 'check', '--data', '/nowhere'], 4, 'AIOT_FILE_NOT_FOUND'],
    ['import', ['data', 'import', '/nowhere'], 4, 'AIOT_FILE_NOT_FOUND'],
    ['import with a rate that is not a number', ['data', 'import', '.', '--rate', 'fast'], 2, 'AIOT_USAGE'],
    ['import with an infinite rate', ['data', 'import', '.', '--rate', '1e999'], 2, 'AIOT_USAGE'],
    ['import with an invalid device name', ['data', 'import', '.', '--device', 'a b'], 2, 'AIOT_USAGE'],
    ['import of an endless file', ['data', 'import', '/dev/zero'], 1, 'AIOT_FILE_NOT_READABLE'],
    ['record', ['data', 'record', '--label', 'running'], 2, 'AIOT_LABEL_UNKNOWN'],
    ['record without a time', ['data', 'record', '--for', '10'], 2, 'AIOT_USAGE'],
  ])('rejects bad input: %s', async (_, argv, code, error) => {
    const result = await run(...argv, '--json');
    expect(result.code).toBe(code);
    expect(result.json).toMatchObject({ error: { code: error } });
  });

  it.each([
    ['lyng2', 'recording lyng2 does not exist. Did you mean lying2?', 'aiot data show lying2'],
    [
      'nobody',
      'recording nobody does not exist; expected one of ',
      'To see the recordings, run `aiot data list`.',
    ],
  ])('suggests the closest recording to %s, if there is one', async (name, message, next) => {
    const { json } = await run('data', 'show', name, '--json');
    expect(json).toMatchObject({ error: { message: expect.stringContaining(message), next } });
  });

  it('suggests checking a folder by its path if there is no project', async () => {
    const argv = ['data', 'check', '--project', tmpdir(), '--data', 'recordings', '--json'];
    const { code, json: error } = await runCli(argv);
    expect(code).toBe(4);
    expect(error).toMatchObject({
      error: {
        code: 'AIOT_PROJECT_NOT_FOUND',
        next: 'To check recordings without a project, run `aiot data check recordings`.',
      },
    });
  });

  it('requires a project', async () => {
    const { code, stderr } = await runCli(['data', 'list', '--project', tmpdir()]);
    expect(code).toBe(4);
    expect(stderr).toContain('AIOT_PROJECT_NOT_FOUND');
  });
});

import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AiotError } from '../../src/lib/core/errors.js';
import type { Project } from '../../src/lib/core/project.js';
import { openDataset } from '../../src/lib/data/dataset/open.js';
import { saveRecordings } from '../../src/lib/data/dataset/write.js';
import { importRecordings } from '../../src/lib/data/sources/import.js';
import { makeProject, recording, writeCsvFiles } from './support.js';

let project: Project;
let clean: () => Promise<void>;
let data: string;

beforeEach(async () => {
  ({ project, clean } = await makeProject());
  data = join(project.dir, 'data');
});
afterEach(() => clean());

const save = (ids: string[]) =>
  saveRecordings({ folder: data, config: project.config, recordings: ids.map((id) => recording(id)) });

describe('opening a dataset', () => {
  it('reads a folder of CSV files, labeled by file name', async () => {
    await writeCsvFiles(data, {
      'walking12.csv': 'x,y\n1,2\n',
      'lying.csv': 'y,x\n4,3\n',
      '7.csv': 'x,y\n5,6\n',
    });
    const { recordings, name, rateHz } = await openDataset(project);
    expect({ name, rateHz }).toEqual({ name: 'watch', rateHz: 50 });
    expect(recordings.map(({ id, label, columns }) => [id, label, ...columns.map((c) => c[0])])).toEqual([
      ['7', null, 5, 6],
      ['lying', 'lying', 3, 4],
      ['walking12', 'walking', 1, 2],
    ]);
  });

  it('returns saved recordings, and computes equal digests for equal data', async () => {
    await save(['walking1', 'lying1']);
    const first = await openDataset(project);
    expect(first.recordings.map(({ id }) => id)).toEqual(['lying1', 'walking1']);
    expect(first.recordings[1]).toEqual(recording('walking1'));
    await rm(join(data, 'dataset.json'));
    expect((await openDataset(project)).digest).toBe(first.digest);
  });

  it('computes a different digest if a sample, a label, or an ID has changed', async () => {
    await save(['walking1', 'lying1']);
    const { digest } = await openDataset(project);
    const file = join(data, 'recordings', 'walking1.csv');
    const text = await readFile(file, 'utf8');
    await rm(join(data, 'dataset.json'));
    await writeFile(file, text.replace(/\n[^\n]+\n$/, '\n1,1\n'));
    expect((await openDataset(project)).digest).not.toBe(digest);
    await writeFile(join(data, 'recordings', 'sitting1.csv'), text);
    await rm(file);
    expect((await openDataset(project)).digest).not.toBe(digest);
  });

  it.each([
    ['no folder', async () => {}, 'AIOT_DATA_EMPTY'],
    ['an empty folder', () => writeCsvFiles(data, {}), 'AIOT_DATA_EMPTY'],
    ['a missing column', () => writeCsvFiles(data, { 'walking1.csv': 'x\n1\n' }), 'AIOT_CSV_COLUMNS'],
    ['NaN', () => writeCsvFiles(data, { 'walking1.csv': 'x,y\n1,NaN\n' }), 'AIOT_FILE_MALFORMED'],
    ['no rows', () => writeCsvFiles(data, { 'walking1.csv': 'x,y\n' }), 'AIOT_CSV_EMPTY'],
    ['a listing that is not JSON', () => writeCsvFiles(data, { 'dataset.json': '{' }), 'AIOT_FILE_MALFORMED'],
    ['an empty listing', () => writeCsvFiles(data, { 'dataset.json': 'null' }), 'AIOT_FILE_MALFORMED'],
    [
      'a listing with missing fields',
      () => writeCsvFiles(data, { 'dataset.json': '{}' }),
      'AIOT_FILE_MALFORMED',
    ],
  ])('rejects %s', async (_, make, code) => {
    await make();
    await expect(openDataset(project)).rejects.toMatchObject({ code });
  });

  it('rejects files that differ from the listing', async () => {
    await save(['walking1', 'lying1']);
    const file = join(data, 'recordings', 'walking1.csv');
    const before = await readFile(file);
    await writeFile(file, 'x,y\n1,2\n');
    await expect(openDataset(project)).rejects.toMatchObject({ code: 'AIOT_DATA_CHANGED' });
    await rm(file);
    await expect(openDataset(project)).rejects.toMatchObject({ code: 'AIOT_DATA_CHANGED' });
    await writeFile(file, before);
    await writeFile(join(data, 'recordings', 'walking2.csv'), before);
    await expect(openDataset(project)).rejects.toMatchObject({
      code: 'AIOT_DATA_CHANGED',
      message: expect.stringContaining('walking2.csv is not listed in dataset.json'),
    });
  });

  it('rejects a rate other than the project’s', async () => {
    await saveRecordings({
      folder: data,
      config: project.config,
      recordings: [recording('lying1', { rateHz: 52 })],
    });
    await expect(openDataset(project)).rejects.toMatchObject({
      code: 'AIOT_DATA_RATE',
      message: 'recording lying1: expected 50 samples per second (signal.rate), got 52',
    });
  });

  it('rejects a missing folder', async () => {
    await expect(openDataset(project, join(project.dir, 'nowhere'))).rejects.toMatchObject({
      code: 'AIOT_FILE_NOT_FOUND',
    });
  });
});

describe('importing recordings', () => {
  const csv = 'x,y\n1,2\n3,4\n';

  it('copies a folder, skipping existing recordings', async () => {
    const from = join(project.dir, 'in');
    await writeCsvFiles(from, { 'walking1.csv': csv, 'lying3.csv': csv });
    const first = await importRecordings({ project, from });
    expect(first.imported.map(({ id, label }) => [id, label])).toEqual([
      ['lying3', 'lying'],
      ['walking1', 'walking'],
    ]);
    const again = await importRecordings({ project, from, device: 'waist-1' });
    expect(again).toMatchObject({ imported: [], skipped: ['lying3', 'walking1'] });
    expect((await openDataset(project)).recordings.length).toBe(2);
  });

  it('imports nothing if one recording cannot be written', async () => {
    await save(['walking1']);
    await mkdir(join(data, 'recordings', 'walking9.csv', 'in-the-way'), { recursive: true });
    const from = join(project.dir, 'in');
    await writeCsvFiles(from, { 'walking8.csv': csv, 'walking9.csv': csv });
    await expect(importRecordings({ project, from })).rejects.toMatchObject({
      code: 'AIOT_FILE_NOT_WRITABLE',
    });
    expect(await readdir(join(data, 'recordings'))).toEqual(['walking1.csv', 'walking9.csv']);
  });

  it('keeps the results of two concurrent imports', async () => {
    await save(['walking1']);
    await writeCsvFiles(join(project.dir, 'in'), { 'walking8.csv': csv, 'lying8.csv': csv });
    await writeCsvFiles(join(project.dir, 'more'), { 'walking8.csv': csv, 'lying9.csv': csv });
    const from = ['in', 'more'].map((name) => join(project.dir, name));
    await Promise.all(from.map((folder) => importRecordings({ project, from: folder })));
    const { recordings } = await openDataset(project);
    expect(recordings.map(({ id }) => id).sort()).toEqual(['lying8', 'lying9', 'walking1', 'walking8']);
  });

  it('imports nothing if interrupted', async () => {
    await save(['walking1']);
    const from = join(project.dir, 'in');
    await writeCsvFiles(from, { 'walking8.csv': csv });
    const signal = AbortSignal.abort(new AiotError('AIOT_INTERRUPTED', 'stopped'));
    await expect(importRecordings({ project, from, signal })).rejects.toMatchObject({
      code: 'AIOT_INTERRUPTED',
    });
    expect((await openDataset(project)).recordings.length).toBe(1);
  });

  it('adopts unlisted files in data/recordings', async () => {
    await writeCsvFiles(join(data, 'recordings'), { 'lying1.csv': csv });
    const from = join(project.dir, 'take.csv');
    await writeFile(from, csv);
    await importRecordings({ project, from, label: 'walking' });
    expect((await openDataset(project)).recordings.map(({ id, label }) => [id, label])).toEqual([
      ['lying1', 'lying'],
      ['take', 'walking'],
    ]);
  });

  it('accepts columns for time, device and label besides the fields', async () => {
    const from = join(project.dir, 'walks');
    await writeCsvFiles(from, {
      'walking1.csv': 'time_ms,y,x,device\n0,2,1,m1\n20,4,3,m1\n40,6,5,m1\n',
      'take2.csv': 'time_ms,x,y,label\n0,1,2,lying\n20,3,4,lying\n',
    });
    const { imported } = await importRecordings({ project, from });
    expect(imported).toMatchObject([
      { id: 'take2', label: 'lying', device: null },
      { id: 'walking1', label: 'walking', device: 'm1' },
    ]);
    const { recordings } = await openDataset(project);
    expect(recordings[1]!.columns.map((column) => [...column])).toEqual([
      [1, 3, 5],
      [2, 4, 6],
    ]);
    expect((await importRecordings({ project, from })).skipped).toEqual(['take2', 'walking1']);
  });

  it('rejects a time column of another rate, unless the rate is specified', async () => {
    const from = join(project.dir, 'walking1.csv');
    await writeFile(from, 'time_ms,x,y\n0,1,2\n10,3,4\n20,5,6\n');
    await expect(importRecordings({ project, from })).rejects.toMatchObject({
      code: 'AIOT_DATA_RATE',
      message: `${from}: expected 50 samples per second (signal.rate), got about 100 according to its time column`,
    });
    expect((await importRecordings({ project, from, rateHz: 50 })).imported).toMatchObject([{ samples: 3 }]);
  });

  it('rejects a file with several labels', async () => {
    const from = join(project.dir, 'walking1.csv');
    await writeFile(from, 'x,y,label\n1,2,walking\n3,4,lying\n');
    await expect(importRecordings({ project, from })).rejects.toMatchObject({ code: 'AIOT_CSV_COLUMNS' });
  });

  it('rejects recordings if those in the folder have other fields, and names the steps to replace them', async () => {
    await save(['walking1']);
    const file = join(data, 'dataset.json');
    await writeFile(file, (await readFile(file, 'utf8')).replace('"x"', '"ax"').replace('"y"', '"ay"'));
    const from = join(project.dir, 'lying1.csv');
    await writeFile(from, 'x,y\n1,2\n');
    await expect(importRecordings({ project, from })).rejects.toMatchObject({
      code: 'AIOT_DATA_COLUMNS',
      message: `${file}: expected the fields x, y, got ax, ay`,
      next: `To replace these recordings with your own, delete dataset.json and the folder recordings in ${data}, then import yours. To keep these recordings, set stream.fields in aiot.yaml to ax, ay.`,
    });
    expect(await readdir(join(data, 'recordings'))).toEqual(['walking1.csv']);
  });

  it('writes nothing in a dry run', async () => {
    const from = join(project.dir, 'walking1.csv');
    await writeFile(from, csv);
    expect(await importRecordings({ project, from, dryRun: true })).toMatchObject({ dryRun: true });
    expect(await readdir(project.dir)).toEqual(['aiot.yaml', 'walking1.csv']);
  });

  it.each([
    ['a different rate', { rateHz: 100 }, 'AIOT_DATA_RATE'],
    ['an unknown label', { label: 'running' }, 'AIOT_LABEL_UNKNOWN'],
    ['another recording of the same name', {}, 'AIOT_ALREADY_EXISTS'],
  ])('rejects %s and changes nothing', async (_, options, code) => {
    await save(['walking1']);
    const { digest } = await openDataset(project);
    const from = join(project.dir, 'in');
    await writeCsvFiles(from, { 'lying1.csv': csv, 'walking1.csv': csv });
    await expect(importRecordings({ project, from, ...options })).rejects.toMatchObject({ code });
    expect((await openDataset(project)).digest).toBe(digest);
  });

  it.each([
    ['a missing folder', 'nowhere', 'AIOT_FILE_NOT_FOUND'],
    ['a folder without CSV files', '.', 'AIOT_DATA_EMPTY'],
  ])('rejects %s', async (_, from, code) => {
    await expect(importRecordings({ project, from: join(project.dir, from) })).rejects.toMatchObject({
      code,
    });
  });
});

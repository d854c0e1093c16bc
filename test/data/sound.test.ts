import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import DataImport from '../../src/commands/data/import.js';
import type { Project } from '../../src/lib/core/project.js';
import { checkPath } from '../../src/lib/data/check/files.js';
import { openDataset } from '../../src/lib/data/dataset/open.js';
import { extractData } from '../../src/lib/data/sources/extract.js';
import { importRecordings } from '../../src/lib/data/sources/import.js';
import { openLoose } from '../../src/lib/data/tables/loose-recordings.js';
import { pcm16, readWav, writeWav } from '../../src/lib/formats/wav.js';
import { resampled } from '../../src/lib/signal/band-limited.js';
import { runCli } from '../support/cli.js';
import { makeProject } from './support.js';

const yaml = (fields = 'sound: { unit: FS, range: [-1, 1] }') => `name: words
stream: { topic: sound, fields: { ${fields} } }
signal: { rate: 16000, window: 800, stride: 400, features: spectral }
model: { labels: { yes: [yes], no: [no] } }
`;

const tone = (rateHz: number, hz = 440, seconds = 0.25) =>
  Float64Array.from(
    { length: Math.round(rateHz * seconds) },
    (_, i) => 0.5 * Math.sin((2 * Math.PI * hz * i) / rateHz),
  );
const wav = (rateHz: number, ...channels: Float64Array[]) => writeWav({ rateHz, channels });

let project: Project;
let clean: () => Promise<void>;
let from: string;
let data: string;

beforeEach(async () => {
  ({ project, clean } = await makeProject(yaml()));
  from = join(project.dir, 'from');
  data = join(project.dir, 'data');
  await mkdir(from);
});
afterEach(() => clean());

describe('resampling a whole recording', () => {
  it.each([44_100, 48_000, 22_050, 16_001])('reproduces a sine from %i Hz within 80 dB', (rateHz) => {
    const [column] = resampled([tone(rateHz)], rateHz, 16_000);
    const expected = tone(16_000);
    expect(Math.abs(column!.length - expected.length)).toBeLessThanOrEqual(1);
    // Beyond its ends, the signal is continued by constants, whereas a sine is not constant.
    for (let i = 200; i < column!.length - 200; i++)
      expect(Math.abs(column![i]! - expected[i]!)).toBeLessThan(1e-4);
  });

  it('removes frequencies that the lower rate cannot represent', () => {
    const [column] = resampled([tone(48_000, 9000)], 48_000, 16_000);
    for (const value of column!.subarray(200, -200)) expect(Math.abs(value)).toBeLessThan(1e-4);
  });

  it('keeps a constant signal, and leaves samples at the target rate unchanged', () => {
    const flat = new Float64Array(1000).fill(0.25);
    for (const value of resampled([flat], 8000, 16_000)[0]!) expect(value).toBeCloseTo(0.25, 14);
    expect(resampled([flat], 8000, 8000)).toEqual([flat]);
    expect(resampled([flat.slice(0, 1)], 8000, 16_000)[0]!.length).toBe(1);
  });
});

describe('WAV files as recordings of a project', () => {
  it('are read from its folder, labeled by file name, at the project’s rate', async () => {
    await mkdir(data);
    await writeFile(join(data, 'yes1.wav'), wav(16_000, tone(16_000)));
    await writeFile(join(data, 'no1.WAV'), wav(44_100, tone(44_100)));
    const { recordings } = await openDataset(project);
    expect(recordings.map(({ id, label, rateHz }) => [id, label, rateHz])).toEqual([
      ['no1', 'no', 16_000],
      ['yes1', 'yes', 16_000],
    ]);
    expect(recordings[1]!.columns).toEqual([tone(16_000).map(pcm16)]);
    expect(recordings[0]!.columns[0]!.length).toBe(4000);
  });

  it('are imported as 16-bit WAV at the project’s rate, and the resampled files are listed', async () => {
    await writeFile(join(from, 'yes1.wav'), wav(16_000, tone(16_000)));
    await writeFile(join(from, 'no1.wav'), wav(48_000, tone(48_000, 700)));
    const asked = await runCli(['data', 'import', from, '--project', project.dir, '--dry-run', '--json']);
    expect(DataImport.result.parse(asked.json)).toMatchObject({ resampled: { no1: 48_000 } });
    const { stdout, code } = await runCli(['data', 'import', from, '--project', project.dir]);
    expect(code).toBe(0);
    expect(stdout).toContain('1 sound file at 48000 Hz resampled to 16000 Hz');
    expect((await readdir(join(data, 'recordings'))).sort()).toEqual(['no1.wav', 'yes1.wav']);
    const stored = readWav(await readFile(join(data, 'recordings', 'no1.wav')), 'no1.wav');
    expect([stored.rateHz, stored.channels[0]!.length]).toEqual([16_000, 4000]);
    const { recordings } = await openDataset(project);
    expect(recordings.map(({ id, format, columns }) => [id, format, columns])).toEqual([
      ['no1', 'wav', stored.channels],
      ['yes1', 'wav', [tone(16_000).map(pcm16)]],
    ]);
    const again = await importRecordings({ project, from });
    expect(again).toMatchObject({ imported: [], skipped: ['no1', 'yes1'], resampled: {} });
  });

  it('are mixed down to a single field, or fill one field per channel', async () => {
    const [left, right] = [tone(16_000, 300), tone(16_000, 900)];
    await writeFile(join(from, 'yes1.wav'), wav(16_000, left, right));
    await importRecordings({ project, from });
    const [mixed] = (await openDataset(project)).recordings;
    const mean = left.map((value, i) => pcm16((pcm16(value) + pcm16(right[i]!)) / 2));
    expect(mixed!.columns).toEqual([mean]);

    const stereo = await makeProject(yaml('left: { unit: FS }, right: { unit: FS }'));
    try {
      await importRecordings({ project: stereo.project, from });
      const [both] = (await openDataset(stereo.project)).recordings;
      expect(both!.columns).toEqual([left.map(pcm16), right.map(pcm16)]);
      await writeFile(join(from, 'no1.wav'), wav(16_000, left));
      await expect(importRecordings({ project: stereo.project, from })).rejects.toMatchObject({
        code: 'AIOT_DATA_COLUMNS',
        message: expect.stringContaining('expected a channel for each of the fields left, right, got 1'),
      });
    } finally {
      await stereo.clean();
    }
  });

  it('are verified against dataset.json, and extracted unchanged', async () => {
    await writeFile(join(from, 'yes1.wav'), wav(16_000, tone(16_000)));
    await importRecordings({ project, from });
    const { digest } = await openDataset(project);
    const out = join(project.dir, 'out');
    await extractData({ project, out, from: 'project', client: null, guide: null });
    expect((await openDataset(project, out)).digest).toBe(digest);
    const file = join(data, 'recordings', 'yes1.wav');
    const bytes = await readFile(file);
    bytes[100]! ^= 1;
    await writeFile(file, bytes);
    await expect(openDataset(project)).rejects.toMatchObject({ code: 'AIOT_DATA_CHANGED' });
  });

  it('are rejected if they are damaged, or share the name of a CSV file', async () => {
    await writeFile(join(from, 'yes1.wav'), wav(16_000, tone(16_000)).subarray(0, 900));
    await expect(importRecordings({ project, from })).rejects.toMatchObject({
      code: 'AIOT_FILE_MALFORMED',
      subject: 'wav',
      next: expect.stringContaining('ffmpeg'),
    });
    await writeFile(join(from, 'yes1.csv'), 'sound\n1\n');
    await expect(importRecordings({ project, from })).rejects.toMatchObject({ code: 'AIOT_ALREADY_EXISTS' });
  });
});

describe('WAV files that belong to no project', () => {
  it('have microphone fields and their own rate', async () => {
    await writeFile(join(from, 'yes1.wav'), wav(8000, tone(8000)));
    await writeFile(join(from, 'no1.wav'), wav(8000, tone(8000, 900)));
    const { dataset, rateFrom } = await openLoose({ paths: [from] });
    expect([dataset.fields, dataset.rateHz, rateFrom]).toEqual([['sound'], 8000, 'time']);
    const told = await openLoose({ paths: [from], rateHz: 16_000 });
    expect(told.dataset.recordings.map(({ columns }) => columns[0]!.length)).toEqual([3999, 3999]);
  });

  it('are checked under their file names, and a mixture of rates is reported', async () => {
    for (let i = 1; i <= 4; i++) {
      await writeFile(join(from, `yes${i}.wav`), wav(8000, tone(8000, 300 + i)));
      await writeFile(join(from, `no${i}.wav`), wav(16_000, tone(16_000, 900 + i)));
    }
    const report = await checkPath({ path: from });
    expect(report.recordings).toBe(8);
    expect(report.findings.find(({ kind }) => kind === 'rate')).toMatchObject({
      evidence: { slowestHz: 8000, fastestHz: 16_000 },
      files: ['yes1.wav', 'yes2.wav', 'yes3.wav', 'yes4.wav'],
    });
  });

  it('become a project with aiot init --from', async () => {
    const folder = join(project.dir, 'sounds');
    await mkdir(folder);
    for (let i = 1; i <= 3; i++) {
      await writeFile(join(folder, `yes${i}.wav`), wav(8000, tone(8000, 300 + i)));
      await writeFile(join(folder, `no${i}.wav`), wav(8000, tone(8000, 900 + i)));
    }
    const made = join(project.dir, 'made');
    const { code, stderr } = await runCli(['init', made, '--from', folder]);
    expect(code, stderr).toBe(0);
    expect((await readdir(join(made, 'data', 'recordings'))).sort()).toEqual(
      ['no1', 'no2', 'no3', 'yes1', 'yes2', 'yes3'].map((id) => `${id}.wav`),
    );
    const listed = await runCli(['data', 'list', '--project', made, '--json']);
    expect(listed.json).toMatchObject({ rateHz: 8000, fields: ['sound'], samples: 12_000 });
  });
});

describe('sound in another format than WAV', () => {
  it('requires ffmpeg, and reports how to install it', async () => {
    const path = process.env.PATH;
    const file = join(from, 'yes1.flac');
    await writeFile(file, 'fLaC');
    try {
      process.env.PATH = from;
      await expect(importRecordings({ project, from: file })).rejects.toMatchObject({
        code: 'AIOT_PROGRAM_NOT_FOUND',
        message: expect.stringContaining('yes1.flac'),
        next: expect.stringContaining('apt install ffmpeg'),
      });
    } finally {
      process.env.PATH = path;
    }
  });
});

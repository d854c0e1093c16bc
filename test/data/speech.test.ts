import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { seededRandom } from '../../src/lib/core/numbers.js';
import type { Project } from '../../src/lib/core/project.js';
import { datasetOf, expectedOf } from '../../src/lib/data/dataset/open.js';
import { packedRecordings, trimmed, wordRecording } from '../../src/lib/data/speech.js';
import { powerOf } from '../../src/lib/signal/acoustics.js';
import { windowCount } from '../../src/lib/signal/pipeline.js';
import { signalSpecOf } from '../../src/lib/signal/spec.js';
import { root, runCli } from '../support/cli.js';
import { makeProject } from './support.js';

const yaml = `name: words
stream: { topic: sound, fields: { sound: { unit: FS, range: [-1, 1] } } }
signal: { rate: 16000, window: 8000, stride: 1600, features: logmel, resample: 8000 }
model: { labels: { yes: [yes], other: [other, noise] } }
`;

let project: Project;
let clean: () => Promise<void>;
beforeEach(async () => {
  ({ project, clean } = await makeProject(yaml));
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await clean();
});

const tone = (samples: number) => Float64Array.from({ length: samples }, (_, n) => Math.sin(n / 5));

describe('a recording of a word', () => {
  const named = { id: 'yes-a-1', label: 'yes', device: 'a' };

  it('fills exactly one window, even after resampling', () => {
    const { config } = project;
    const { columns, format, rateHz } = wordRecording(config, tone(4000), {
      ...named,
      random: seededRandom(1),
    });
    expect([format, rateHz]).toEqual(['wav', 16_000]);
    const spec = signalSpecOf(config);
    expect(windowCount(spec, columns[0]!.length)).toBe(1);
    expect(windowCount(spec, columns[0]!.length - 1)).toBe(0);
  });

  it('contains the word over noise that is at least 8 dB quieter, in range and in 16-bit steps', () => {
    for (let seed = 1; seed <= 20; seed++) {
      const random = seededRandom(seed);
      const [column] = wordRecording(project.config, tone(4000), { ...named, random }).columns;
      const frames = Array.from({ length: 15 }, (_, i) =>
        powerOf(column!.subarray(1000 * i, 1000 * i + 1000)),
      );
      expect(Math.max(...frames) / Math.min(...frames)).toBeGreaterThan(3);
      expect(column!.every((value) => Math.abs(value) <= 1 && Number.isInteger(value * 2 ** 15))).toBe(true);
    }
  });

  it('is only noise if there is no word', () => {
    const random = seededRandom(1);
    const made = wordRecording(project.config, null, {
      id: 'noise-a-1',
      label: 'noise',
      device: 'a',
      random,
    });
    const power = powerOf(made.columns[0]!);
    expect(power).toBeGreaterThan(0.0004 ** 2);
    expect(power).toBeLessThan(0.06 ** 2);
  });

  it('is trimmed of quiet ends, and is empty for silence', () => {
    const padded = new Float64Array(8000);
    padded.set(tone(3200), 1600);
    expect(trimmed(padded, 16_000).length).toBe(3200);
    expect(trimmed(new Float64Array(800), 16_000).length).toBe(0);
  });
});

describe('the words of the template keyword-spotting', () => {
  const folder = join(root, 'templates', 'keyword-spotting');

  it('are 16-bit sound from several voices, each of which speaks every word', async () => {
    const { words } = JSON.parse(await readFile(join(folder, 'words.json'), 'utf8'));
    const voices = new Set(words.map(({ device }: { device: string }) => device));
    expect(voices.size).toBeGreaterThanOrEqual(6);
    for (const label of ['yes', 'no', 'stop'])
      expect(words.filter((word: { label: string }) => word.label === label)).toHaveLength(voices.size);
  });

  it('become identical recordings on every run, with a device for each voice', async () => {
    const { project: own, clean: cleanOwn } = await makeProject(
      await readFile(join(folder, 'aiot.yaml'), 'utf8'),
    );
    try {
      const recordings = await packedRecordings(folder, own.config);
      const expected = expectedOf(own.config);
      expect(new Set(recordings.map(({ id }) => id)).size).toBe(recordings.length);
      for (const { columns, device, label } of recordings) {
        expect(columns[0]!.length).toBe(16_000);
        expect(device).toMatch(/^espeak-/);
        expect(['yes', 'no', 'stop', 'other', 'noise']).toContain(label);
      }
      const again = await packedRecordings(folder, own.config);
      expect(datasetOf('again', expected, again).digest).toBe(
        datasetOf('words', expected, recordings).digest,
      );
    } finally {
      await cleanOwn();
    }
  });
});

describe('aiot data synthesize', () => {
  const synthesize = (...flags: string[]) =>
    runCli(['data', 'synthesize', '--project', project.dir, ...flags, '--json']);

  it('prints how to install espeak-ng if it is missing', async () => {
    vi.stubEnv('PATH', '/nowhere');
    const { code, json } = await synthesize('--words', 'yes');
    expect(code).toBe(4);
    expect(json).toMatchObject({
      error: {
        code: 'AIOT_PROGRAM_NOT_FOUND',
        message: expect.stringContaining('espeak-ng'),
        next: expect.stringContaining('apt-get install espeak-ng'),
      },
    });
  });

  it.each([
    ['a word without a label', ['--words', 'go'], 'AIOT_LABEL_UNKNOWN'],
    ['an empty list of words', ['--words', ' , '], 'AIOT_USAGE'],
    ['a word that is an option', ['--words=yes,-w'], 'AIOT_USAGE'],
    ['another rate', ['--words', 'yes', '--rate', '8000'], 'AIOT_DATA_RATE'],
  ])('rejects %s before it looks for espeak-ng', async (_, flags, code) => {
    vi.stubEnv('PATH', '/nowhere');
    expect((await synthesize(...flags)).json).toMatchObject({ error: { code } });
  });
});

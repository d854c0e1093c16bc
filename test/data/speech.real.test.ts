import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { loadProject, type Project } from '../../src/lib/core/project.js';
import { openDataset } from '../../src/lib/data/dataset/open.js';
import { importRecordings } from '../../src/lib/data/sources/import.js';
import { type Synthesis, synthesizeWords, usualOthers } from '../../src/lib/data/speech.js';
import { writeWav } from '../../src/lib/formats/wav.js';
import { root, runCli } from '../support/cli.js';
import { describeReal } from '../support/real.js';
import { makeProject } from './support.js';

let project: Project;
let clean: () => Promise<void>;
beforeEach(async () => {
  const yaml = await readFile(join(root, 'templates', 'keyword-spotting', 'aiot.yaml'), 'utf8');
  ({ project, clean } = await makeProject(yaml));
});
afterEach(() => clean());

describeReal('espeak', 'words spoken by espeak-ng', () => {
  const flags = [
    '--words',
    'yes,no,stop',
    '--voices',
    '4',
    '--takes',
    '2',
    '--rate',
    '16000',
    '--speech',
    '20',
  ];

  it('become recordings with a device for each voice, and replace only those from an earlier run', async () => {
    const voice = join(project.dir, 'yes1.wav');
    await writeFile(voice, writeWav({ rateHz: 16_000, channels: [new Float64Array(16_000).fill(0.1)] }));
    await importRecordings({ project, from: voice, device: 'anna' });
    const first = await runCli(['data', 'synthesize', '--project', project.dir, ...flags, '--json']);
    expect(first.code, first.stderr).toBe(0);
    expect(first.json).toMatchObject({
      program: expect.stringMatching(/^espeak-ng \d/),
      replaced: 0,
    });
    const { labels, recordings, speechS } = first.json as Synthesis;
    // Each voice says six other words, two parts of words, one stretch of running speech, and at least 20 s of sentences.
    const sentences = labels.other! - 36;
    expect(labels).toEqual({ yes: 8, no: 8, stop: 8, other: 36 + sentences, noise: 8 });
    expect(sentences).toBeGreaterThanOrEqual(8);
    expect(recordings).toBe(4 * (3 * 2 + 9 + 2) + sentences);
    expect(speechS).toBeGreaterThanOrEqual(4 * 20);
    const before = await openDataset(await loadProject(project.dir));
    const devices = new Set(before.recordings.map(({ device }) => device));
    expect(devices.size).toBe(5);
    const lengths = before.recordings.map(({ columns }) => columns[0]!.length);
    expect(Math.min(...lengths)).toBe(16_000);
    const long = lengths.filter((length) => length > 16_000);
    expect(long).toHaveLength(4 + sentences);
    expect(long.filter((length) => length > 5 * 16_000).reduce((sum, length) => sum + length, 0)).toBe(
      Math.round(speechS * 16_000),
    );
    const again = await runCli(['data', 'synthesize', '--project', project.dir, ...flags, '--json']);
    expect(again.json).toMatchObject({ replaced: recordings, recordings });
    // The same seed gives the same samples.
    expect((await openDataset(await loadProject(project.dir))).digest).toBe(before.digest);
  });

  it('are rejected in a language that espeak-ng does not speak, or with more voices than it has', async () => {
    const common = { project, words: ['yes'], takes: 1, others: usualOthers, speechS: 0, seed: 1 };
    await expect(synthesizeWords({ ...common, voices: 3, language: 'klingon-x' })).rejects.toMatchObject({
      code: 'AIOT_USAGE',
      message: expect.stringContaining('klingon-x'),
    });
    await expect(synthesizeWords({ ...common, voices: 1000, language: 'en' })).rejects.toMatchObject({
      code: 'AIOT_USAGE',
      next: expect.stringMatching(/--voices \d+/),
    });
  });
});

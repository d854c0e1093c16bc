import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadProject, type Project } from '../../src/lib/core/project.js';
import type { TextColumn } from '../../src/lib/formats/csv/cells.js';
import { openEmbeddings } from '../../src/lib/model/embeddings.js';
import type { Suggestions } from '../../src/lib/model/suggest.js';
import { trainProject } from '../../src/lib/model/train/train-project.js';
import { runCli } from '../support/cli.js';
import { motionDataset } from '../support/motion-dataset.js';
import { temporaryFolder, toyCsv, toyProject } from './support.js';

/** Data of two axes that oscillate at this frequency around (`lean`, 0). */
function wave(hz: number, lean: number, size = 1, samples = 300): string {
  const rows = Array.from({ length: samples }, (_, i) => {
    const angle = (2 * Math.PI * hz * i) / 50;
    return `${(size * Math.sin(angle) + lean).toFixed(5)},${(size * Math.cos(angle)).toFixed(5)}`;
  });
  return `x,y\n${rows.join('\n')}\n`;
}

/** New recordings: two of known motion, one between two classes, two of a motion unlike all others, and a short one. */
const taken: Record<string, string> = {
  'a.csv': toyCsv('slow', 9),
  'b.csv': toyCsv('fast', 9),
  'between.csv': wave(2, 1.4, 0.7),
  'strange1.csv': wave(1, 0, 40),
  'strange2.csv': wave(1, 0, 40),
  'short.csv': wave(1, 0, 1, 20),
};

for (const features of ['raw', 'motion'] as const)
  describe(`suggestions of a model with ${features} inputs`, () => {
    let project: Project;
    let folder: string;
    beforeAll(async () => {
      project = await toyProject((text) =>
        text.replace(
          'features: raw',
          `features: ${features === 'raw' ? 'raw' : '[x_rms, x_deviation, x_peak_hz]'}`,
        ),
      );
      await trainProject({ project });
      folder = await temporaryFolder();
      for (const [name, text] of Object.entries(taken)) await writeFile(join(folder, name), text);
    });

    const suggest = async (...more: string[]) => {
      const ran = await runCli(['data', 'suggest', '--project', project.dir, '--json', ...more]);
      expect(ran.code).toBe(0);
      return ran.json as unknown as Suggestions;
    };

    it('puts new motion first, its duplicate last, and known motion after uncertain motion', async () => {
      const { unlabelled, labelled, skipped, recordings } = await suggest('--data', folder);
      expect({ unlabelled, labelled }).toEqual({ unlabelled: 6, labelled: 0 });
      expect(skipped).toEqual([
        {
          id: 'short',
          reason: expect.stringMatching(
            /^it lasts [\d.]+ s, shorter than one window \([\d.]+ s\): record longer, or shorten signal\.window in aiot\.yaml and train again$/,
          ),
        },
      ]);
      const ids = recordings.map(({ id }) => id);
      expect(ids[0]).toBe('strange1');
      expect(recordings.find(({ id }) => id === 'strange2')?.similarTo).toBe('strange1');
      expect(ids.indexOf('between')).toBeLessThan(Math.min(ids.indexOf('a'), ids.indexOf('b')));
      expect(ids.indexOf('strange2')).toBeGreaterThan(Math.max(ids.indexOf('a'), ids.indexOf('b')));
      const by = Object.fromEntries(recordings.map((one) => [one.id, one]));
      expect(by.strange1!.novelty).toBe(1);
      expect(by.a).toMatchObject({ predicted: { class: 'slow', share: 1 }, similarTo: null });
      expect(by.a!.novelty).toBeLessThan(0.4);
      expect(by.between!.uncertainty).toBeGreaterThan(by.a!.uncertainty!);
    });

    it('suggests no more recordings than requested, and no labeled ones', async () => {
      expect((await suggest('--data', folder, '--limit', '2')).recordings).toHaveLength(2);
      expect(await suggest()).toMatchObject({ unlabelled: 0, labelled: 15, recordings: [] });
    });
  });

describe('suggestions of a model that predicts a probability', () => {
  it('predict with model.threshold, as the rows of --embeddings do', async () => {
    const project = await toyProject((text) =>
      text
        .replace('calm: [calm], slow: [slow], fast: [fast]', 'slow: [slow, calm], fast: [fast]')
        .replace('vote: majority:3', 'vote: majority:3\n  output: probability\n  threshold: 0.5'),
    );
    await trainProject({ project });
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'between.csv'), wave(2, -1, 1.5));
    const file = join(project.dir, 'aiot.yaml');
    const text = await readFile(file, 'utf8');
    const predictedAt = async (threshold: number) => {
      await writeFile(file, text.replace('threshold: 0.5', `threshold: ${threshold}`));
      const { json } = await runCli([
        'data',
        'suggest',
        '--project',
        project.dir,
        '--data',
        folder,
        '--json',
      ]);
      const [{ predicted }] = (json as unknown as Suggestions).recordings as [
        Suggestions['recordings'][number],
      ];
      const open = await openEmbeddings(await loadProject(project.dir));
      const { prediction } = await open(folder);
      const { codes, words } = prediction as TextColumn;
      return { predicted, rows: [...codes].map((code) => words[code]) };
    };
    for (const [threshold, name] of [
      [0.0001, 'fast'],
      [0.9999, 'slow'],
    ] as const) {
      const { predicted, rows } = await predictedAt(threshold);
      expect(predicted).toEqual({ class: name, share: 1 });
      expect(new Set(rows)).toEqual(new Set([name]));
    }
  });
});

describe('data suggest', () => {
  it('prints a table with the reasons and the next command', async () => {
    const project = await toyProject();
    await trainProject({ project });
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'strange.csv'), taken['strange1.csv']!);
    const { stdout } = await runCli(['data', 'suggest', '--project', project.dir, '--data', folder]);
    expect(stdout).toContain('1 recording without a label, 0 with a label of the model');
    expect(stdout).toMatch(/recording +windows +score +uncertain +new +prediction/);
    expect(stdout).toMatch(/1 +strange +11 +1\.00/);
    expect(stdout).toContain('aiot data show strange');
  });

  it('requires a trained model, and the recordings that it was trained on', async () => {
    const project = await toyProject();
    const at = ['data', 'suggest', '--project', project.dir, '--json'];
    expect((await runCli(at)).json).toMatchObject({ error: { code: 'AIOT_MODEL_NOT_BUILT' } });
    await trainProject({ project });
    await rm(join(project.dir, 'data'), { recursive: true });
    await mkdir(join(project.dir, 'data'));
    await writeFile(join(project.dir, 'data', 'other.csv'), toyCsv('slow', 3));
    expect((await runCli(at)).json).toMatchObject({ error: { code: 'AIOT_MODEL_STALE' } });
  });
});

describe('data suggest of a stream', () => {
  let stored: Awaited<ReturnType<typeof motionDataset>>;
  beforeAll(async () => {
    stored = await motionDataset();
  });
  afterAll(() => stored.undo());

  it('ranks the platform’s unlabeled recordings', async () => {
    const project = await toyProject((text) =>
      text
        .replace('rate: 50', 'rate: 100')
        .replace('window: 50', 'window: 5')
        .replace('stride: 25', 'stride: 5'),
    );
    await trainProject({ project });
    const x = Array.from({ length: 20 }, (_, i) => 3 + Math.sin(i / 3));
    await stored.publish({
      seq: 0,
      t: 60_000,
      rate: 100,
      recording: 'r4',
      x,
      y: x.map((value) => value - 3),
    });
    await stored.own.client.labels.post({ stream: 'motion', device: 'm1', recording: 'r2', label: 'slow' });
    const at = ['data', 'suggest', 'motion', '--project', project.dir];
    const { json } = await runCli([...at, '--json']);
    expect(json).toMatchObject({
      stream: 'motion',
      unlabelled: 3,
      labelled: 1,
      // The messages of r1 and r3 have no y.
      skipped: ['r1', 'r3'].map((id) => ({
        id: `motion/m1/${id}`,
        reason: expect.stringContaining(`motion/m1/${id}`),
      })),
      recordings: [{ id: 'motion/m1/r4', device: 'm1', samples: 20, windows: 4 }],
    });
    const { stdout } = await runCli(at);
    expect(stdout).toContain('aiot data label motion/m1/r4 LABEL');
    const published = await runCli([...at, '--publish', '--json']);
    expect(published.json).toMatchObject({ published: 1, labels: ['calm', 'fast', 'slow'] });
    const ranking = async () => stored.own.client.datasets.suggestions('motion');
    expect(await ranking()).toMatchObject({
      model: 'toy',
      labels: ['calm', 'fast', 'slow'],
      recordings: [{ device: 'm1', recording: 'r4', similarTo: null }],
    });
    expect((await runCli([...at, '--publish'])).stdout).toContain('dashboard lists 1 recording under');
    // A label takes a recording off the list; removing the label puts it back.
    const label = { stream: 'motion', device: 'm1', recording: 'r4' };
    await stored.own.client.labels.post({ ...label, label: 'slow' });
    expect((await ranking()).recordings).toEqual([]);
    await stored.own.client.labels.post({ ...label, label: null });
    expect((await ranking()).recordings).toHaveLength(1);
    await stored.own.client.datasets.remove('motion', { device: 'm1', recording: 'r4' });
    expect((await ranking()).recordings).toEqual([]);
    const local = await runCli(['data', 'suggest', '--publish', '--project', project.dir, '--json']);
    expect(local.json).toMatchObject({ error: { code: 'AIOT_USAGE' } });
    const absent = await runCli(['data', 'suggest', 'nothing', '--project', project.dir, '--json']);
    expect(absent.json).toMatchObject({ error: { code: 'AIOT_NOT_FOUND' } });
  });
});

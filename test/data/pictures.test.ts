import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Project } from '../../src/lib/core/project.js';
import { checkDataset } from '../../src/lib/data/check/check.js';
import { copiesIn } from '../../src/lib/data/copies/copies.js';
import { openDataset } from '../../src/lib/data/dataset/open.js';
import { importRecordings } from '../../src/lib/data/sources/import.js';
import { drawTray, type trayParts, trayRecording } from '../../src/lib/data/tray.js';
import type { Recording } from '../../src/lib/data/types.js';
import { signalSpecOf } from '../../src/lib/signal/spec.js';
import { fitPicture } from '../../src/lib/vision/fit.js';
import { decodePicture } from '../../src/lib/vision/picture.js';
import { runCli } from '../support/cli.js';
import { makeProject } from './support.js';

const yaml = (fields = 'gray: { unit: "" }', labels = '{ nut: [nut], washer: [washer] }') => `name: parts
stream: { topic: pixels, fields: { ${fields} } }
signal: { features: image, image: { width: 24, height: 20 }, rate: 480, window: 480, stride: 480 }
model: { kind: mobilenet, labels: ${labels} }
`;
const color = 'red: { unit: "" }, green: { unit: "" }, blue: { unit: "" }';

let project: Project;
let clean: () => Promise<void>;
beforeEach(async () => {
  ({ project, clean } = await makeProject(yaml()));
});
afterEach(() => clean());

/** JPEG and PNG files of drawn parts, in a folder for each label. */
async function photos(sizes: [number, number] = [60, 40]): Promise<string> {
  const from = join(project.dir, 'photos');
  const [width, height] = sizes;
  for (const [part, format] of [
    ['nut', 'jpeg'],
    ['washer', 'png'],
  ] as const) {
    await mkdir(join(from, part), { recursive: true });
    for (let take = 1; take <= 3; take++) {
      const { data } = drawTray(part, { width, height, seed: take });
      const file = sharp(data, { raw: { width, height, channels: 3 } }).toFormat(format);
      await writeFile(
        join(from, part, `${take}.${format === 'jpeg' ? 'jpg' : 'png'}`),
        await file.toBuffer(),
      );
    }
  }
  return from;
}

describe('pictures in one folder per label', () => {
  it('become recordings in the project’s picture size, in grayscale', async () => {
    const from = await photos();
    const { json, code } = await runCli(['data', 'import', from, '--project', project.dir, '--json']);
    expect(code).toBe(0);
    expect(json).toMatchObject({ skipped: [], resampled: {} });
    const { recordings } = await openDataset(project);
    expect(
      recordings.map(({ id, label, columns }) => [id, label, columns.length, columns[0]!.length]),
    ).toEqual(
      ['nut-1', 'nut-2', 'nut-3', 'washer-1', 'washer-2', 'washer-3'].map((id) => [
        id,
        id.split('-')[0],
        1,
        480,
      ]),
    );
    const picture = await decodePicture(await readFile(join(from, 'nut', '2.jpg')));
    const [expected] = fitPicture(picture, { width: 24, height: 20, fit: 'crop' }, 1);
    expect([...recordings[1]!.columns[0]!]).toEqual([...expected!]);
    // The stored file is a picture that other programs read.
    const stored = await sharp(join(project.dir, 'data', 'recordings', 'nut-2.png')).metadata();
    expect(stored).toMatchObject({ format: 'png', width: 24, height: 20 });
    const again = await importRecordings({ project, from });
    expect(again.imported).toEqual([]);
    expect(again.skipped).toHaveLength(6);
  });

  it('keep their colors if the project has red, green and blue', async () => {
    await clean();
    ({ project, clean } = await makeProject(yaml(color)));
    await importRecordings({ project, from: await photos([24, 20]) });
    const { recordings } = await openDataset(project);
    const { data } = drawTray('washer', { width: 24, height: 20, seed: 1 });
    expect([0, 1, 2].map((c) => recordings[3]!.columns[c]![77])).toEqual([...data.subarray(231, 234)]);
  });

  it('also open as a dataset of their own', async () => {
    const dataset = await openDataset(project, await photos());
    expect(dataset.recordings).toHaveLength(6);
    expect(dataset.recordings[0]).toMatchObject({
      id: 'nut-1',
      label: 'nut',
      size: { width: 24, height: 20 },
    });
  });

  it('are rejected if they are damaged, or if the project does not use pictures', async () => {
    const from = await photos();
    await writeFile(join(from, 'nut', '2.jpg'), 'no picture');
    await expect(importRecordings({ project, from })).rejects.toMatchObject({ code: 'AIOT_FILE_MALFORMED' });
    const other = await makeProject();
    try {
      const file = join(from, 'washer', '1.png');
      await expect(importRecordings({ project: other.project, from: file })).rejects.toMatchObject({
        code: 'AIOT_DATA_COLUMNS',
      });
    } finally {
      await other.clean();
    }
  });
});

describe('a picture project', () => {
  const invalid = (signal: string) =>
    makeProject(yaml().replace(/signal: .*/, `signal: { ${signal} }`)).then(
      ({ clean }) => clean().then(() => 'valid'),
      (error: unknown) => (error as Error).message,
    );

  it('has windows of one picture', async () => {
    const size = 'image: { width: 24, height: 20 }';
    expect(await invalid(`features: image, ${size}, rate: 480, window: 500, stride: 480`)).toContain(
      'expected 480 (24 × 20 pixels); got 500',
    );
    expect(await invalid('features: image, rate: 480, window: 480, stride: 480')).toContain(
      'expected the size of the pictures',
    );
    expect(await invalid(`features: raw, ${size}, rate: 480, window: 480, stride: 480`)).toContain(
      'these settings need signal.features: image',
    );
    expect(
      await invalid(`features: image, ${size}, rate: 480, lowpass: 9, window: 480, stride: 480`),
    ).toContain('no low-pass filter');
  });

  it('has a gray field, or red, green and blue fields', async () => {
    const two = await makeProject(yaml('gray: { unit: "" }, depth: { unit: m }'));
    expect(() => signalSpecOf(two.project.config)).toThrow('expects one field (gray) or three');
    await two.clean();
  });
});

describe('drawn parts', () => {
  const format = { width: 24, height: 20, channels: 1 as const, fields: ['gray'], rateHz: 480 };
  const drawn = (part: (typeof trayParts)[number], seed: number): Recording =>
    trayRecording(part, seed, format, `${part}-${seed}`);

  it('are the same for the same seed, and differ for others', () => {
    expect(drawn('nut', 3)).toEqual(drawn('nut', 3));
    expect(drawn('nut', 3).columns).not.toEqual(drawn('nut', 4).columns);
    expect(drawn('nut', 3).columns).not.toEqual(drawn('washer', 3).columns);
  });

  it('stand out from the tray', () => {
    const spread = (part: (typeof trayParts)[number]) => {
      const spreads = Array.from({ length: 20 }, (_, seed) => {
        const values = [...drawn(part, seed).columns[0]!].sort((a, b) => a - b);
        return values[465]! - values[15]!;
      });
      return spreads.reduce((sum, value) => sum + value, 0) / spreads.length;
    };
    for (const part of ['bolt', 'nut', 'washer'] as const)
      expect(spread(part)).toBeGreaterThan(1.3 * spread('empty'));
  });

  it('replace only the parts from an earlier run', async () => {
    const own = await photos();
    await importRecordings({ project, from: own });
    const args = ['data', 'synthesize', '--project', project.dir, '--pictures', '2', '--json'];
    expect((await runCli(args)).json).toMatchObject({
      recordings: 4,
      labels: { nut: 2, washer: 2 },
      replaced: 0,
    });
    expect((await runCli([...args, '--seed', '8'])).json).toMatchObject({ recordings: 4, replaced: 4 });
    expect((await openDataset(project)).recordings).toHaveLength(10);
  });

  it('require a picture project with a label that can be drawn', async () => {
    for (const [text, wanted] of [
      [undefined, 'AIOT_PROJECT_INVALID'],
      [yaml(undefined, '{ cat: [cat], dog: [dog] }'), 'AIOT_LABEL_UNKNOWN'],
    ] as const) {
      const other = await makeProject(text);
      const { json } = await runCli(['data', 'synthesize', '--project', other.project.dir, '--json']);
      expect(json).toMatchObject({ error: { code: wanted } });
      await other.clean();
    }
  });

  it('need none of the flags for spoken words, which are rejected before anything is drawn', async () => {
    const args = ['data', 'synthesize', '--project', project.dir, '--json'];
    const { json, code } = await runCli([...args, '--voices', '9', '--language', 'de']);
    expect(code).toBe(2);
    expect(json).toMatchObject({
      error: {
        code: 'AIOT_USAGE',
        message: '--voices, --language: expected with --words only; without it, pictures are drawn',
        next: expect.stringContaining('--pictures and --seed'),
      },
    });
    expect((await runCli([...args, '--words', 'nut', '--voices', '9'])).json).toMatchObject({
      error: {
        code: 'AIOT_DATA_COLUMNS',
        next: expect.stringContaining('use --pictures and --seed instead'),
      },
    });
  });

  it('are suggested if there are no pictures', async () => {
    await rm(join(project.dir, 'data'), { recursive: true, force: true });
    expect((await runCli(['model', 'train', '--project', project.dir, '--json'])).json).toMatchObject({
      error: { code: 'AIOT_DATA_EMPTY', next: expect.stringContaining('`aiot data synthesize`') },
    });
  });

  it('pass the data check', async () => {
    await runCli(['data', 'synthesize', '--project', project.dir, '--pictures', '30', '--json']);
    const { json, code } = await runCli(['data', 'check', '--project', project.dir, '--json']);
    expect(json).toMatchObject({ ok: true, findings: [], rateHz: null, rateFrom: null });
    expect(code).toBe(0);
    expect((await runCli(['data', 'check', '--project', project.dir])).stdout).not.toContain('Hz');
  });
});

describe('copies of pictures', () => {
  it('are found even after recompression or a change in brightness', async () => {
    const size = { width: 48, height: 48 };
    const recordings = await Promise.all(
      Array.from({ length: 12 }, async (_, i): Promise<Recording> => {
        const seed = Math.floor(i / 2);
        const { data } = drawTray('bolt', { ...size, seed });
        const altered = data.map((value) => Math.min(255, Math.round(0.9 * value + 15)));
        const file = sharp(i % 2 ? altered : data, { raw: { ...size, channels: 3 } }).jpeg({
          quality: i % 2 ? 75 : 95,
        });
        const picture = await decodePicture(await file.toBuffer());
        const [gray] = fitPicture(picture, { ...size, fit: 'crop' }, 1);
        const common = { label: 'bolt', device: null, rateHz: 2304, startedAt: null, fields: ['gray'] };
        return { ...common, id: `p${i + 10}`, columns: [Float64Array.from(gray!)], format: 'png', size };
      }),
    );
    const dataset = { name: 'x', fields: ['gray'], rateHz: 2304, recordings, digest: '' };
    const pairs = copiesIn(dataset).map(({ a, b }) => `${a} ${b}`);
    expect(pairs.sort()).toEqual(['p10 p11', 'p12 p13', 'p14 p15', 'p16 p17', 'p18 p19', 'p20 p21']);
    const spec = {
      ...{ fields: ['gray'], rateHz: 2304, lowpassHz: null, resampleHz: 2304, windowSamples: 2304 },
      ...{ strideSamples: 2304, features: 'image' as const, image: { ...size, fit: 'crop' as const } },
    };
    const findings = checkDataset(dataset, spec, {
      ...{ by: 'recording', seed: 1, validation: [] },
      ...{ train: ['p10'], test: ['p11'] },
    });
    expect(findings[0]).toMatchObject({ kind: 'leak', severity: 'error', files: ['p10', 'p11'] });
    expect(findings[0]!.message).toContain('of their details');
  });
});

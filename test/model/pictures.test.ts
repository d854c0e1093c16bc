import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { beforeAll, describe, expect, it } from 'vitest';
import { loadProject, type Project } from '../../src/lib/core/project.js';
import { openDataset } from '../../src/lib/data/dataset/open.js';
import { drawTray } from '../../src/lib/data/tray.js';
import { interpreterRuntime } from '../../src/lib/device/runtime.js';
import { whyUnfit } from '../../src/lib/device/telemetry/answer.js';
import { readRecording } from '../../src/lib/device/telemetry/sensor.js';
import { readArchive } from '../../src/lib/formats/archive.js';
import { modelMemoryOf } from '../../src/lib/model/bundle/board-memory.js';
import { bundleProject } from '../../src/lib/model/bundle/bundle-project.js';
import { checkGolden } from '../../src/lib/model/bundle/golden.js';
import { contentNames, sumsName, unpackBundle } from '../../src/lib/model/bundle/pack.js';
import { createPredictor } from '../../src/lib/model/bundle/predictor.js';
import { interfaceOf } from '../../src/lib/model/bundle/signed-bundle.js';
import type { EvaluateResult } from '../../src/lib/model/evaluate/result.js';
import { readTraining } from '../../src/lib/model/files.js';
import type { Fit } from '../../src/lib/model/fit/result.js';
import { runCli } from '../support/cli.js';
import { temporaryFolder, toyProject } from './support.js';

const yaml = `name: tray
stream: { topic: pixels, fields: { gray: { type: int, unit: '', range: [0, 255] } } }
signal: { features: image, image: { width: 24, height: 24 }, rate: 576, window: 576, stride: 576 }
model:
  kind: mobilenet
  layers: [8, 12, 16]
  labels: { empty: [empty], washer: [washer] }
  train: { epochs: 16, batch: 8, seed: 4, learningRate: 0.01, augment: { flip: both, brightness: 0.05 } }
  accept: { macroF1: 0.8, drop: 0.1, bytes: 60KiB }
`;

let project: Project;
let at: string[];
beforeAll(async () => {
  const dir = await temporaryFolder();
  await writeFile(join(dir, 'aiot.yaml'), yaml);
  project = await loadProject(dir);
  at = ['--project', dir];
  expect((await runCli(['data', 'synthesize', ...at, '--pictures', '40', '--json'])).code).toBe(0);
  expect((await runCli(['model', 'train', ...at, '--json'])).code).toBe(0);
  expect((await runCli(['model', 'quantize', ...at, '--mode', 'int8', '--json'])).code).toBe(0);
});

describe('a picture model', () => {
  it('is trained as a network of two-dimensional convolutions, with one mean for all pixels', async () => {
    const training = await readTraining(project);
    expect(training.network).toMatchObject({ kind: 'mobilenet', inputShape: [24, 24, 1] });
    const { mean } = training.standardization;
    expect(mean).toHaveLength(576);
    expect(new Set(mean).size).toBe(1);
  });

  it('is evaluated and bundled, with its picture size and one mean for all pixels in the bundle', async () => {
    const evaluated = await runCli(['model', 'evaluate', ...at, '--json']);
    expect(evaluated.json).toMatchObject({ passed: true });
    const { file, bundle } = await bundleProject({ project });
    expect(bundle.info.signal).toMatchObject({
      features: 'image',
      image: { width: 24, height: 24, fit: 'crop' },
    });
    expect(interfaceOf(bundle)).toBe(2);
    expect(checkGolden(bundle)).toMatchObject({ vectors: 6, passed: 6 });
    const bytes = await readFile(file);
    const [info] = readArchive(bytes, [...contentNames, sumsName]);
    const { standardization } = JSON.parse(new TextDecoder().decode(info!.data));
    expect(standardization.mean).toHaveLength(1);
    expect(unpackBundle(bytes).info.standardization.mean).toHaveLength(576);
  });

  it('draws the pictures with the worst predictions in its report', async () => {
    const report = join(project.dir, 'report.html');
    const { json } = await runCli(['model', 'evaluate', ...at, '--report', report, '--json']);
    const { worst } = json as EvaluateResult;
    const { samples, recording } = worst[0]!;
    expect(samples!.picture).toEqual({ width: 24, height: 24 });
    const own = (await openDataset(project)).recordings.find(({ id }) => id === recording)!;
    expect(samples!.values).toEqual([[...own.columns[0]!]]);
    const text = await readFile(report, 'utf8');
    expect(text).toContain('<h2>Worst pictures</h2>');
    expect(text.split('aria-label="Picture"')).toHaveLength(1 + worst.length);
    expect(text).not.toContain('aria-label="Samples of the window"');
  });

  it('predicts the same for a photograph of any size in a loop as for the fitted picture', async () => {
    const { file, bundle } = await bundleProject({ project });
    const { data } = drawTray('washer', { width: 60, height: 48, seed: 501 });
    const photo = await sharp(data, { raw: { width: 60, height: 48, channels: 3 } })
      .jpeg({ quality: 95 })
      .toBuffer();
    await mkdir(join(project.dir, 'photos', 'washer'), { recursive: true });
    await writeFile(join(project.dir, 'photos', 'washer', '1.jpg'), photo);
    const out = join(project.dir, 'out.ndjson');
    const looped = await runCli([
      ...['loop', 'run', ...at, '--model', file, '--sensor', 'file:photos/washer/1.jpg?speed=max'],
      ...['--vote', 'none', '--send', 'always', '--out', `file:${out}`, '--json'],
    ]);
    expect(looped.code, looped.stderr).toBe(0);
    expect(looped.json).toMatchObject({ samples: 576, lost: 0, windows: 1, predictions: 1 });
    const [line] = (await readFile(out, 'utf8')).trim().split('\n');
    const { recordings } = await openDataset(project, join(project.dir, 'photos'));
    const predictor = createPredictor(bundle);
    const labels = [...recordings[0]!.columns[0]!].map((value) => predictor.push([value])?.label);
    expect(JSON.parse(line!).payload.label).toBe(labels.at(-1));
  });

  it('runs on a device, which rejects a picture of a different size', async () => {
    const { file } = await bundleProject({ project });
    const loaded = await interpreterRuntime.load(await readFile(file));
    const fits = await readRecording(join(project.dir, 'data', 'recordings', 'drawn-washer-1.png'), null);
    expect(fits).toMatchObject({ fields: ['gray'], rateHz: 576, size: { width: 24, height: 24 } });
    expect(whyUnfit(fits, loaded)).toBeNull();
    const wide = join(project.dir, 'wide.png');
    await writeFile(
      wide,
      await sharp({ create: { width: 32, height: 18, channels: 3, background: '#777' } })
        .png()
        .toBuffer(),
    );
    expect(whyUnfit(await readRecording(wide, null), loaded)).toContain(
      'expected a picture of 24 × 24 pixels as required by the model, got 32 × 18',
    );
  });

  it('is explained by picture regions', async () => {
    const { json, code } = await runCli(['model', 'explain', ...at, '--json']);
    expect(code).toBe(0);
    expect(JSON.stringify(json)).toContain('row 2, column 3');
  });

  it('gets a latency estimate from aiot model fit', async () => {
    const { json } = await runCli(['model', 'fit', ...at, '--chip', 'esp32s3', '--json']);
    expect(JSON.stringify(json)).toContain('latency');
  });

  it('is compared with the memory of the default firmware', async () => {
    const { notes } = (await runCli(['model', 'fit', ...at, '--json'])).json as Fit;
    const note = notes.find((text) => text.includes('AIOT_MEMORY_BYTES'));
    const trial = Number(/needs ([\d,]+) bytes/.exec(note ?? '')?.[1]?.replaceAll(',', ''));
    const short = [...(note ?? '').matchAll(/(esp32\w*) ([\d,]+)/g)].map(([, chip]) => chip);
    const chips = ['esp32', 'esp32s3', 'esp32c3', 'esp32c6'];
    expect(short).toEqual(chips.filter((chip) => (modelMemoryOf(chip) ?? 0) < trial));
    expect(short).toContain('esp32');
    const { stdout } = await runCli(['model', 'fit', ...at]);
    const lines = stdout.split('\n');
    expect(lines.find((line) => line.startsWith('esp32 '))).toMatch(/with a larger AIOT_MEMORY_BYTES$/);
    expect(lines.find((line) => line.startsWith('rp2040 '))).toMatch(/yes$/);
    const { notes: roomy } = (await runCli(['model', 'fit', ...at, '--chip', 'rp2040', '--json']))
      .json as Fit;
    expect(roomy.join()).not.toContain('AIOT_MEMORY_BYTES');
  });

  it('is chosen only from two-dimensional convolutions in a search', async () => {
    const { json } = await runCli(['model', 'train', ...at, '--search', '2', '--epochs', '2', '--json']);
    const { candidates } = json as { candidates: { kind: string }[] };
    expect(candidates.every(({ kind }) => kind === 'mobilenet' || kind === 'ds-cnn')).toBe(true);
  });

  it('can use a fixed range instead of the training pictures’ mean', async () => {
    const text = yaml.replace('height: 24 }', 'height: 24, normalize: range }');
    await writeFile(join(project.dir, 'aiot.yaml'), text);
    expect((await runCli(['model', 'train', ...at, '--epochs', '1', '--json'])).code).toBe(0);
    const { standardization } = await readTraining(project);
    expect([standardization.mean[5], standardization.deviation[5]]).toEqual([127.5, 127.5]);
    await writeFile(join(project.dir, 'aiot.yaml'), yaml);
  });

  it('rejects kinds for other inputs, and its kind is rejected for other data', async () => {
    const cnn = await runCli(['model', 'train', ...at, '--kind', 'cnn1d', '--json']);
    expect(cnn.json).toMatchObject({ error: { code: 'AIOT_MODEL_UNFIT' } });
    const windows = await toyProject();
    const mobile = await runCli([
      'model',
      'train',
      '--project',
      windows.dir,
      '--kind',
      'mobilenet',
      '--json',
    ]);
    expect(mobile.json).toMatchObject({ error: { code: 'AIOT_MODEL_UNFIT' } });
  });
});

describe('a mobilenet for pictures of 96 × 96 pixels', () => {
  // Bytes and arena in KiB, and the predicted latency in ms.
  it.each([
    [
      'v1',
      '[8, 16, 32, 32, 64, 64, 128]',
      {
        bytes: 40,
        arena: 65,
        ms: {
          esp32: 184,
          esp32s3: 27,
          esp32c3: 207,
          esp32c6: 207,
          rp2040: 270,
          rp2350: 90,
          nrf52840: 212,
          stm32f4: 81,
          stm32l4: 113,
        },
      },
    ],
    [
      'v2',
      '[4, 8, 16, 24, 32, 64]',
      {
        bytes: 44,
        arena: 150,
        ms: {
          esp32: 217,
          esp32s3: 30,
          esp32c3: 243,
          esp32c6: 243,
          rp2040: 322,
          rp2350: 105,
          nrf52840: 245,
          stm32f4: 93,
          stm32l4: 131,
        },
      },
    ],
  ])(
    'with blocks %s and layers %s needs at most 300 KiB, and has a predicted latency on each chip',
    async (blocks, layers, expected) => {
      const dir = await temporaryFolder();
      const text = yaml
        .replace(
          '{ width: 24, height: 24 }, rate: 576, window: 576, stride: 576',
          '{ width: 96, height: 96 }, rate: 9216, window: 9216, stride: 9216',
        )
        .replace('layers: [8, 12, 16]', `blocks: ${blocks}\n  layers: ${layers}`)
        .replace('epochs: 16', 'epochs: 1');
      await writeFile(join(dir, 'aiot.yaml'), text);
      const own = ['--project', dir, '--json'];
      for (const step of [
        ['data', 'synthesize', '--pictures', '10'],
        ['model', 'train'],
        ['model', 'quantize'],
      ])
        expect(await runCli([...step, ...own])).toMatchObject({ code: 0 });
      const { bytes, arenaBytes, chips } = (await runCli(['model', 'fit', ...own])).json as Fit;
      expect(bytes + arenaBytes).toBeLessThanOrEqual(300 * 1024);
      expect({
        bytes: Math.round(bytes / 1024),
        arena: Math.round(arenaBytes / 1024),
        ms: Object.fromEntries(chips.map(({ chip, latency }) => [chip, Math.round(latency!.ms)])),
      }).toEqual(expected);
      for (const { latency } of chips) {
        expect(latency!.range[0]).toBeLessThan(latency!.ms);
        expect(latency!.range[1]).toBeGreaterThan(latency!.ms);
      }
    },
  );
});

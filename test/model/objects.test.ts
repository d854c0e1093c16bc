import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { seededRandom } from '../../src/lib/core/numbers.js';
import { loadProject, type Project, parseProject } from '../../src/lib/core/project.js';
import { drawTray } from '../../src/lib/data/tray.js';
import type { DeviceEvent } from '../../src/lib/device/events.js';
import { inferenceSchema } from '../../src/lib/device/protocol/messages.js';
import { interpreterRuntime } from '../../src/lib/device/runtime.js';
import { inferenceOf } from '../../src/lib/device/telemetry/answer.js';
import { createVirtualDevice } from '../../src/lib/device/virtual/device.js';
import { openSensing } from '../../src/lib/loop/sense/open.js';
import { bundleProject } from '../../src/lib/model/bundle/bundle-project.js';
import {
  bestThreshold,
  compareObjects,
  detectionsIn,
  emptyCounts,
  meanF1,
  mostDetections,
} from '../../src/lib/model/bundle/detections.js';
import { checkGolden } from '../../src/lib/model/bundle/golden.js';
import { packBundle, unpackBundle } from '../../src/lib/model/bundle/pack.js';
import { createPredictor } from '../../src/lib/model/bundle/predictor.js';
import { interfaceOf } from '../../src/lib/model/bundle/signed-bundle.js';
import { readTraining } from '../../src/lib/model/files.js';
import { layersOf } from '../../src/lib/model/network/layers.js';
import { pictureAugmenter } from '../../src/lib/model/train/fit/augment-pictures.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { fitPicture } from '../../src/lib/vision/fit.js';
import { encodePng } from '../../src/lib/vision/picture.js';
import { pushTiny } from '../support/bundle.js';
import { runCli } from '../support/cli.js';
import { testPlatform } from '../support/platform.js';
import { oneWave, rolloutEnd } from '../support/rollout.js';
import { temporaryFolder } from './support.js';

const layout = { grid: [4, 5] as [number, number], picture: { width: 40, height: 32 } };

/** Shares of two classes: the named cells have the named class with this share, all others are background. */
function shares(cells: [row: number, column: number, own: 0 | 1, share: number][]): number[] {
  const out = Array.from({ length: 20 }, () => [1, 0, 0]);
  for (const [row, column, own, share] of cells) {
    const cell = [1 - share, 0, 0];
    cell[1 + own] = share;
    out[row * 5 + column] = cell;
  }
  return out.flat();
}

describe('detections in a grid', () => {
  it('are the strongest cells, with the touching cells that descend from them', () => {
    const found = detectionsIn(
      shares([
        [0, 0, 0, 0.6],
        [0, 1, 0, 0.9],
        [3, 4, 1, 0.7],
        [2, 2, 1, 0.3],
      ]),
      layout,
      0.5,
    );
    expect(found).toEqual([
      { class: 0, x: (8 * (0.6 * 0.5 + 0.9 * 1.5)) / 1.5, y: 4, confidence: 0.9 },
      { class: 1, x: 36, y: 28, confidence: 0.7 },
    ]);
  });

  it('are separated by a weaker cell, and merged without one', () => {
    const row = (middle: number) =>
      detectionsIn(
        shares([
          [1, 1, 0, 0.9],
          [1, 2, 0, middle],
          [1, 3, 0, 0.8],
        ]),
        layout,
        0.5,
      ).length;
    expect(row(0.6)).toBe(2);
    expect(row(0.85)).toBe(1);
    expect(row(0.4)).toBe(2);
  });

  it('have the class of their strongest cell', () => {
    const [one, ...others] = detectionsIn(
      shares([
        [1, 1, 0, 0.6],
        [1, 2, 1, 0.8],
      ]),
      layout,
      0.5,
    );
    expect(one).toMatchObject({ class: 1, confidence: 0.8 });
    expect(others).toEqual([]);
  });

  it('are limited in number, and none without a cell above the threshold', () => {
    const wide = { grid: [20, 20] as [number, number], picture: { width: 160, height: 160 } };
    const many = Array.from({ length: 400 }, (_, cell) => {
      const own = cell % 2 === 0 && Math.floor(cell / 20) % 2 === 0 ? 0.5 + cell / 1000 : 0;
      return [1 - own, own];
    }).flat();
    const found = detectionsIn(many, wide, 0.5);
    expect(found).toHaveLength(mostDetections);
    expect(found[0]!.confidence).toBeCloseTo(0.878, 9);
    expect(detectionsIn(many, wide, 0.95)).toEqual([]);
  });

  it('are right in the cell of an object of their class, or next to it, each object once', () => {
    const counts = emptyCounts(2);
    const truth = [
      { class: 0, x: 12, y: 12 },
      { class: 1, x: 36, y: 4 },
    ];
    const found = [
      { class: 0, x: 20, y: 20, confidence: 0.9 },
      { class: 0, x: 12, y: 12, confidence: 0.8 },
      { class: 0, x: 36, y: 4, confidence: 0.7 },
    ];
    expect(compareObjects(found, truth, layout, counts)).toBe(false);
    expect(counts).toEqual([
      { hits: 1, falseAlarms: 2, misses: 0 },
      { hits: 0, falseAlarms: 0, misses: 1 },
    ]);
    expect(meanF1(counts)).toBeCloseTo((2 / 4 + 0) / 2, 9);
    expect(compareObjects(found.slice(0, 1), truth.slice(0, 1), layout, emptyCounts(2))).toBe(true);
    expect(compareObjects([{ ...found[0]!, x: 28 }], truth.slice(0, 1), layout, emptyCounts(2))).toBe(false);
  });

  it('get the threshold that separates objects from the background', () => {
    const picture = shares([
      [1, 1, 0, 0.45],
      [3, 3, 0, 0.25],
    ]);
    const threshold = bestThreshold([picture], [[{ class: 0, x: 12, y: 12 }]], layout, 2);
    expect(threshold).toBeGreaterThan(0.25);
    expect(threshold).toBeLessThanOrEqual(0.45);
  });
});

describe('the network of a fomo', () => {
  const reduction = (layers: ReturnType<typeof layersOf>) =>
    layers.reduce((all, layer) => all * ('stride' in layer ? Number(layer.stride ?? 1) : 1), 1);

  it('reduces the picture to an eighth, whatever its blocks and filters', () => {
    for (const [layers, blocks] of [
      [undefined, 'v1'],
      [undefined, 'v2'],
      [[8, 8, 16, 16, 32, 64, 128], 'v1'],
      [[8, 8, 16, 32, 48, 64], 'v2'],
    ] as const)
      expect(reduction(layersOf('fomo', layers, [96, 96, 1], blocks))).toBe(8);
    expect(() => layersOf('fomo', [8, 16, 16, 24], [96, 96, 1])).toThrow(
      'expected a grid with cells of 8 × 8 pixels for a fomo, got 4 × 4',
    );
  });

  it('learns from objects that move with their picture', () => {
    const size = { width: 40, height: 24, channels: 1 };
    const standardization = { mean: new Array(960).fill(0), deviation: new Array(960).fill(1) };
    const settings = {
      flip: 'both',
      rotation: 30,
      crop: 0.3,
      gain: 0,
      brightness: 0,
      noise: 0,
      timeWarp: 0,
    } as const;
    const augment = pictureAugmenter(settings, size, standardization)!;
    for (let seed = 0; seed < 20; seed++) {
      const picture = new Float32Array(960);
      // A bright square of 3 × 3 pixels, whose center is (16.5, 10.5).
      for (let y = 9; y < 12; y++) for (let x = 15; x < 18; x++) picture[y * 40 + x] = 255;
      let moved: [number, number] = [0, 0];
      augment(picture, 1, seededRandom(seed), (_, move) => {
        moved = move(16.5, 10.5);
      });
      let [weight, sumX, sumY] = [0, 0, 0];
      picture.forEach((value, i) => {
        weight += value;
        sumX += value * ((i % 40) + 0.5);
        sumY += value * (Math.floor(i / 40) + 0.5);
      });
      expect(sumX / weight).toBeCloseTo(moved[0], 0);
      expect(sumY / weight).toBeCloseTo(moved[1], 0);
    }
  });
});

const yaml = `name: count
stream: { topic: pixels, fields: { gray: { type: int, unit: '', range: [0, 255] } } }
signal: { features: image, image: { width: 40, height: 40 }, rate: 1600, window: 1600, stride: 1600 }
model:
  kind: fomo
  layers: [8, 12, 16, 24, 32]
  labels: { washer: [washer] }
  train: { epochs: 20, batch: 8, seed: 4, learningRate: 0.01, augment: { flip: both } }
  quantize: { mode: int8, maxLoss: 20 }
  accept: { macroF1: 0.7, drop: 0.1, bytes: 60KiB }
`;

let project: Project;
let at: string[];
beforeAll(async () => {
  const dir = await temporaryFolder();
  await writeFile(join(dir, 'aiot.yaml'), yaml);
  project = await loadProject(dir);
  at = ['--project', dir];
  expect((await runCli(['data', 'synthesize', ...at, '--pictures', '70', '--json'])).code).toBe(0);
  const trained = await runCli(['model', 'train', ...at, '--json']);
  expect(trained.code, trained.stderr).toBe(0);
  const quantized = await runCli(['model', 'quantize', ...at, '--json']);
  expect(quantized.code, quantized.stderr).toBe(0);
});

describe('a model that finds objects', () => {
  it('has a grid of shares, and a threshold from the validation set', async () => {
    const { network, threshold } = await readTraining(project);
    expect(network.output).toEqual({ kind: 'objects', count: 2, grid: [5, 5] });
    expect(threshold).toBeGreaterThan(0);
    expect(threshold).toBeLessThan(1);
  });

  it('is evaluated by its objects', async () => {
    const { json, code, stderr } = await runCli(['model', 'evaluate', ...at, '--json']);
    expect(code, stderr).toBe(0);
    const result = json as {
      n: number;
      macroF1: number;
      perClass: { class: string; support: number; f1: number }[];
      int8: Record<string, number>;
      warnings: string[];
    };
    expect(result).toMatchObject({ output: 'objects', passed: true, confusion: [], warnings: [] });
    expect(result.macroF1).toBeCloseTo(result.perClass[0]!.f1, 9);
    expect(Object.keys(result.int8).sort()).toEqual(['accuracy', 'macroF1', 'mae', 'rmse', 'windows']);
    const text = await runCli(['model', 'evaluate', ...at]);
    expect(text.stdout).toContain('F1 of objects');
    expect(text.stdout).toContain('Pictures without error');
  });

  it('is bundled for firmware that finds objects, and rejected with another grid', async () => {
    const { bytes, bundle } = await bundleProject({ project });
    expect(interfaceOf(bundle)).toBe(8);
    expect(bundle.info.answer).toMatchObject({
      kind: 'objects',
      grid: [5, 5],
      picture: { width: 40, height: 40 },
    });
    expect(checkGolden(bundle)).toMatchObject({ vectors: 3, passed: 3 });
    expect(unpackBundle(bytes)).toEqual(bundle);
    const answer = { ...bundle.info.answer, grid: [4, 5] } as typeof bundle.info.answer;
    const wrong = packBundle({ ...bundle, info: { ...bundle.info, answer } });
    expect(() => unpackBundle(wrong)).toThrow('expected one int8 output of 40 values');
    const evaluation = join(project.dir, 'build', 'evaluation.json');
    const before = await readFile(evaluation, 'utf8');
    const forged = JSON.parse(before);
    forged.int8.macroF1 = 0.999;
    await writeFile(evaluation, JSON.stringify(forged));
    await expect(bundleProject({ project })).rejects.toMatchObject({ code: 'AIOT_MODEL_STALE' });
    await writeFile(evaluation, before);
  });

  it('sends the objects’ places from a loop and a device', async () => {
    const { file, bundle } = await bundleProject({ project });
    const { recordings } = JSON.parse(await readFile(join(project.dir, 'data', 'dataset.json'), 'utf8'));
    const { split } = await readTraining(project);
    const shown = recordings.find(
      ({ id, boxes }: { id: string; boxes: unknown[] }) => split.train.includes(id) && boxes.length === 2,
    );
    const out = join(project.dir, 'out.ndjson');
    const looped = await runCli([
      ...[
        'loop',
        'run',
        ...at,
        '--model',
        file,
        '--sensor',
        `file:data/recordings/${shown.id}.png?speed=max`,
      ],
      ...['--vote', 'none', '--send', 'always', '--out', `file:${out}`, '--json'],
    ]);
    expect(looped.code, looped.stderr).toBe(0);
    const { payload } = JSON.parse((await readFile(out, 'utf8')).trim());
    expect(payload).toMatchObject({ label: null, voted: null });
    expect(payload.value).toBe(payload.detections.length);
    expect(payload.scores).toEqual([payload.detections.length]);
    for (const { label, x, y, confidence } of payload.detections) {
      expect(label).toBe('washer');
      expect(confidence).toBeGreaterThan(0);
      const near = shown.boxes.some(
        (box: { x: number; y: number; width: number; height: number }) =>
          Math.abs(box.x + box.width / 2 - x) <= 12 && Math.abs(box.y + box.height / 2 - y) <= 12,
      );
      expect(near).toBe(true);
    }
    expect(payload.detections.length).toBeGreaterThan(0);
    const predictor = createPredictor(bundle);
    const { openDataset } = await import('../../src/lib/data/dataset/open.js');
    const { columns } = (await openDataset(project)).recordings.find(({ id }) => id === shown.id)!;
    const answers = [...columns[0]!].map((value) => predictor.push([value]));
    expect(answers.at(-1)!.detections).toEqual(payload.detections);
    const loaded = await interpreterRuntime.load(await readFile(file));
    const message = inferenceOf(
      {
        prediction: answers.at(-1)!,
        model: { loaded, name: { name: 'count', version: 1, digest: '' } as never },
      },
      shown.id,
      0,
    );
    expect(inferenceSchema.parse({ ...message, seq: 0 }).detections).toEqual(payload.detections);
  });

  it('finds the objects in each picture of a folder, of any size, in a loop', async () => {
    const { file, bundle } = await bundleProject({ project });
    const { openDataset } = await import('../../src/lib/data/dataset/open.js');
    const { recordings } = await openDataset(project);
    const folder = join(await temporaryFolder(), 'shelf');
    await mkdir(folder);
    const shown = recordings.slice(0, 12);
    for (const [i, { id }] of shown.entries())
      await copyFile(join(project.dir, 'data', 'recordings', `${id}.png`), join(folder, `${i}.png`));
    // A wide picture, which is cropped, and a file that is not a picture
    const wide = drawTray('washer', { width: 64, height: 40, seed: 3 });
    await writeFile(join(folder, '12.png'), encodePng(wide, 3));
    await writeFile(join(folder, '13.png'), 'no picture');
    const out = join(folder, 'out.ndjson');
    const { code, stderr, json } = await runCli([
      ...['loop', 'run', ...at, '--model', file, '--sensor', `pictures://${folder}`, '--vote', 'none'],
      ...['--send', 'always', '--out', `file:${out}`, '--json'],
    ]);
    expect(code, stderr).toBe(0);
    expect(json).toMatchObject({ predictions: 13, samples: 13 * 1600 });
    expect(stderr).toContain('a picture is skipped');
    const predictor = createPredictor(bundle);
    const fitted = fitPicture(wide, bundle.info.signal.image!, 1)[0]!;
    const wanted = [...shown.map(({ columns }) => columns[0]!), fitted].map(
      (pixels) => predictor.answer(pixels).detections,
    );
    const sent = (await readFile(out, 'utf8')).trim().split('\n');
    expect(sent.map((line) => JSON.parse(line).payload.detections)).toEqual(wanted);
  });

  it('rejects a camera for a model of other samples', async () => {
    const contract = { fields: [{ name: 'x', unit: 'g' }], rateHz: 10 };
    for (const sensor of ['pictures:///tmp', 'camera:///dev/video0'])
      await expect(openSensing({ sensor, contract })).rejects.toMatchObject({
        code: 'AIOT_SENSOR_UNFIT',
        message: expect.stringContaining('the model does not accept pictures'),
      });
  });

  it('is rolled out to a virtual device, which sends the objects of each picture', async () => {
    const { bytes, bundle } = await bundleProject({ project });
    const { openDataset } = await import('../../src/lib/data/dataset/open.js');
    const { recordings } = await openDataset(project);
    const own = await testPlatform();
    const { client, key } = own;
    const out = join(own.folder, 'camera-1');
    await provisionDevice({ client, name: 'camera-1', type: 'virtual', out });
    const events: DeviceEvent[] = [];
    const device = await createVirtualDevice({ identityDir: out, onEvent: (event) => events.push(event) });
    try {
      await device.connect();
      const { name, version, sequence } = await pushTiny(client, key, { name: 'count', bundle: bytes });
      const { id } = await client.rollouts.start(oneWave({ name, version, sequence, deadlineMs: 20_000 }));
      const { devices } = await rolloutEnd(client, id);
      expect(devices[0]).toMatchObject({ name: 'camera-1', state: 'committed', error: null });
      const predictor = createPredictor(bundle);
      const shown = recordings.slice(0, 20);
      const take = { stream: 'pixels', speed: 'max', predict: true } as const;
      for (const recording of shown)
        expect(await device.replay(recording, take)).toMatchObject({ samples: 1600, inferences: 1 });
      const sent = events.flatMap((event) => (event.event === 'inference' ? [event.inference] : []));
      expect(sent.map(({ detections }) => detections)).toEqual(
        shown.map(({ columns }) => predictor.answer(columns[0]!).detections),
      );
      expect(sent.flatMap(({ detections }) => detections).length).toBeGreaterThan(10);
    } finally {
      await device.stop();
      await own.stop();
    }
  });

  it('can start from the layers of another model', async () => {
    const dir = await temporaryFolder();
    await writeFile(join(dir, 'aiot.yaml'), yaml);
    expect((await runCli(['data', 'synthesize', '--project', dir, '--pictures', '20', '--json'])).code).toBe(
      0,
    );
    const train = async () => {
      const { json, code, stderr } = await runCli(['model', 'train', '--project', dir, '--json']);
      expect(code, stderr).toBe(0);
      return json as { metrics: { valLoss: number }; notes: string[] };
    };
    const scratch = await train();
    const text = yaml.replace('epochs: 20', `epochs: 20, from: ${project.dir}`);
    await writeFile(join(dir, 'aiot.yaml'), text.replace('layers: [8, 12, 16, 24, 32]\n  ', ''));
    const transferred = await train();
    expect(transferred.notes.join()).toContain('all frozen');
    // Few pictures are enough for the last layer.
    expect(transferred.metrics.valLoss).toBeLessThan(scratch.metrics.valLoss);
  });

  it.each([
    ['--search', '2'],
    ['--folds', '3'],
  ])('rejects %s, which compares classes', async (...flags) => {
    const { json } = await runCli(['model', 'train', ...at, ...flags, '--json']);
    expect(json).toMatchObject({ error: { code: 'AIOT_USAGE', message: expect.stringContaining('fomo') } });
  });

  it.each([
    ['split: window', 'a picture is not divided'],
    ['vote: majority:3', 'expected none'],
    ['output: value', 'expected classes for model.kind fomo'],
    ['reject: {}', 'needs model.output: classes'],
  ])('rejects %s', (line, message) => {
    expect(() => parseProject(yaml.replace('  kind: fomo', `  kind: fomo\n  ${line}`), 'aiot.yaml')).toThrow(
      message,
    );
  });
});

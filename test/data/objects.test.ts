import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Project } from '../../src/lib/core/project.js';
import { openDataset } from '../../src/lib/data/dataset/open.js';
import { splitDataset } from '../../src/lib/data/split.js';
import { drawFullTray } from '../../src/lib/data/tray.js';
import type { ObjectBox, Recording } from '../../src/lib/data/types.js';
import { fitRegion } from '../../src/lib/vision/fit.js';
import { runCli } from '../support/cli.js';
import { dataset, makeProject } from './support.js';

const yaml = (labels = '{ bolt: [bolt], nut: [nut], screw: [screw] }', size = 40) => `name: parts
stream: { topic: pixels, fields: { red: { unit: "" }, green: { unit: "" }, blue: { unit: "" } } }
signal:
  features: image
  image: { width: ${size}, height: ${size}, fit: stretch }
  rate: ${size * size}
  window: ${size * size}
  stride: ${size * size}
model: { kind: fomo, labels: ${labels} }
`;

const fixtures = 'test/fixtures/annotations';
const pictures = join(fixtures, 'pictures');
const coco = join(fixtures, 'coco.json');

let project: Project;
let clean: () => Promise<void>;
beforeEach(async () => {
  ({ project, clean } = await makeProject(yaml()));
});
afterEach(() => clean());

const data = (...args: string[]) => runCli(['data', ...args, '--project', project.dir, '--json']);

/** Changes the project's dataset.json. */
async function edit(change: (entries: { id: string; boxes?: ObjectBox[] }[]) => void): Promise<void> {
  const file = join(project.dir, 'data', 'dataset.json');
  const listing = JSON.parse(await readFile(file, 'utf8'));
  change(listing.recordings);
  await writeFile(file, JSON.stringify(listing));
}

describe('boxes of annotated pictures', () => {
  it.each([
    ['COCO', coco],
    ['Pascal VOC', join(fixtures, 'voc')],
  ])('stay with their picture, scaled to the project’s size: %s', async (_, from) => {
    const { json, code, stderr } = await data('import', from, '--pictures', pictures);
    expect(code, stderr).toBe(0);
    expect(json).toMatchObject({ unused: { unlabeled: 0, crowds: 0, unknown: 0, cropped: 0 } });
    const { recordings } = await openDataset(project);
    // test/fixtures/annotations/make.py draws the objects, in pictures of 100 × 80, 90 × 60 and 64 × 64 pixels.
    expect(recordings.map(({ id, label, boxes }) => [id, label, boxes])).toEqual([
      ['none', null, []],
      [
        'one',
        null,
        [
          { label: 'bolt', x: 4, y: 10, width: 8, height: 10 },
          { label: 'nut', x: 24, y: 2.5, width: 12, height: 10 },
        ],
      ],
      ['three', null, [{ label: 'screw', x: 13.33, y: 6.67, width: 13.33, height: 26.67 }]],
      [
        'two',
        null,
        [
          { label: 'nut', x: 0, y: 18.75, width: 10, height: 21.25 },
          { label: 'nut', x: 25, y: 25, width: 7.5, height: 7.5 },
        ],
      ],
    ]);
    const [, one] = recordings;
    const { x, y, width, height } = one!.boxes![0]!;
    const at = (px: number, py: number) => one!.columns[0]![Math.round(py) * 40 + Math.round(px)]!;
    expect(at(x + width / 2, y + height / 2)).toBe(250);
    expect(at(x - 2, y + height / 2)).toBe(40);
    expect((await data('import', from, '--pictures', pictures)).json).toMatchObject({
      imported: [],
      skipped: { length: 4 },
    });
  });

  it('are counted in lists, and shown with the picture', async () => {
    await data('import', coco, '--pictures', pictures);
    const { json } = await data('list');
    expect(json).toMatchObject({ objects: { bolt: 1, nut: 3, screw: 1 }, labels: {} });
    const shown = await data('show', 'one');
    expect(shown.json).toMatchObject({ objects: { bolt: 1, nut: 1 }, boxes: { length: 2 } });
    const text = await runCli(['data', 'show', 'one', '--project', project.dir]);
    expect(text.stdout).toMatch(/bolt +4 +10 +8 +10/);
    expect(text.stdout).toMatch(/Picture +\d+ × \d+ pixels/);
    expect(text.stdout).not.toMatch(/\d s\b|Hz/);
    const list = await runCli(['data', 'list', '--project', project.dir]);
    expect(list.stdout).toMatch(/recording +label +device +pixels/);
    expect(list.stdout).not.toMatch(/\d s\b|Hz/);
  });

  it('are part of the data’s digest, and another box is another recording', async () => {
    await data('import', coco, '--pictures', pictures);
    const { digest } = await openDataset(project);
    await edit((entries) => {
      entries.find(({ id }) => id === 'three')!.boxes![0]!.x += 1;
    });
    expect((await openDataset(project)).digest).not.toBe(digest);
    expect((await data('import', coco, '--pictures', pictures)).json).toMatchObject({
      error: { code: 'AIOT_ALREADY_EXISTS', next: expect.stringContaining('aiot data remove three') },
    });
  });

  it('are rejected outside of the picture', async () => {
    await data('import', coco, '--pictures', pictures);
    await edit((entries) => {
      entries.find(({ id }) => id === 'three')!.boxes![0]!.x = 40;
    });
    const { json } = await data('check');
    expect(json).toMatchObject({
      error: {
        code: 'AIOT_FILE_MALFORMED',
        message: expect.stringContaining(
          'recording three: box 1: expected a box within 40 × 40 pixels, got 13.33 × 26.67 at 40, 6.67',
        ),
      },
    });
  });

  it('need options that fit the model', async () => {
    const { json } = await data('import', coco, '--pictures', pictures, '--boxes', 'crop');
    expect(json).toMatchObject({ error: { code: 'AIOT_USAGE', message: expect.stringContaining('keep') } });
    expect((await data('import', coco, '--pictures', pictures, '--label', 'nut')).json).toMatchObject({
      error: { code: 'AIOT_USAGE', message: expect.stringContaining('--label') },
    });
    const other = await makeProject(yaml().replace('fomo', 'mobilenet'));
    try {
      const args = ['data', 'import', coco, '--pictures', pictures, '--project', other.project.dir];
      expect((await runCli([...args, '--boxes', 'keep', '--json'])).json).toMatchObject({
        error: { code: 'AIOT_USAGE', message: expect.stringContaining('model.kind: fomo') },
      });
    } finally {
      await other.clean();
    }
  });

  it.each([
    ['crop', { x: 10, y: 10, width: 20, height: 20 }, { x: 0, y: 5, width: 10, height: 10 }],
    ['crop', { x: 0, y: 0, width: 18, height: 18 }, null],
    ['stretch', { x: 10, y: 10, width: 20, height: 20 }, { x: 4, y: 5, width: 8, height: 10 }],
    ['pad', { x: 10, y: 10, width: 20, height: 20 }, { x: 4, y: 8, width: 8, height: 8 }],
  ] as const)('follow the picture when it is fitted: %s', (fit, region, expected) => {
    const fitted = fitRegion(region, { width: 100, height: 80 }, { width: 40, height: 40, fit });
    if (expected === null) expect(fitted).toBeNull();
    else
      for (const key of ['x', 'y', 'width', 'height'] as const)
        expect(fitted![key]).toBeCloseTo(expected[key], 9);
  });
});

describe('the check of boxes', () => {
  const findings = async () => {
    const { json } = await data('check');
    return (json as { findings: { kind: string; severity: string; message: string }[] }).findings;
  };

  it('finds classes without objects, and too few pictures', async () => {
    await clean();
    ({ project, clean } = await makeProject(
      yaml('{ bolt: [bolt], nut: [nut], screw: [screw], cog: [cog] }'),
    ));
    await data('import', coco, '--pictures', pictures);
    const found = await findings();
    expect(found).toContainEqual(
      expect.objectContaining({
        kind: 'objects',
        severity: 'error',
        message: 'No picture has a box of cog.',
      }),
    );
    expect(found).toContainEqual(
      expect.objectContaining({
        kind: 'label',
        message: expect.stringContaining('class bolt: expected at least 3'),
      }),
    );
  });

  it('finds pictures without annotations', async () => {
    await data('import', coco, '--pictures', pictures);
    await edit((entries) => {
      for (const entry of entries) delete entry.boxes;
    });
    const found = await findings();
    expect(found).toContainEqual(
      expect.objectContaining({
        severity: 'error',
        message: expect.stringContaining('4 pictures without annotations'),
      }),
    );
    expect((await runCli(['model', 'train', '--project', project.dir, '--json'])).json).toMatchObject({
      error: { code: 'AIOT_DATA_EMPTY', message: 'expected pictures with boxes, got none' },
    });
  });

  it('finds objects that the cells of the grid cannot distinguish', async () => {
    await data('import', coco, '--pictures', pictures);
    expect((await findings()).filter(({ message }) => message.includes('same cell'))).toEqual([]);
    await edit((entries) => {
      const { boxes } = entries.find(({ id }) => id === 'two')!;
      Object.assign(boxes![1]!, { x: 7, y: 15 });
    });
    expect(await findings()).toContainEqual(
      expect.objectContaining({
        kind: 'objects',
        severity: 'warning',
        message: expect.stringContaining('The centers of 2 of 5 objects'),
      }),
    );
  });

  it('finds labels that belong to no class', async () => {
    await data('import', coco, '--pictures', pictures);
    await edit((entries) => {
      entries.find(({ id }) => id === 'three')!.boxes![0]!.label = 'cat';
    });
    expect(await findings()).toContainEqual(
      expect.objectContaining({ message: expect.stringContaining('recording three, box 1') }),
    );
  });
});

describe('drawn trays with several parts', () => {
  const parts = ['bolt', 'nut', 'washer'] as const;

  it('have a box around each part, and none on an empty tray', () => {
    const drawn = Array.from({ length: 30 }, (_, seed) =>
      drawFullTray(parts, { width: 64, height: 64, seed }),
    );
    expect(drawn.some(({ boxes }) => boxes.length === 0)).toBe(true);
    expect(new Set(drawn.flatMap(({ boxes }) => boxes.map(({ label }) => label)))).toEqual(new Set(parts));
    for (const { boxes } of drawn) {
      for (const { x, y, width, height } of boxes) {
        expect(Math.min(x, y)).toBeGreaterThanOrEqual(0);
        expect(Math.max(x + width, y + height)).toBeLessThanOrEqual(64);
        expect(Math.min(width, height)).toBeGreaterThan(3);
      }
    }
    const brightness = ({ picture }: (typeof drawn)[number], { x, y, width, height }: ObjectBox) => {
      let sum = 0;
      for (let row = y; row < y + height; row++)
        for (let column = x; column < x + width; column++) sum += picture.data[(row * 64 + column) * 3]!;
      return sum / (width * height);
    };
    const whole = { x: 0, y: 0, width: 64, height: 64, label: '' };
    // Metal is brighter than nearly every tray.
    const seen = drawn.flatMap((one) =>
      one.boxes.map((box) => brightness(one, box) > brightness(one, whole)),
    );
    expect(seen.filter(Boolean).length / seen.length).toBeGreaterThan(0.8);
  });

  it('replace those of an earlier run, and pass the check', async () => {
    await clean();
    ({ project, clean } = await makeProject(yaml('{ bolt: [bolt], nut: [nut], washer: [washer] }', 64)));
    const first = await data('synthesize', '--pictures', '30');
    expect(first.json).toMatchObject({ recordings: 30, counted: 'objects', replaced: 0 });
    expect((await data('synthesize', '--pictures', '24')).json).toMatchObject({ replaced: 30 });
    const { code, json } = await data('check');
    expect(json).toMatchObject({ ok: true });
    expect(code).toBe(0);
  });
});

describe('a split of annotated pictures', () => {
  const model = {
    kind: 'fomo',
    labels: { bolt: ['bolt'], nut: ['nut'] },
    split: 'recording',
    train: { seed: 3 },
  } as unknown as Parameters<typeof splitDataset>[1];
  const picture = (id: string, labels: string[], change: Partial<Recording> = {}): Recording => ({
    ...{ id, label: null, device: null, rateHz: 50, startedAt: null, fields: ['x', 'y'] },
    columns: [0, 1].map((f) =>
      Float64Array.from({ length: 60 }, (_, i) =>
        Math.sin(i * (id.length + 1) * (f + 1) + Number(id.slice(1)) ** 2),
      ),
    ),
    boxes: labels.map((label, i) => ({ label, x: 8 * i, y: 0, width: 4, height: 4 })),
    ...change,
  });
  const all = Array.from({ length: 24 }, (_, i) =>
    picture(`p${i}`, i % 6 === 0 ? [] : i % 4 === 0 ? ['bolt', 'nut'] : i % 2 ? ['nut'] : ['bolt'], {
      device: `camera-${i % 8}`,
    }),
  );

  it('puts each picture on one side, and each class on every side', () => {
    const { train, validation, test } = splitDataset(dataset(all), model);
    const sides = [train, validation, test];
    expect(sides.flat().sort()).toEqual(all.map(({ id }) => id).sort());
    for (const side of sides) {
      const labels = side.flatMap((id) => all.find((one) => one.id === id)!.boxes!.map(({ label }) => label));
      expect(new Set(labels)).toEqual(new Set(['bolt', 'nut']));
    }
  });

  it('keeps the pictures of a device together', () => {
    const split = splitDataset(dataset(all), { ...model, split: 'device' });
    const sidesOf = new Map<string, Set<string>>();
    for (const side of ['train', 'validation', 'test'] as const) {
      for (const id of split[side]) {
        const device = all.find((one) => one.id === id)!.device!;
        sidesOf.set(device, (sidesOf.get(device) ?? new Set()).add(side));
      }
    }
    expect(sidesOf.size).toBe(8);
    for (const sides of sidesOf.values()) expect(sides.size).toBe(1);
  });

  it('leaves out pictures without annotations, and needs enough pictures of each class', () => {
    const bare = picture('p99', [], { boxes: undefined as never });
    const split = splitDataset(dataset([...all, bare]), model);
    expect([...split.train, ...split.validation, ...split.test]).not.toContain('p99');
    const few = all.map((one) =>
      one.id === 'p1' ? one : { ...one, boxes: one.boxes!.filter(({ label }) => label !== 'nut') },
    );
    expect(() => splitDataset(dataset(few), model)).toThrow('class nut: expected at least 3');
  });
});

import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Project } from '../../src/lib/core/project.js';
import { openDataset } from '../../src/lib/data/dataset/open.js';
import { readAnnotations } from '../../src/lib/data/sources/annotations.js';
import { aroundBox } from '../../src/lib/data/sources/boxes.js';
import { readXml } from '../../src/lib/formats/xml.js';
import { runCli } from '../support/cli.js';
import { makeProject } from './support.js';

const yaml = (labels: string) => `name: parts
stream: { topic: pixels, fields: { red: { unit: "" }, green: { unit: "" }, blue: { unit: "" } } }
signal: { features: image, image: { width: 20, height: 20 }, rate: 400, window: 400, stride: 400 }
model: { kind: mobilenet, labels: ${labels} }
`;
const labels = '{ bolt: [bolt], nut: [nut], screw: [screw] }';

const fixtures = 'test/fixtures/annotations';
const pictures = join(fixtures, 'pictures');
const coco = join(fixtures, 'coco.json');

let project: Project;
let clean: () => Promise<void>;
beforeEach(async () => {
  ({ project, clean } = await makeProject(yaml(labels)));
});
afterEach(() => clean());

const load = (...args: string[]) => runCli(['data', 'import', ...args, '--project', project.dir, '--json']);

/** A modified copy of the annotations, next to the pictures. */
async function changed(change: (value: Record<string, Record<string, unknown>[]>) => void): Promise<string> {
  const value = JSON.parse(await readFile(coco, 'utf8'));
  change(value);
  await cp(pictures, join(project.dir, 'own', 'images'), { recursive: true });
  const file = join(project.dir, 'own', 'changed.json');
  await writeFile(file, JSON.stringify(value));
  return file;
}

/** Objects that test/fixtures/annotations/make.py draws: label, x, y, width, height. */
const drawn = [
  [
    'one.png',
    [
      ['bolt', 10, 20, 20, 20],
      ['nut', 60, 5, 30, 20],
    ],
  ],
  [
    'two.png',
    [
      ['nut', 0, 30, 16, 34],
      ['nut', 40, 40, 12, 12],
    ],
  ],
  ['three.png', [['screw', 30, 10, 30, 40]]],
  ['none.png', []],
] as const;

describe('annotations of other programs', () => {
  const boxesOf = async (files: string[]) => {
    const read = await readAnnotations(files, pictures);
    return read
      .map(({ file, boxes }) => [
        file.split('/').at(-1)!,
        boxes.map(({ label, x, y, width, height }) => [label, x, y, width, height]),
      ])
      .sort();
  };

  it('have the same boxes in COCO and in Pascal VOC', async () => {
    const expected = [...drawn].sort();
    expect(await boxesOf([coco])).toEqual(expected);
    const voc = drawn.map(([name]) => join(fixtures, 'voc', 'Annotations', name.replace('.png', '.xml')));
    expect(await boxesOf(voc)).toEqual(expected);
    expect(await boxesOf([join(fixtures, 'one.xml')])).toEqual([['one.png', [['bolt', 10, 20, 20, 20]]]]);
  });

  it.each([
    ['COCO', coco],
    ['Pascal VOC', join(fixtures, 'voc')],
  ])('become a recording for each box: %s', async (_, from) => {
    const { json, code } = await load(from, '--pictures', pictures);
    expect(code).toBe(0);
    expect(json).toMatchObject({ unused: { unlabeled: 1, crowds: 0, unknown: 0 } });
    const { recordings } = await openDataset(project);
    expect(recordings.map(({ id, label }) => [id, label])).toEqual([
      ['one-1', 'bolt'],
      ['one-2', 'nut'],
      ['three-1', 'screw'],
      ['two-1', 'nut'],
      ['two-2', 'nut'],
    ]);
    for (const { label, columns } of recordings) {
      const own = ['bolt', 'nut', 'screw'].indexOf(label!);
      const inside = columns[own]!.map((value, i) =>
        value === 250 && columns[(own + 1) % 3]![i] === 0 && columns[(own + 2) % 3]![i] === 0 ? 1 : 0,
      );
      expect(inside.reduce((sum, one) => sum + one, 0)).toBeGreaterThan(80);
      expect(columns[own]!.filter((value) => value === 40).length).toBeGreaterThan(20);
    }
    const again = (await load(from, '--pictures', pictures)).json as { imported: []; skipped: string[] };
    expect(again.imported).toEqual([]);
    expect(again.skipped.sort()).toEqual(['one-1', 'one-2', 'three-1', 'two-1', 'two-2']);
  });

  it('label the whole picture if requested', async () => {
    await clean();
    ({ project, clean } = await makeProject(yaml('{ nut: [nut], screw: [screw] }')));
    const args = [coco, '--pictures', pictures, '--boxes', 'picture'];
    expect((await load(...args)).json).toMatchObject({ error: { code: 'AIOT_LABEL_UNKNOWN' } });
    const { json } = await load(...args, '--known-only');
    expect(json).toMatchObject({ unused: { unlabeled: 1, unknown: 1 } });
    const { recordings } = await openDataset(project);
    expect(recordings.map(({ id, label }) => [id, label])).toEqual([
      ['one', 'nut'],
      ['three', 'screw'],
      ['two', 'nut'],
    ]);
  });

  it('cannot give one picture two labels', async () => {
    const { json } = await load(coco, '--pictures', pictures, '--boxes', 'picture');
    expect(json).toMatchObject({ error: { code: 'AIOT_LABELS_SEVERAL' } });
    expect(JSON.stringify(json)).toContain('expected boxes of one label, got bolt, nut');
  });

  it('may contain boxes of several objects, which are not imported', async () => {
    const file = await changed(({ annotations }) => {
      annotations![0]!.iscrowd = 1;
    });
    expect((await load(file)).json).toMatchObject({ unused: { crowds: 1 } });
    expect((await openDataset(project)).recordings.map(({ id }) => id)).not.toContain('one-2');
  });

  it('are found in the folders of VOCdevkit', async () => {
    const root = join(project.dir, 'VOC2012');
    await cp(join(fixtures, 'voc'), root, { recursive: true });
    await cp(pictures, join(root, 'JPEGImages'), { recursive: true });
    expect((await load(root)).json).toMatchObject({ imported: { length: 5 } });
  });
});

describe('invalid annotations', () => {
  type Change = Parameters<typeof changed>[0];
  const cases: [string, string, string, Change][] = [
    ['a missing member', 'AIOT_FILE_MALFORMED', 'annotations.0.bbox', (v) => delete v.annotations![0]!.bbox],
    [
      'an unknown category',
      'AIOT_FILE_MALFORMED',
      'annotation 1: expected category_id to be the id of one of the categories, got 9',
      (v) => {
        v.annotations![0]!.category_id = 9;
      },
    ],
    [
      'an unknown picture',
      'AIOT_FILE_MALFORMED',
      'expected image_id to be the id of one of the images, got 77',
      (v) => {
        v.annotations![1]!.image_id = 77;
      },
    ],
    [
      'an id used twice',
      'AIOT_FILE_MALFORMED',
      'two pictures have the id 2',
      (v) => {
        v.images![0]!.id = 2;
      },
    ],
    [
      'a picture that does not exist',
      'AIOT_FILE_NOT_FOUND',
      'the picture gone.png is not in',
      (v) => {
        v.images![0]!.file_name = 'gone.png';
      },
    ],
    [
      'a picture outside of the folder',
      'AIOT_FILE_MALFORMED',
      'expected the name of a picture within its folder',
      (v) => {
        v.images![0]!.file_name = '../images/one.png';
      },
    ],
    [
      'a box outside of the picture',
      'AIOT_FILE_MALFORMED',
      'expected a box within 100 × 80 pixels, got 5 × 5 at 100, 0',
      (v) => {
        v.annotations![0]!.bbox = [100, 0, 5, 5];
      },
    ],
    [
      'a label that the project does not have',
      'AIOT_LABEL_UNKNOWN',
      'got "cat"',
      (v) => {
        v.categories![0]!.name = 'cat';
      },
    ],
    [
      'the size of another picture',
      'AIOT_FILE_MALFORMED',
      'expected 99 × 80 pixels according to the annotations, got 100 × 80',
      (v) => {
        v.images![0]!.width = 99;
      },
    ],
  ];
  it.each(cases)('are rejected before anything is written: %s', async (_, wanted, text, change) => {
    const { json } = await load(await changed(change));
    expect(json).toMatchObject({ error: { code: wanted } });
    expect(JSON.stringify(json)).toContain(text.replaceAll('"', '\\"'));
    await expect(openDataset(project)).rejects.toMatchObject({ code: 'AIOT_DATA_EMPTY' });
  });

  it('name the cause if EXIF data rotates the picture', async () => {
    const file = await changed(() => {});
    const picture = join(project.dir, 'own', 'images', 'one.png');
    const rotated = await sharp(await readFile(picture))
      .withMetadata({ orientation: 6 })
      .jpeg()
      .toBuffer();
    await writeFile(picture, rotated);
    const { json } = await load(file);
    expect(JSON.stringify(json)).toContain('rotated by its EXIF data');
  });

  it.each([
    ['<annotation><filename>one.png</filename>', 'line 1: <annotation> is not closed'],
    ['<a></a>', 'expected <annotation>, got <a>'],
    ['<annotation/>', 'expected <filename> to contain text'],
    [
      '<annotation><filename>one.png</filename><object><name>nut</name></object></annotation>',
      'expected <bndbox>',
    ],
    [
      '<annotation><filename>one.png</filename><object><name>nut</name><bndbox><xmin>a</xmin></bndbox></object></annotation>',
      '<xmin>: expected a number, got "a"',
    ],
  ])('are rejected with their location: %s', async (text, reason) => {
    await mkdir(join(project.dir, 'own'));
    const file = join(project.dir, 'own', 'one.xml');
    await writeFile(file, text);
    const { json } = await load(file, '--pictures', pictures);
    expect(json).toMatchObject({ error: { code: 'AIOT_FILE_MALFORMED' } });
    expect(JSON.stringify(json)).toContain(reason.replaceAll('"', '\\"'));
  });

  it('require matching flags', async () => {
    const { json } = await load(pictures, '--boxes', 'crop');
    expect(json).toMatchObject({ error: { code: 'AIOT_USAGE' } });
    await rm(join(project.dir, 'data'), { recursive: true, force: true });
  });
});

describe('the crop of a box', () => {
  const picture = { width: 100, height: 80, data: new Uint8Array(0) };
  const square = { width: 20, height: 20, fit: 'crop', channels: 1 } as const;
  it.each([
    [
      { x: 40, y: 30, width: 20, height: 10 },
      { x: 38, y: 23, width: 24, height: 24 },
    ],
    [
      { x: 0, y: 70, width: 20, height: 10 },
      { x: 0, y: 56, width: 24, height: 24 },
    ],
    [
      { x: 0, y: 0, width: 100, height: 40 },
      { x: 0, y: 0, width: 100, height: 80 },
    ],
  ])('has a margin and the proportions of the model within the picture: %o', (box, expected) => {
    expect(aroundBox(box, picture, square)).toEqual(expected);
  });
});

describe('XML', () => {
  it('is read with entities, sections, comments and attributes', () => {
    const text = `<?xml version="1.0"?>\n<!-- a --><a x="1" y='>2'><b>1 &lt; 2 &#x41;&#66;</b><c/><d><![CDATA[<e>]]></d></a>\n`;
    expect(readXml(text, 'f')).toEqual({
      ...{ name: 'a', text: '' },
      children: [
        { name: 'b', text: '1 < 2 AB', children: [] },
        { name: 'c', text: '', children: [] },
        { name: 'd', text: '<e>', children: [] },
      ],
    });
  });

  it.each([
    ['', 'expected an element'],
    ['text', 'expected an element, got text'],
    ['<a></b>', 'expected </a>, got </b>'],
    ['<a></a></a>', 'expected an element, got </a>'],
    ['<a></a><b></b>', 'expected a single element'],
    ['<a', 'a tag is not closed'],
    ['<a>&x;</a>', 'unknown entity &x;'],
    ['<a>&#0;</a>', 'unknown entity &#0;'],
    ['<a>\n<1></1></a>', 'line 2: expected a tag'],
    ['<!DOCTYPE a [<!ENTITY x SYSTEM "/etc/passwd">]><a>&x;</a>', 'document types are not supported'],
    [`${'<a>'.repeat(70)}${'</a>'.repeat(70)}`, 'nested deeper'],
  ])('is rejected with the line and the reason: %s', (text, reason) => {
    expect(() => readXml(text, 'file.xml')).toThrow(reason);
  });
});

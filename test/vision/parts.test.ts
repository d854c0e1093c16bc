import { inflateSync } from 'node:zlib';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import {
  anchorCentres,
  decodeBoxes,
  type Face,
  faceModels,
  mergeBoxes,
  overlap,
  regionsOf,
} from '../../src/lib/vision/detector.js';
import { cropGray, cropRegion, shrinkGray } from '../../src/lib/vision/faces.js';
import { pictureFacts } from '../../src/lib/vision/facts.js';
import { decodePicture, grayPng, letterbox, type Picture, rawPicture } from '../../src/lib/vision/picture.js';
import { fc, runs } from '../support/property.js';

const flat = (width: number, height: number, color: [number, number, number]): Picture => ({
  width,
  height,
  data: Uint8Array.from({ length: width * height * 3 }, (_, i) => color[i % 3]!),
});
const face = (x: number, y: number, size: number, score: number): Face => ({
  x,
  y,
  width: size,
  height: size,
  score,
  points: Array.from({ length: 6 }, () => [x, y] as const),
});

describe('a letterbox', () => {
  it('keeps proportions, centers the picture, and fills the rest with black', () => {
    const into = new Float32Array(8 * 8 * 3);
    const box = letterbox(flat(16, 8, [255, 127.5, 0]), { x: 0, y: 0, width: 16, height: 8 }, 8, into);
    expect(box).toEqual({ size: 8, scale: 0.5, padX: 0, padY: 2 });
    expect([...into.subarray(0, 3)]).toEqual([-1, -1, -1]);
    const middle = into.subarray((4 * 8 + 4) * 3, (4 * 8 + 4) * 3 + 3);
    expect(middle[0]).toBeCloseTo(1, 6);
    expect(middle[1]).toBeCloseTo(-0.0039, 2);
    expect(middle[2]).toBeCloseTo(-1, 6);
    expect([...into.subarray(7 * 8 * 3, 7 * 8 * 3 + 3)]).toEqual([-1, -1, -1]);
  });

  it('samples the pixel at i / scale, without a half-pixel offset', () => {
    const ramp: Picture = {
      width: 8,
      height: 8,
      data: Uint8Array.from({ length: 192 }, (_, i) => (Math.floor(i / 3) % 8) * 10),
    };
    const into = new Float32Array(4 * 4 * 3);
    letterbox(ramp, { x: 0, y: 0, width: 8, height: 8 }, 4, into);
    const row = [0, 1, 2, 3].map((x) => Math.round((into[x * 3]! + 1) * 127.5));
    expect(row).toEqual([0, 20, 40, 60]);
  });

  it('reads only the given region', () => {
    const picture = flat(4, 4, [0, 0, 0]);
    picture.data.fill(255, (2 * 4 + 2) * 3);
    const into = new Float32Array(2 * 2 * 3);
    letterbox(picture, { x: 2, y: 3, width: 2, height: 1 }, 2, into);
    expect(into[0]).toBe(1);
  });
});

describe('face boxes', () => {
  it.each([
    ['sparse', 2304],
    ['full', 2304],
    ['short', 896],
  ] as const)('have the anchors of the %s model', (name, count) => {
    expect(anchorCentres(faceModels[name]).length).toBe(count * 2);
  });

  it('are decoded from the anchor’s center and offsets in pixels', () => {
    const row = Float32Array.from([10, 20, 50, 100, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, -5]);
    const options = { size: 100, minScore: 0.5 };
    const [found] = decodeBoxes(row, Float32Array.of(2), Float32Array.of(0.5, 0.5), options);
    expect(found).toMatchObject({ width: 0.5, height: 1 });
    expect([found!.x, found!.y]).toEqual([expect.closeTo(0.35, 6), expect.closeTo(0.2, 6)]);
    expect(found!.score).toBeCloseTo(0.8808, 4);
    expect(found!.points[1]).toEqual([expect.closeTo(0.55, 6), 0.5]);
    expect(found!.points[5]).toEqual([0.5, expect.closeTo(0.45, 6)]);
  });

  it.each([
    ['a score below the minimum', [0, 0, 9, 9], -0.01],
    ['zero width', [0, 0, 0, 9], 9],
    ['a negative height', [0, 0, 9, -9], 9],
    ['a size that is not a number', [0, 0, Number.NaN, 9], 9],
    ['a score that is not a number', [0, 0, 9, 9], Number.NaN],
  ])('are discarded with %s', (_, [x, y, w, h], logit) => {
    const row = Float32Array.from([x!, y!, w!, h!, ...Array(12).fill(0)]);
    expect(
      decodeBoxes(row, Float32Array.of(logit), Float32Array.of(0, 0), { size: 9, minScore: 0.5 }),
    ).toEqual([]);
  });

  it('are merged for one face, weighted by score', () => {
    const merged = mergeBoxes([face(100, 0, 50, 0.6), face(0, 0, 50, 0.9), face(6, 0, 50, 0.3)]);
    expect(merged.map(({ x, score }) => [Math.round(x * 10) / 10, score])).toEqual([
      [1.5, 0.9],
      [100, 0.6],
    ]);
  });

  it('do not increase in number when merged, and are sorted by score', () => {
    const boxes = fc.array(
      fc.tuple(
        fc.integer({ min: 0, max: 900 }),
        fc.integer({ min: 0, max: 900 }),
        fc.double({ min: 0.1, max: 1, noNaN: true }),
      ),
      { maxLength: 30 },
    );
    fc.assert(
      fc.property(boxes, (list) => {
        const merged = mergeBoxes(list.map(([x, y, score]) => face(x, y, 100, score)));
        expect(merged.length).toBeLessThanOrEqual(list.length);
        expect(merged.length > 0).toBe(list.length > 0);
        const scores = merged.map(({ score }) => score);
        expect(scores).toEqual([...scores].sort((a, b) => b - a));
      }),
    );
  });

  it('measure overlap as intersection over union', () => {
    expect(overlap(face(0, 0, 10, 1), face(0, 0, 10, 1))).toBe(1);
    expect(overlap(face(0, 0, 10, 1), face(5, 0, 10, 1))).toBeCloseTo(1 / 3, 9);
    expect(overlap(face(0, 0, 10, 1), face(10, 0, 10, 1))).toBe(0);
  });
});

describe('zoom regions', () => {
  it('are the whole picture without a zoom', () => {
    expect(regionsOf(flat(640, 480, [0, 0, 0]), 1)).toEqual([{ x: 0, y: 0, width: 640, height: 480 }]);
  });

  it.each([
    [640, 480, 2],
    [480, 640, 2],
    [1920, 1080, 3],
    [100, 1000, 4],
    [333, 331, 1.5],
  ])('cover %i×%i at zoom %f and stay inside', (width, height, zoom) => {
    const squares = regionsOf({ width, height, data: new Uint8Array() }, zoom).slice(1);
    const inside = (x: number, y: number) =>
      squares.some((r) => x >= r.x && y >= r.y && x < r.x + r.width && y < r.y + r.height);
    for (let x = 0; x < width; x += 7) for (let y = 0; y < height; y += 7) expect(inside(x, y)).toBe(true);
    for (const r of squares) {
      expect(r.x + r.width).toBeLessThanOrEqual(width);
      expect(r.y + r.height).toBeLessThanOrEqual(height);
      expect(Math.max(r.width, r.height)).toBeLessThanOrEqual(Math.ceil(Math.max(width, height) / zoom));
    }
  });
});

describe('a crop', () => {
  const picture = flat(20, 10, [10, 20, 30]);
  it.each([
    ['inside', { x: 2.4, y: 1.6, width: 5, height: 5 }, 0, { x: 2, y: 2, width: 5, height: 5 }],
    ['beyond the left edge', { x: -5, y: 0, width: 8, height: 4 }, 0, { x: 0, y: 0, width: 3, height: 4 }],
    ['with a margin', { x: 4, y: 4, width: 4, height: 4 }, 0.5, { x: 2, y: 2, width: 8, height: 8 }],
    [
      'with a margin beyond all edges',
      { x: 0, y: 0, width: 20, height: 10 },
      1,
      { x: 0, y: 0, width: 20, height: 10 },
    ],
    ['none if outside', { x: 21, y: 0, width: 5, height: 5 }, 0, undefined],
  ])('is limited to whole pixels of the picture: %s', (_, box, margin, want) => {
    expect(cropRegion(picture, box, margin)).toEqual(want);
  });

  it('is converted to grayscale as in libvips and OpenCV', async () => {
    const color = { width: 2, height: 1, data: Uint8Array.from([255, 0, 0, 12, 200, 99]) };
    const gray = cropGray(color, { x: 0, y: 0, width: 2, height: 1 });
    expect([...gray.data]).toEqual([76, Math.round(12 * 0.299 + 200 * 0.587 + 99 * 0.114)]);
    const white = cropGray(flat(1, 1, [255, 255, 255]), { x: 0, y: 0, width: 1, height: 1 });
    expect(white.data[0]).toBe(255);
  });

  it('is shrunk by averaging and never enlarged', () => {
    const gray = { width: 4, height: 2, data: Uint8Array.from([0, 100, 50, 50, 100, 200, 50, 50]) };
    expect(shrinkGray(gray, 2)).toEqual({ width: 2, height: 1, data: Uint8Array.from([100, 50]) });
    expect(shrinkGray(gray, 8)).toBe(gray);
  });
});

describe('a grayscale PNG', () => {
  it('is read back byte for byte by libvips, whatever its size', async () => {
    const sizes = fc.tuple(
      fc.integer({ min: 1, max: 40 }),
      fc.integer({ min: 1, max: 40 }),
      fc.infiniteStream(fc.integer({ min: 0, max: 255 })),
    );
    await fc.assert(
      fc.asyncProperty(sizes, async ([width, height, values]) => {
        const data = Uint8Array.from({ length: width * height }, () => values.next().value as number);
        const { data: back, info } = await sharp(grayPng({ width, height, data }))
          .toColourspace('b-w')
          .raw()
          .toBuffer({ resolveWithObject: true });
        expect([info.width, info.height, info.channels]).toEqual([width, height, 1]);
        expect([...back]).toEqual([...data]);
      }),
      { numRuns: runs(25) },
    );
  });

  it('declares 8-bit grayscale in its header', () => {
    const png = grayPng({ width: 3, height: 1, data: Uint8Array.of(1, 2, 3) });
    expect([...png.subarray(24, 29)]).toEqual([8, 0, 0, 0, 0]);
    expect([...inflateSync(png.subarray(41, 41 + png.readUInt32BE(33)))]).toEqual([2, 1, 2, 3]);
  });
});

describe('picture detection', () => {
  const made = sharp({ create: { width: 33, height: 21, channels: 3, background: '#345' } });
  it.each(['jpeg', 'png', 'gif', 'webp'] as const)('recognizes %s by its header', async (format) => {
    const bytes = await made.clone().toFormat(format).toBuffer();
    expect(pictureFacts(bytes)).toEqual({ format, width: 33, height: 21 });
    // A truncated picture may be recognized or not, but never with a wrong size.
    for (let end = 0; end < Math.min(bytes.length, 200); end++)
      expect([undefined, 33]).toContain(pictureFacts(bytes.subarray(0, end))?.width);
  });

  it('recognizes lossless and transparent WebP, progressive JPEG and BMP', async () => {
    const lossless = await made.clone().webp({ lossless: true }).toBuffer();
    const alpha = await made.clone().ensureAlpha(0.5).webp().toBuffer();
    const progressive = await made
      .clone()
      .jpeg({ progressive: true })
      .withExif({ IFD0: { Make: 'x' } })
      .toBuffer();
    const bmp = Buffer.alloc(54);
    bmp.write('BM');
    bmp.writeUInt32LE(40, 14);
    bmp.writeInt32LE(33, 18);
    bmp.writeInt32LE(-21, 22);
    for (const bytes of [lossless, alpha, progressive, bmp])
      expect(pictureFacts(bytes)).toMatchObject({ width: 33, height: 21 });
  });

  it('does not recognize noise as a picture', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => pictureFacts(bytes) === undefined));
  });
});

describe('picture decoding', () => {
  it('applies EXIF rotation, and puts transparent parts on black', async () => {
    const turned = await sharp({ create: { width: 4, height: 2, channels: 3, background: '#f00' } })
      .jpeg()
      .withMetadata({ orientation: 6 })
      .toBuffer();
    expect(await decodePicture(turned)).toMatchObject({ width: 2, height: 4 });
    const clear = await sharp({ create: { width: 2, height: 1, channels: 4, background: '#ffffff00' } })
      .png()
      .toBuffer();
    expect([...(await decodePicture(clear)).data]).toEqual([0, 0, 0, 0, 0, 0]);
  });

  it('expands grayscale to three channels', async () => {
    const gray = grayPng({ width: 1, height: 1, data: Uint8Array.of(7) });
    expect([...(await decodePicture(gray)).data]).toEqual([7, 7, 7]);
  });

  it.each([
    ['text', Buffer.from('no picture')],
    ['an empty file', Buffer.alloc(0)],
    ['a truncated PNG', grayPng({ width: 9, height: 9, data: new Uint8Array(81) }).subarray(0, 40)],
  ])('rejects %s', async (_, bytes) => {
    await expect(decodePicture(bytes, 'x.png')).rejects.toMatchObject({
      code: 'AIOT_FILE_MALFORMED',
      subject: 'picture',
      message: expect.stringContaining('x.png'),
    });
  });

  it.each([
    [2, 2, 11],
    [0, 2, 0],
    [Number.NaN, 2, 0],
    [-1, -4, 12],
  ])('rejects raw pixels of %f×%f in %i bytes', (width, height, length) => {
    expect(() => rawPicture(width, height, new Uint8Array(length))).toThrow('expected');
  });
});

import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { fitPicture } from '../../src/lib/vision/fit.js';
import { decodePicture, encodePng, type Picture } from '../../src/lib/vision/picture.js';
import { fc, runs } from '../support/property.js';

/** A gray picture of these values. */
const gray = (width: number, values: number[]): Picture => ({
  width,
  height: values.length / width,
  data: Uint8Array.from(values.flatMap((value) => [value, value, value])),
});

describe('fitting a picture to a model’s size', () => {
  it('keeps the pixels of a picture of that size', () => {
    const values = Array.from({ length: 12 }, (_, i) => 21 * i);
    for (const fit of ['crop', 'stretch', 'pad'] as const)
      expect([...fitPicture(gray(4, values), { width: 4, height: 3, fit }, 1)[0]!]).toEqual(values);
  });

  it('converts red, green and blue to gray by ITU-R 601, or keeps them as channels', () => {
    const picture = { width: 3, height: 1, data: Uint8Array.of(255, 0, 0, 0, 255, 0, 0, 0, 255) };
    const size = { width: 3, height: 1, fit: 'crop' } as const;
    expect([...fitPicture(picture, size, 1)[0]!]).toEqual([76, 150, 29]);
    expect(fitPicture(picture, size, 3).map((channel) => [...channel])).toEqual([
      [255, 0, 0],
      [0, 255, 0],
      [0, 0, 255],
    ]);
  });

  it('crops the center, stretches, or adds black bars', () => {
    const wide = gray(4, [10, 20, 30, 40, 10, 20, 30, 40]);
    const fitted = (fit: 'crop' | 'stretch' | 'pad') => [
      ...fitPicture(wide, { width: 2, height: 2, fit }, 1)[0]!,
    ];
    expect(fitted('crop')).toEqual([20, 30, 20, 30]);
    expect(fitted('stretch')).toEqual([17, 33, 17, 33]);
    expect(fitted('pad')).toEqual([17, 33, 0, 0]);
  });

  it('keeps the brightness of a flat picture at every size', () => {
    fc.assert(
      fc.property(
        fc.nat(255),
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 1, max: 40 }),
        (value, width, height, side) => {
          const flat = gray(width, new Array<number>(width * height).fill(value));
          for (const fit of ['crop', 'stretch'] as const) {
            const [out] = fitPicture(flat, { width: side, height: 9, fit }, 1);
            if (out!.some((pixel) => pixel !== value)) return false;
          }
          return true;
        },
      ),
      { numRuns: runs(100) },
    );
  });
});

describe('a PNG file in color', () => {
  it('is read by sharp, pixel by pixel', async () => {
    const data = Uint8Array.from({ length: 5 * 4 * 3 }, (_, i) => (i * 37) % 256);
    const png = encodePng({ width: 5, height: 4, data }, 3);
    const read = await sharp(png).raw().toBuffer({ resolveWithObject: true });
    expect(read.info).toMatchObject({ width: 5, height: 4, channels: 3 });
    expect(Uint8Array.from(read.data)).toEqual(data);
    expect((await decodePicture(png)).data.length).toBe(60);
  });
});

import type { ProjectConfig } from '../../../core/project-schema.js';
import type { Standardization } from '../../../signal/spec.js';
import { type Augment, addNoise, type Move, noiseTable } from './augment.js';

type Settings = Omit<ProjectConfig['model']['train']['augment'], 'noise'> & { noise: number };

/** Layout of one example: rows from top to bottom, with each pixel's channels next to each other. */
interface Layout {
  width: number;
  height: number;
  channels: number;
}

/**
 * Random changes of pictures, different in each epoch: crop, rotation and mirroring as one resampling, then contrast (`gain`), brightness,
 * and noise. Positions beyond an edge take the pixel at the edge. Values are limited to 0…255, as in a camera.
 */
export function pictureAugmenter(
  settings: Settings,
  layout: Layout,
  { mean, deviation }: Standardization,
): Augment | null {
  const { rotation, flip, crop, gain, brightness, noise } = settings;
  const moves = rotation > 0 || flip !== 'none' || crop > 0;
  const lights = gain > 0 || brightness > 0;
  if (!moves && !lights && noise === 0) return null;
  const size = layout.width * layout.height * layout.channels;
  const work = new Float32Array(size);
  const table = noise > 0 ? noiseTable() : null;
  return (inputs, rows, random, onMove) => {
    const between = (most: number) => most * (2 * random() - 1);
    for (let row = 0; row < rows; row++) {
      const own = inputs.subarray(row * size, (row + 1) * size);
      if (moves) {
        const mirror = (way: 'horizontal' | 'vertical') =>
          (flip === way || flip === 'both') && random() < 0.5 ? -1 : 1;
        const scale = 1 - crop * random();
        const view: View = {
          angle: (between(rotation) * Math.PI) / 180,
          scale,
          mirrorX: mirror('horizontal'),
          mirrorY: mirror('vertical'),
          // Places the crop at random within the picture.
          x: between(((1 - scale) * layout.width) / 2),
          y: between(((1 - scale) * layout.height) / 2),
        };
        resample(own, work, layout, view);
        own.set(work);
        onMove?.(row, moveOf(view, layout));
      }
      if (lights) relight(own, 1 + between(gain), 255 * between(brightness), mean, deviation);
      if (table) addNoise(own, noise, table, random);
    }
  };
}

/** The part of a picture that is enlarged to the full size. It is rotated about its center, which is moved by (x, y) pixels. */
interface View {
  /** Radians. */
  angle: number;
  /** Side of the part, as a share of the picture's side. */
  scale: number;
  /** −1 = mirrored. */
  mirrorX: number;
  mirrorY: number;
  x: number;
  y: number;
}

/** The inverse of `resample`: the new position of a point of the original picture. A pixel's center is half a pixel from its edges. */
function moveOf({ angle, scale, mirrorX, mirrorY, x, y }: View, { width, height }: Layout): Move {
  const [cos, sin] = [Math.cos(angle) / scale, Math.sin(angle) / scale];
  return (atX, atY) => {
    const [u, v] = [atX - width / 2 - x, atY - height / 2 - y];
    return [width / 2 + mirrorX * (cos * u + sin * v), height / 2 + mirrorY * (cos * v - sin * u)];
  };
}

/** Bilinear interpolation between pixel centers. The operation is linear, so it yields the same result before and after standardization. */
function resample(
  from: Float32Array,
  to: Float32Array,
  { width, height, channels }: Layout,
  view: View,
): void {
  const { angle, scale, mirrorX, mirrorY } = view;
  const [cos, sin] = [scale * Math.cos(angle), scale * Math.sin(angle)];
  const [centerX, centerY] = [(width - 1) / 2, (height - 1) / 2];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [dx, dy] = [mirrorX * (x - centerX), mirrorY * (y - centerY)];
      const atX = Math.min(width - 1, Math.max(0, centerX + view.x + cos * dx - sin * dy));
      const atY = Math.min(height - 1, Math.max(0, centerY + view.y + sin * dx + cos * dy));
      const [left, top] = [Math.floor(atX), Math.floor(atY)];
      const [right, bottom] = [Math.min(width - 1, left + 1), Math.min(height - 1, top + 1)];
      const [along, down] = [atX - left, atY - top];
      for (let c = 0; c < channels; c++) {
        const a = from[(top * width + left) * channels + c]!;
        const b = from[(top * width + right) * channels + c]!;
        const d = from[(bottom * width + left) * channels + c]!;
        const e = from[(bottom * width + right) * channels + c]!;
        const upper = a + (b - a) * along;
        to[(y * width + x) * channels + c] = upper + (d + (e - d) * along - upper) * down;
      }
    }
  }
}

/** pixel · factor + offset, in the pixels' own range. */
function relight(
  own: Float32Array,
  factor: number,
  offset: number,
  mean: readonly number[],
  deviation: readonly number[],
): void {
  for (let i = 0; i < own.length; i++) {
    const pixel = (own[i]! * deviation[i]! + mean[i]!) * factor + offset;
    own[i] = (Math.min(255, Math.max(0, pixel)) - mean[i]!) / deviation[i]!;
  }
}

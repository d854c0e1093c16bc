import { roundHalfEven } from '../core/numbers.js';
import type { Picture, Region } from './picture.js';

/** Size that a model expects, in pixels, and how pictures with other proportions are fitted into it. */
interface Target {
  width: number;
  height: number;
  /** Crop the center, stretch, or add black bars. */
  fit: 'crop' | 'stretch' | 'pad';
}

/** One channel of a picture: `width · height` values 0…255. */
interface Plane {
  width: number;
  height: number;
  data: Uint8Array;
}

/**
 * A picture as a model sees it: one column of `width · height` pixels per channel. The arithmetic matches Pillow's bit for bit: ITU-R 601
 * luma, then `Image.resize` with BILINEAR and a fractional box, which averages over all pixels when shrinking; `pad` works like
 * ImageOps.pad. Pictures of the right size are not changed.
 * @param channels 1 = shades of gray, 3 = red, green and blue
 */
export function fitPicture(picture: Picture, target: Target, channels: 1 | 3): Uint8Array[] {
  const planes = channels === 1 ? [luma(picture)] : [0, 1, 2].map((channel) => planeOf(picture, channel));
  return planes.map((plane) => fitPlane(plane, target));
}

/**
 * A region of a picture as it is in the fitted picture, limited to that picture. Null if the region's center is cut off.
 * @param region pixels, which may be fractional
 */
export function fitRegion(
  { x, y, width, height }: Region,
  picture: { width: number; height: number },
  target: Target,
): Region | null {
  const { left, top, right, bottom, inner, at } = placeOf(picture, target);
  const [scaleX, scaleY] = [inner.width / (right - left), inner.height / (bottom - top)];
  const from = [(x - left) * scaleX + at.left, (y - top) * scaleY + at.top] as const;
  const to = [from[0] + width * scaleX, from[1] + height * scaleY] as const;
  const [centerX, centerY] = [(from[0] + to[0]) / 2, (from[1] + to[1]) / 2];
  if (centerX < 0 || centerY < 0 || centerX >= target.width || centerY >= target.height) return null;
  const [minX, minY] = [Math.max(0, from[0]), Math.max(0, from[1])];
  const [maxX, maxY] = [Math.min(target.width, to[0]), Math.min(target.height, to[1])];
  return { x: minX, y: minY, width: maxX - minX, height: maxY - minY };
}

/** The part of a picture that is used, and its size and position in the fitted picture. */
function placeOf(picture: { width: number; height: number }, target: Target) {
  const { width, height, fit } = target;
  const box = fit === 'crop' ? centralBox(picture, width / height) : wholeBox(picture);
  const [left, top, right, bottom] = box;
  const inner = { width, height };
  if (fit === 'pad') {
    const ratio = picture.width / picture.height;
    if (ratio > width / height)
      inner.height = Math.max(1, roundHalfEven((picture.height / picture.width) * width));
    else if (ratio < width / height)
      inner.width = Math.max(1, roundHalfEven((picture.width / picture.height) * height));
  }
  const at = {
    left: roundHalfEven((width - inner.width) * 0.5),
    top: roundHalfEven((height - inner.height) * 0.5),
  };
  return { left, top, right, bottom, inner, at };
}

function fitPlane(plane: Plane, target: Target): Uint8Array {
  const { width, height } = target;
  const { left, top, right, bottom, inner, at } = placeOf(plane, target);
  const { data } = resize(plane, [left, top, right, bottom], inner.width, inner.height);
  if (inner.width === width && inner.height === height) return data;
  const out = new Uint8Array(width * height);
  for (let y = 0; y < inner.height; y++)
    out.set(data.subarray(y * inner.width, (y + 1) * inner.width), (at.top + y) * width + at.left);
  return out;
}

/** Part of a picture. @param region whole pixels within the picture */
export function cropPicture({ width, data }: Picture, region: Region): Picture {
  const row = region.width * 3;
  const out = new Uint8Array(row * region.height);
  for (let y = 0; y < region.height; y++) {
    const from = ((region.y + y) * width + region.x) * 3;
    out.set(data.subarray(from, from + row), y * row);
  }
  return { width: region.width, height: region.height, data: out };
}

/** Pillow's conversion to L: 16-bit fixed point. */
function luma({ width, height, data }: Picture): Plane {
  const out = new Uint8Array(width * height);
  for (let i = 0, at = 0; i < out.length; i++, at += 3)
    out[i] = (data[at]! * 19_595 + data[at + 1]! * 38_470 + data[at + 2]! * 7471 + 0x8000) >> 16;
  return { width, height, data: out };
}

function planeOf({ width, height, data }: Picture, channel: number): Plane {
  const out = new Uint8Array(width * height);
  for (let i = 0; i < out.length; i++) out[i] = data[i * 3 + channel]!;
  return { width, height, data: out };
}

/** Edges of the region that is used, in possibly fractional pixels: left, top, right, bottom. */
type Box = [number, number, number, number];

function wholeBox({ width, height }: { width: number; height: number }): Box {
  return [0, 0, width, height];
}

/** The largest central region with these proportions. */
function centralBox({ width, height }: { width: number; height: number }, ratio: number): Box {
  const own = width / height;
  if (own === ratio) return [0, 0, width, height];
  const [w, h] = own > ratio ? [ratio * height, height] : [width, width / ratio];
  const [left, top] = [(width - w) * 0.5, (height - h) * 0.5];
  // Pillow passes the box in single precision.
  return [left, top, left + w, top + h].map(Math.fround) as Box;
}

/** Resizes rows first, then columns; each step rounds to 8 bits. */
function resize(plane: Plane, [left, top, right, bottom]: Box, width: number, height: number): Plane {
  const across = width !== plane.width || left !== 0 || right !== plane.width;
  const narrow = across ? resizeRows(plane, left, right, width) : plane;
  const down = height !== plane.height || top !== 0 || bottom !== plane.height;
  return down ? turned(resizeRows(turned(narrow), top, bottom, height)) : narrow;
}

/** The value 1 in the weights' fixed-point format (Pillow's PRECISION_BITS). */
const one = 1 << 22;

/** Makes each pixel the weighted mean of the pixels under a triangle. Its width is two steps between results, and at least two pixels. */
function resizeRows({ width, height, data }: Plane, from: number, to: number, count: number): Plane {
  const step = Math.fround(to - from) / count;
  const support = Math.max(step, 1);
  const out = new Uint8Array(count * height);
  for (let x = 0; x < count; x++) {
    const center = from + (x + 0.5) * step;
    const first = Math.max(0, Math.trunc(center - support + 0.5));
    const end = Math.min(width, Math.trunc(center + support + 0.5));
    const weights: number[] = [];
    let sum = 0;
    for (let i = first; i < end; i++) {
      const weight = Math.max(0, 1 - Math.abs((i - center + 0.5) * (1 / support)));
      weights.push(weight);
      sum += weight;
    }
    const whole = weights.map((weight) => Math.trunc((sum === 0 ? weight : weight / sum) * one + 0.5));
    for (let y = 0; y < height; y++) {
      let total = one / 2;
      const row = y * width + first;
      for (let i = 0; i < whole.length; i++) total += data[row + i]! * whole[i]!;
      out[y * count + x] = Math.min(255, Math.floor(total / one));
    }
  }
  return { width: count, height, data: out };
}

function turned({ width, height, data }: Plane): Plane {
  const out = new Uint8Array(data.length);
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) out[x * height + y] = data[y * width + x]!;
  return { width: height, height: width, data: out };
}

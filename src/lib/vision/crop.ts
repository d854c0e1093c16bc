import type { Region } from './letterbox.js';
import type { GrayPicture, Picture } from './picture.js';

/**
 * The whole pixels of a box, enlarged by `margin` of its size on each side, as far as they are in the picture.
 * @returns undefined when nothing of it is
 */
export function cropRegion(picture: Picture, box: Region, margin = 0): Region | undefined {
  const [alongX, alongY] = [box.width * margin, box.height * margin];
  const left = Math.max(0, Math.round(box.x - alongX));
  const top = Math.max(0, Math.round(box.y - alongY));
  const right = Math.min(picture.width, Math.round(box.x + box.width + alongX));
  const bottom = Math.min(picture.height, Math.round(box.y + box.height + alongY));
  if (right <= left || bottom <= top) return undefined;
  return { x: left, y: top, width: right - left, height: bottom - top };
}

/** A part of a picture in gray: BT.601's luma, `0.299 R + 0.587 G + 0.114 B`, as OpenCV and libjpeg have it. */
export function cropGray({ data, width }: Picture, region: Region): GrayPicture {
  const gray = new Uint8Array(region.width * region.height);
  let to = 0;
  for (let row = 0; row < region.height; row++) {
    let from = ((region.y + row) * width + region.x) * 3;
    for (let column = 0; column < region.width; column++, from += 3)
      // Weights of 2^16 that add up to it, and half a step for rounding.
      gray[to++] = (data[from]! * 19_595 + data[from + 1]! * 38_470 + data[from + 2]! * 7_471 + 32_768) >> 16;
  }
  return { width: region.width, height: region.height, data: gray };
}

/**
 * Makes a gray picture smaller, so that its longer side is at most `longest`, each pixel the mean of those it stands for. A
 * smaller one stays as it is.
 */
export function shrinkGray(picture: GrayPicture, longest: number): GrayPicture {
  const ratio = Math.max(picture.width, picture.height) / longest;
  if (ratio <= 1) return picture;
  const width = Math.max(1, Math.round(picture.width / ratio));
  const height = Math.max(1, Math.round(picture.height / ratio));
  const data = new Uint8Array(width * height);
  for (let y = 0; y < height; y++) {
    const [top, bottom] = span(y, height, picture.height);
    for (let x = 0; x < width; x++) {
      const [left, right] = span(x, width, picture.width);
      let sum = 0;
      for (let row = top; row < bottom; row++)
        for (let column = left; column < right; column++) sum += picture.data[row * picture.width + column]!;
      data[y * width + x] = Math.round(sum / ((bottom - top) * (right - left)));
    }
  }
  return { width, height, data };
}

function span(index: number, count: number, length: number): [from: number, to: number] {
  const from = Math.floor((index * length) / count);
  return [from, Math.max(from + 1, Math.floor(((index + 1) * length) / count))];
}

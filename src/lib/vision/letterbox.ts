import type { Picture } from './picture.js';

/** Where a picture lies in the square that a network sees: `square = picture · scale + pad`, in pixels. */
export interface Letterbox {
  /** Of the square's side, in pixels. */
  size: number;
  scale: number;
  padX: number;
  padY: number;
}

/** The part of a picture that is looked at. */
export interface Region {
  x: number;
  y: number;
  width: number;
  height: number;
}

/**
 * Fits a region of a picture into the square of side `size`, centred, its proportions kept, black beside it, as values −1…1 in the
 * order row, column, red-green-blue. Bilinear, and without half a pixel's shift: MediaPipe samples at `(i − pad) / scale`, and
 * with the shift of the textbooks its boxes are met to an IoU of 0.85 instead of 0.99.
 * @param into `size · size · 3` values, all of them written
 */
export function letterbox(picture: Picture, region: Region, size: number, into: Float32Array): Letterbox {
  const scale = Math.min(size / region.width, size / region.height);
  const padX = (size - region.width * scale) / 2;
  const padY = (size - region.height * scale) / 2;
  const columns = samples(size, padX, scale, region.x, region.width);
  const rows = samples(size, padY, scale, region.y, region.height);
  const { data, width } = picture;
  into.fill(-1);
  for (let y = rows.first; y < rows.end; y++) {
    const top = rows.low[y]! * width * 3;
    const bottom = rows.high[y]! * width * 3;
    const down = rows.part[y]!;
    let at = (y * size + columns.first) * 3;
    for (let x = columns.first; x < columns.end; x++) {
      const left = columns.low[x]! * 3;
      const right = columns.high[x]! * 3;
      const along = columns.part[x]!;
      for (let channel = 0; channel < 3; channel++) {
        const above = data[top + left + channel]!;
        const below = data[bottom + left + channel]!;
        const upper = above + (data[top + right + channel]! - above) * along;
        const lower = below + (data[bottom + right + channel]! - below) * along;
        into[at++] = (upper + (lower - upper) * down) / 127.5 - 1;
      }
    }
  }
  return { size, scale, padX, padY };
}

/** For each pixel of one axis of the square: the two pixels of the picture that it lies between, and how far along. */
function samples(size: number, pad: number, scale: number, offset: number, length: number) {
  const low = new Int32Array(size);
  const high = new Int32Array(size);
  const part = new Float32Array(size);
  let first = size;
  let end = 0;
  for (let i = 0; i < size; i++) {
    const at = (i - pad) / scale;
    // Half a pixel of tolerance at the edges, for the padding need not be whole.
    if (at < -0.5 || at > length - 0.5) continue;
    const within = Math.min(Math.max(at, 0), length - 1);
    low[i] = offset + Math.floor(within);
    high[i] = offset + Math.min(Math.floor(within) + 1, length - 1);
    part[i] = within - Math.floor(within);
    first = Math.min(first, i);
    end = i + 1;
  }
  return { low, high, part, first, end };
}

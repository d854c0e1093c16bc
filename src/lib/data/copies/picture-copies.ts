import type { Dataset, Recording } from '../types.js';

/** Side of the grid of means that rules out most pairs. */
const grid = 8;

/** Minimum correlation of the grids, and then of the pictures' details. Recompressed or brightened copies exceed both. */
const least = { grid: 0.9, details: 0.9 };

/**
 * Finds pictures that are the same except for brightness, contrast and compression. Compares only details (each position's difference from
 * its surroundings), because pictures of one scene in the same light resemble each other in everything else. Cropped or rotated copies are
 * not found.
 */
export function pictureCopies(dataset: Dataset): { a: string; b: string; share: number }[] {
  const pictures = dataset.recordings.map(({ id, columns, size }) => ({
    id,
    coarse: normalized(meansOf(columns, size!)),
    details: normalized(detailsOf(columns, size!)),
  }));
  const pairs: { a: string; b: string; share: number }[] = [];
  for (let i = 0; i < pictures.length; i++) {
    for (let j = i + 1; j < pictures.length; j++) {
      const [a, b] = [pictures[i]!, pictures[j]!];
      if (product(a.coarse, b.coarse) < least.grid) continue;
      const share = product(a.details, b.details);
      if (share >= least.details) pairs.push({ a: a.id, b: b.id, share: Math.min(1, share) });
    }
  }
  return pairs.sort((p, q) => q.share - p.share);
}

type Size = NonNullable<Recording['size']>;

function meansOf(columns: Float64Array[], { width, height }: Size): Float32Array {
  const out = new Float32Array(columns.length * grid * grid);
  columns.forEach((column, c) => {
    for (let i = 0; i < column.length; i++) {
      const x = Math.floor(((i % width) * grid) / width);
      const y = Math.floor((Math.floor(i / width) * grid) / height);
      out[(c * grid + y) * grid + x]! += column[i]!;
    }
  });
  return out;
}

/**
 * The mean of 3 × 3 pixels, minus the mean of the four such squares at a sixteenth of the picture's side. Averaging is needed, because
 * compression removes fine noise.
 */
function detailsOf(columns: Float64Array[], { width, height }: Size): Float32Array {
  const reach = Math.max(2, Math.round(Math.min(width, height) / 16));
  const out: number[] = [];
  for (const column of columns) {
    const smooth = smoothed(column, width, height);
    for (let y = reach; y < height - reach; y++) {
      for (let x = reach; x < width - reach; x++) {
        const i = y * width + x;
        const [left, right] = [smooth[i - reach]!, smooth[i + reach]!];
        const [above, below] = [smooth[i - reach * width]!, smooth[i + reach * width]!];
        out.push(smooth[i]! - (left + right + above + below) / 4);
      }
    }
  }
  return Float32Array.from(out);
}

/** The mean of the up to 3 × 3 pixels around each one. */
function smoothed(column: Float64Array, width: number, height: number): Float64Array {
  return column.map((_, i) => {
    const [x, y] = [i % width, Math.floor(i / width)];
    let [sum, count] = [0, 0];
    for (let row = Math.max(0, y - 1); row <= Math.min(height - 1, y + 1); row++) {
      for (let at = Math.max(0, x - 1); at <= Math.min(width - 1, x + 1); at++) {
        sum += column[row * width + at]!;
        count++;
      }
    }
    return sum / count;
  });
}

/** Scales to mean 0 and length 1, so that the product of two pictures is their correlation; 0 for a constant picture. */
function normalized(values: Float32Array): Float32Array {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const length = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0));
  return values.map((value) => (length > 0 ? (value - mean) / length : 0));
}

function product(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

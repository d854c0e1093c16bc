import { cellAt, cellSide } from '../../vision/grid.js';

/** An object that a network found in a picture. */
export interface Detection {
  label: string;
  /** The object's center, in pixels from the picture's upper left corner. */
  x: number;
  y: number;
  /** Probability of the object's class in its strongest cell. */
  confidence: number;
}

/** A detection, with the index of its class instead of its name. */
export type Found = Omit<Detection, 'label'> & { class: number };

/** The center of an object in a picture, in pixels, and the index of its class. */
export interface ObjectPoint {
  class: number;
  x: number;
  y: number;
}

/** Layout of a network's output for one picture: [rows × columns × (1 + classes)], the background first. */
export interface ObjectGrid {
  /** Number of rows and columns. */
  grid: [rows: number, columns: number];
  /** Size of the picture, in pixels. */
  picture: { width: number; height: number };
}

/** Maximum number of objects in a picture. Only the strongest are reported. */
export const mostDetections = 32;

/**
 * Objects in a picture, from the class probabilities of each cell, strongest first. A cell counts if the probability of one class reaches
 * the threshold. Such cells form one object if they touch in any of eight directions and descend from the same strongest cell, which
 * determines the object's class. The object's center is the mean of the cells' centers, weighted by their probabilities. A virtual device
 * uses this function too; chips reject models with objects (interface 8).
 * @param shares [rows × columns × (1 + classes)]
 */
export function detectionsIn(
  shares: ArrayLike<number>,
  { grid, picture }: ObjectGrid,
  threshold: number,
): Found[] {
  const [rows, columns] = grid;
  const cells = rows * columns;
  const channels = shares.length / cells;
  const best = new Int32Array(cells);
  const share = new Float64Array(cells);
  for (let cell = 0; cell < cells; cell++) {
    let top = 1;
    for (let c = 2; c < channels; c++) {
      if (shares[cell * channels + c]! > shares[cell * channels + top]!) top = c;
    }
    best[cell] = top - 1;
    share[cell] = shares[cell * channels + top]!;
  }
  const free = new Uint8Array(cells);
  for (let cell = 0; cell < cells; cell++) if (share[cell]! >= threshold) free[cell] = 1;
  const found: Found[] = [];
  const stack = new Int32Array(cells);
  while (found.length < mostDetections) {
    let peak = -1;
    for (let cell = 0; cell < cells; cell++)
      if (free[cell] && (peak < 0 || share[cell]! > share[peak]!)) peak = cell;
    if (peak < 0) break;
    let [weight, sumX, sumY, depth] = [0, 0, 0, 1];
    stack[0] = peak;
    free[peak] = 0;
    while (depth > 0) {
      const cell = stack[--depth]!;
      const [row, column] = [Math.floor(cell / columns), cell % columns];
      weight += share[cell]!;
      sumX += share[cell]! * (column + 0.5);
      sumY += share[cell]! * (row + 0.5);
      for (let y = Math.max(0, row - 1); y <= Math.min(rows - 1, row + 1); y++) {
        for (let x = Math.max(0, column - 1); x <= Math.min(columns - 1, column + 1); x++) {
          const next = y * columns + x;
          if (!free[next] || share[next]! > share[cell]!) continue;
          free[next] = 0;
          stack[depth++] = next;
        }
      }
    }
    found.push({
      class: best[peak]!,
      x: Math.min(picture.width, (cellSide * sumX) / weight),
      y: Math.min(picture.height, (cellSide * sumY) / weight),
      confidence: share[peak]!,
    });
  }
  return found;
}

/** Counts for one class over all pictures. */
export interface ObjectCounts {
  /** Objects that were found. */
  hits: number;
  /** Detections without an object. */
  falseAlarms: number;
  /** Objects that were not found. */
  misses: number;
}

/**
 * Compares the detections in one picture with its objects. A detection is correct if its center is in the same cell as an object of its
 * class, or in a neighboring cell. Each object counts once; stronger detections choose first, and take the nearest object.
 * @param counts one entry per class, increased in place
 * @returns whether every object was found, and there were no other detections
 */
export function compareObjects(
  found: readonly Found[],
  truth: readonly ObjectPoint[],
  { grid }: Pick<ObjectGrid, 'grid'>,
  counts: ObjectCounts[],
): boolean {
  const [, columns] = grid;
  const open = new Set(truth);
  let right = true;
  for (const one of found) {
    const cell = cellAt(one.x, one.y, grid);
    let nearest: ObjectPoint | undefined;
    let least = Number.POSITIVE_INFINITY;
    for (const object of open) {
      const other = cellAt(object.x, object.y, grid);
      const apart = Math.max(
        Math.abs(Math.floor(cell / columns) - Math.floor(other / columns)),
        Math.abs((cell % columns) - (other % columns)),
      );
      const distance = Math.hypot(one.x - object.x, one.y - object.y);
      if (object.class !== one.class || apart > 1 || distance >= least) continue;
      [nearest, least] = [object, distance];
    }
    if (nearest) {
      open.delete(nearest);
      counts[one.class]!.hits++;
    } else {
      counts[one.class]!.falseAlarms++;
      right = false;
    }
  }
  for (const object of open) counts[object.class]!.misses++;
  return right && open.size === 0;
}

export function emptyCounts(classes: number): ObjectCounts[] {
  return Array.from({ length: classes }, () => ({ hits: 0, falseAlarms: 0, misses: 0 }));
}

/** Precision, recall and F1; 0 for a ratio without cases. */
export function ratesOf({ hits, falseAlarms, misses }: ObjectCounts) {
  const precision = hits + falseAlarms === 0 ? 0 : hits / (hits + falseAlarms);
  const recall = hits + misses === 0 ? 0 : hits / (hits + misses);
  const f1 = hits === 0 ? 0 : (2 * hits) / (2 * hits + falseAlarms + misses);
  return { precision, recall, f1 };
}

/** Mean F1 over the classes that occur, as objects or as detections. */
export function meanF1(counts: readonly ObjectCounts[]): number {
  const own = counts.filter(({ hits, falseAlarms, misses }) => hits + falseAlarms + misses > 0);
  return own.reduce((sum, one) => sum + ratesOf(one).f1, 0) / Math.max(1, own.length);
}

const thresholds = Array.from({ length: 18 }, (_, i) => (i + 2) / 20);

/**
 * The threshold with the highest mean F1, for pictures that were not trained on. If several thresholds are equally good, the middle one is
 * used, because it is the safest.
 * @param shares of each picture
 */
export function bestThreshold(
  shares: readonly ArrayLike<number>[],
  truth: readonly (readonly ObjectPoint[])[],
  layout: ObjectGrid,
  classes: number,
): number {
  const scores = thresholds.map((threshold) => {
    const counts = emptyCounts(classes);
    shares.forEach((own, i) => {
      compareObjects(detectionsIn(own, layout, threshold), truth[i]!, layout, counts);
    });
    return meanF1(counts);
  });
  const most = Math.max(...scores);
  const best = thresholds.filter((_, i) => scores[i] === most);
  return best[Math.floor(best.length / 2)]!;
}

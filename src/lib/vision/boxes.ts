/** A face in a picture, in pixels of it; a box may reach beyond the edges. */
export interface Face {
  x: number;
  y: number;
  width: number;
  height: number;
  /** 0…1. */
  score: number;
  /** The person's own right eye, left eye, tip of the nose, middle of the mouth, right ear, left ear. */
  points: readonly Point[];
}

export type Point = readonly [x: number, y: number];

/** Numbers in a row of the network's boxes: x, y, width, height, and x and y of six points. */
export const rowLength = 16;

/**
 * Reads the network's answer: the boxes whose score is at least `minScore`, in 0…1 of the square. Centre and points are relative
 * to the anchor, sizes are linear (MediaPipe's TensorsToDetectionsCalculator with reverse_output_order and anchors of size 1).
 * @param boxes 16 numbers an anchor, in pixels of the square
 * @param logits one an anchor
 */
export function decodeBoxes(
  boxes: Float32Array,
  logits: Float32Array,
  anchors: Float32Array,
  { size, minScore }: { size: number; minScore: number },
): Face[] {
  const faces: Face[] = [];
  // Compared before the sigmoid, which thousands of anchors then do not need.
  const least = Math.log(minScore / (1 - minScore));
  for (let i = 0; i < logits.length; i++) {
    if (!(logits[i]! >= least)) continue;
    const row = boxes.subarray(i * rowLength, (i + 1) * rowLength);
    const [anchorX, anchorY] = [anchors[2 * i]!, anchors[2 * i + 1]!];
    const [width, height] = [row[2]! / size, row[3]! / size];
    if (!(width > 0 && height > 0)) continue;
    faces.push({
      x: anchorX + row[0]! / size - width / 2,
      y: anchorY + row[1]! / size - height / 2,
      width,
      height,
      score: 1 / (1 + Math.exp(-Math.min(logits[i]!, 100))),
      points: Array.from({ length: 6 }, (_, point) => [
        anchorX + row[4 + 2 * point]! / size,
        anchorY + row[5 + 2 * point]! / size,
      ]),
    });
  }
  return faces;
}

/** Boxes that overlap by more than this (IoU) show the same face. */
const sameFace = 0.3;

/**
 * Non-maximum suppression with weights: boxes of one face become their mean, weighted by score, with the best one's score
 * (MediaPipe's NonMaxSuppressionCalculator, WEIGHTED). Best first.
 */
export function mergeBoxes(faces: readonly Face[]): Face[] {
  let left = [...faces].sort((a, b) => b.score - a.score);
  const merged: Face[] = [];
  while (left.length > 0) {
    const best = left[0]!;
    const cluster = left.filter((face) => face === best || overlap(best, face) > sameFace);
    left = left.filter((face) => !cluster.includes(face));
    merged.push(weightedMean(cluster, best.score));
  }
  return merged;
}

function weightedMean(cluster: readonly Face[], score: number): Face {
  const total = cluster.reduce((sum, face) => sum + face.score, 0);
  const mean = (of: (face: Face) => number) =>
    cluster.reduce((sum, face) => sum + of(face) * face.score, 0) / total;
  return {
    x: mean((face) => face.x),
    y: mean((face) => face.y),
    width: mean((face) => face.width),
    height: mean((face) => face.height),
    score,
    points: cluster[0]!.points.map(
      (_, point): Point => [mean((face) => face.points[point]![0]), mean((face) => face.points[point]![1])],
    ),
  };
}

/** Intersection over union, 0…1. */
export function overlap(a: Omit<Face, 'score' | 'points'>, b: Omit<Face, 'score' | 'points'>): number {
  const width = Math.min(a.x + a.width, b.x + b.width) - Math.max(a.x, b.x);
  const height = Math.min(a.y + a.height, b.y + b.height) - Math.max(a.y, b.y);
  if (width <= 0 || height <= 0) return 0;
  const both = width * height;
  return both / (a.width * a.height + b.width * b.height - both);
}

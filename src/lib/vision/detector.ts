import { createHash } from 'node:crypto';
import { AiotError } from '../core/errors.js';
import { vendoredFile } from '../core/folders.js';
import { elementCount } from '../formats/tflite/graph.js';
import { readTflite } from '../formats/tflite/read.js';
import { createInterpreter } from '../runtime/interpreter/interpreter.js';
import { type LiteRtSession, openLiteRtSession } from '../runtime/litert.js';
import { type Letterbox, letterbox, type Picture, type Region } from './picture.js';

/** A face in a picture, in pixels. The box may extend beyond the picture's edges. */
export interface Face {
  x: number;
  y: number;
  width: number;
  height: number;
  /** Score, 0…1. */
  score: number;
  /** Right eye, left eye, tip of the nose, middle of the mouth, right ear and left ear, from the person's point of view. */
  points: readonly Point[];
}

export type Point = readonly [x: number, y: number];

export interface DetectorOptions {
  /** Default: `sparse`. */
  model?: FaceModelName;
  /** Minimum score, 0…1. Default: the model's own. */
  minScore?: number;
  /**
   * Zoom from 1 (default) to 4. With 1, the detector searches the whole picture, and finds faces at least 7 % as wide as its longer side.
   * With 2, it also searches overlapping squares with half that side, finds faces half as wide, and takes seven times as long for 640×480.
   * False positives also increase: in 19 pictures, there were none with 1 and 1.5, one with 2, and four with 3.
   */
  zoom?: number;
}

export interface FaceDetector {
  readonly model: FaceModelName;
  /** Detects faces, sorted by score, highest first. */
  detect(picture: Picture): Face[];
  /** Releases the detector's memory. */
  close(): void;
}

/**
 * Opens a BlazeFace network of `@mediapipe/face_detection` and runs it once, because the first run takes ten times as long. It detects
 * faces, but cannot identify people.
 * @throws AIOT_USAGE (a number out of its range), AIOT_LITERT_FAILED
 */
export async function openFaceDetector(options: DetectorOptions = {}): Promise<FaceDetector> {
  requireRange('min-score', options.minScore, [0.05, 0.99]);
  requireRange('zoom', options.zoom, [1, 4]);
  const { model: name = 'sparse', zoom = 1 } = options;
  const model: FaceModel = faceModels[name];
  const session = await sessionOf(model);
  const anchors = anchorCentres(model);
  const input = new Float32Array(model.size * model.size * 3);
  const decoding = { size: model.size, minScore: options.minScore ?? model.minScore };
  // Outputs are identified by their size, because their names differ between the files.
  const [boxes, scores] = [
    session.outputs.indexOf(anchors.length * 8),
    session.outputs.indexOf(anchors.length / 2),
  ];
  if (boxes < 0 || scores < 0) {
    session.close();
    throw new AiotError('AIOT_LITERT_FAILED', `${model.file} does not have the outputs of a face detector`);
  }
  const look = (picture: Picture, region: Region): Face[] => {
    const box = letterbox(picture, region, model.size, input);
    const outputs = session.run(input);
    const found = decodeBoxes(outputs[boxes]!, outputs[scores]!, anchors, decoding);
    return found.map((face) => inPicture(face, box, region)).filter((face) => isWhole(face, region, picture));
  };
  session.run(input);
  return {
    model: name,
    detect: (picture) => mergeBoxes(regionsOf(picture, zoom).flatMap((region) => look(picture, region))),
    close: session.close,
  };
}

/**
 * Runs a network in the faster engine. Dense networks are compiled, and then take 0.6 to 0.8 times as long as in LiteRT. LiteRT skips the
 * zeros of pruned weights.
 */
async function sessionOf(model: FaceModel): Promise<LiteRtSession> {
  const bytes = await modelFile(model);
  if (model.pruned) return openLiteRtSession(bytes);
  const interpreter = createInterpreter(readTflite(bytes), { compiled: true });
  const sizes = [interpreter.inputTensors, interpreter.outputTensors].map((tensors) =>
    tensors.map(({ shape }) => elementCount(shape)),
  ) as [number[], number[]];
  return {
    inputs: sizes[0].reduce((sum, size) => sum + size, 0),
    outputs: sizes[1],
    run: (input) => interpreter.run([input]) as Float32Array[],
    close: () => {},
  };
}

/** @throws AIOT_USAGE */
export function requireRange(name: string, value: number | undefined, [least, most]: [number, number]): void {
  if (value === undefined || (value >= least && value <= most)) return;
  throw new AiotError('AIOT_USAGE', `${name}: expected ${least} to ${most}, got ${value}`);
}

async function modelFile(model: FaceModel): Promise<Uint8Array> {
  const bytes = await vendoredFile(model.file);
  if (createHash('sha256').update(bytes).digest('hex') === model.sha256) return bytes;
  throw new AiotError(
    'AIOT_LITERT_FAILED',
    `${model.file} of @mediapipe/face_detection was modified or has the wrong version`,
    { next: 'Install aiot again to restore its files.' },
  );
}

/** Converts a face from 0…1 of the square to the picture's pixels. */
function inPicture(face: Face, { size, scale, padX, padY }: Letterbox, region: Region): Face {
  const x = (value: number) => (value * size - padX) / scale + region.x;
  const y = (value: number) => (value * size - padY) / scale + region.y;
  return {
    x: x(face.x),
    y: y(face.y),
    width: (face.width * size) / scale,
    height: (face.height * size) / scale,
    score: face.score,
    points: face.points.map((point) => [x(point[0]), y(point[1])]),
  };
}

/**
 * Whether the face is completely inside the region. A face that an edge cuts is ignored, because another region contains the whole face.
 * Only the edges of the picture itself may cut a face.
 */
function isWhole(face: Face, region: Region, picture: Picture): boolean {
  return (
    (face.x >= region.x || region.x === 0) &&
    (face.y >= region.y || region.y === 0) &&
    (face.x + face.width <= region.x + region.width || region.x + region.width === picture.width) &&
    (face.y + face.height <= region.y + region.height || region.y + region.height === picture.height)
  );
}

/** Minimum overlap of neighboring squares, as a share of their side. A face that one square cuts is then whole in another. */
const shared = 1 / 3;

/**
 * The regions to search: the whole picture and, with a zoom, overlapping squares that cover it. The squares' side is `1 / zoom` of the
 * picture's longer side.
 */
export function regionsOf({ width, height }: Picture, zoom: number): Region[] {
  const whole = { x: 0, y: 0, width, height };
  const side = Math.ceil(Math.max(width, height) / zoom);
  if (zoom <= 1 || side < 16) return [whole];
  const tops = places(height, side);
  const lefts = places(width, side);
  const size = { width: Math.min(side, width), height: Math.min(side, height) };
  return [whole, ...tops.flatMap((y) => lefts.map((x) => ({ x, y, ...size })))];
}

/** Start positions of the squares along one axis, evenly spaced from one end to the other. */
function places(length: number, side: number): number[] {
  if (side >= length) return [0];
  const steps = Math.ceil((length - side) / (side * (1 - shared)));
  return Array.from({ length: steps + 1 }, (_, i) => Math.round((i * (length - side)) / steps));
}

/** Number of values per box in the network's output: x, y, width, height, and x and y of six points. */
const rowLength = 16;

/**
 * Decodes the network's output. Returns the boxes whose score is at least `minScore`, in 0…1 of the square. Center and points are relative
 * to the anchor; sizes are linear. (MediaPipe's TensorsToDetectionsCalculator with reverse_output_order and anchors of size 1.)
 * @param boxes 16 numbers per anchor, in the square's pixels @param logits one per anchor
 */
export function decodeBoxes(
  boxes: Float32Array,
  logits: Float32Array,
  anchors: Float32Array,
  { size, minScore }: { size: number; minScore: number },
): Face[] {
  const faces: Face[] = [];
  // Scores are compared before the sigmoid, so that it need not be computed for most of the thousands of anchors.
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

/** Minimum overlap (IoU) of boxes that show the same face. */
const sameFace = 0.3;

/**
 * Weighted non-maximum suppression: the boxes of one face are replaced by their mean, weighted by score, and keep the highest score
 * (MediaPipe's NonMaxSuppressionCalculator, WEIGHTED). The result is sorted by score, highest first.
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

/** A BlazeFace network of `@mediapipe/face_detection`. */
interface FaceModel {
  file: string;
  /** SHA-256 of the file, which must match because native code runs the file without validation. */
  sha256: string;
  /** Side of the square input, pixels. */
  size: number;
  /** Grids of anchors, in order: number of cells along a side, and anchors per cell. */
  grids: readonly (readonly [cells: number, anchors: number])[];
  /** Whether most weights are zeros, which the file omits. */
  pruned?: boolean;
  /** Minimum score of a face, as in MediaPipe's own graphs. */
  minScore: number;
}

/**
 * Measured on 15 pictures with 31 faces (faces found, false positives, LiteRT's time): short 25, 0, 2.4 ms; full 30, 0, 8.4
 * ms; sparse 31, 0, 6.3 ms. `short` is for faces nearer than 2 m; the other two are for up to 5 m. `sparse` is `full` with pruned weights.
 * Sizes and anchors are from MediaPipe's face_detection graphs (SsdAnchorsCalculatorOptions), release 0.10.
 */
export const faceModels = {
  sparse: {
    file: 'face_detection_full_range_sparse.tflite',
    sha256: '671dd2f9ed11a78436fc21cc42357a803dfc6f73e9fb86541be942d5716c2dce',
    size: 192,
    grids: [[48, 1]],
    pruned: true,
    minScore: 0.6,
  },
  full: {
    file: 'face_detection_full_range.tflite',
    sha256: '99bf9494d84f50acc6617d89873f71bf6635a841ea699c17cb3377f9507cfec3',
    size: 192,
    grids: [[48, 1]],
    minScore: 0.6,
  },
  short: {
    file: 'face_detection_short_range.tflite',
    sha256: '3bc182eb9f33925d9e58b5c8d59308a760f4adea8f282370e428c51212c26633',
    size: 128,
    grids: [
      [16, 2],
      [8, 6],
    ],
    minScore: 0.5,
  },
} as const satisfies Record<string, FaceModel>;

export type FaceModelName = keyof typeof faceModels;

export const faceModelNames = Object.keys(faceModels) as [FaceModelName, ...FaceModelName[]];

/** Anchor centers in 0…1 of the square, as x, y, x, y, …, ordered by row, column, and anchor within the cell. */
export function anchorCentres({ grids }: FaceModel): Float32Array {
  const centres: number[] = [];
  for (const [cells, anchors] of grids)
    for (let row = 0; row < cells; row++)
      for (let column = 0; column < cells; column++)
        for (let anchor = 0; anchor < anchors; anchor++)
          centres.push((column + 0.5) / cells, (row + 0.5) / cells);
  return Float32Array.from(centres);
}

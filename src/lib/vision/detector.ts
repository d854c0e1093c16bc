import { createHash } from 'node:crypto';
import { AiotError, vendoredFile } from '../core/index.js';
import { openLiteRtSession } from '../runtime/index.js';
import { decodeBoxes, type Face, mergeBoxes } from './boxes.js';
import { type Letterbox, letterbox, type Region } from './letterbox.js';
import { anchorCentres, type FaceModel, type FaceModelName, faceModels } from './models.js';
import type { Picture } from './picture.js';

export interface DetectorOptions {
  /** Default `sparse`. */
  model?: FaceModelName;
  /** 0…1; default as the model has it. */
  minScore?: number;
  /**
   * 1…4, default 1: the picture is looked at as a whole, which shows faces from 7 % of its longer side on. With 2 it is looked at in
   * overlapping squares of half the longer side too, which shows faces half as wide and takes, of 640×480, seven times as long. It also
   * makes more mistakes: in 19 pictures none with 1 and 1.5, one with 2, four with 3.
   */
  zoom?: number;
}

export interface FaceDetector {
  readonly model: FaceModelName;
  /** Best first. */
  detect(picture: Picture): Face[];
  /** Gives its memory back. */
  close(): void;
}

/**
 * Opens a BlazeFace network of `@mediapipe/face_detection` in LiteRT and runs it once, for the first run takes ten times as long.
 * It finds where faces are; it knows nothing of whose they are.
 * @throws AIOT_USAGE (a number out of its range), AIOT_LITERT_FAILED
 */
export async function openFaceDetector(options: DetectorOptions = {}): Promise<FaceDetector> {
  requireRange('min-score', options.minScore, [0.05, 0.99]);
  requireRange('zoom', options.zoom, [1, 4]);
  const { model: name = 'sparse', zoom = 1 } = options;
  const model: FaceModel = faceModels[name];
  const session = await openLiteRtSession(await modelFile(model));
  const anchors = anchorCentres(model);
  const input = new Float32Array(model.size * model.size * 3);
  const decoding = { size: model.size, minScore: options.minScore ?? model.minScore };
  // By their size: the files name their outputs differently.
  const [boxes, scores] = [
    session.outputs.indexOf(anchors.length * 8),
    session.outputs.indexOf(anchors.length / 2),
  ];
  if (boxes < 0 || scores < 0) {
    session.close();
    throw new AiotError('AIOT_LITERT_FAILED', `${model.file} has not the outputs of a face detector`);
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
    `${model.file} of @mediapipe/face_detection is not the file that this version of aiot knows`,
    { next: 'Install aiot again; its files have been changed.' },
  );
}

/** From 0…1 of the square to pixels of the picture. */
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

/** Whether no edge of the region cuts the face, save the picture's own: elsewhere another square has it whole, or the whole picture. */
function isWhole(face: Face, region: Region, picture: Picture): boolean {
  return (
    (face.x >= region.x || region.x === 0) &&
    (face.y >= region.y || region.y === 0) &&
    (face.x + face.width <= region.x + region.width || region.x + region.width === picture.width) &&
    (face.y + face.height <= region.y + region.height || region.y + region.height === picture.height)
  );
}

/** Least part of a square that the next one sees too: a face that one cuts is whole in another. */
const shared = 1 / 3;

/** The whole picture; with a zoom, squares of `1 / zoom` of its longer side after it, which cover it. */
export function regionsOf({ width, height }: Picture, zoom: number): Region[] {
  const whole = { x: 0, y: 0, width, height };
  const side = Math.ceil(Math.max(width, height) / zoom);
  if (zoom <= 1 || side < 16) return [whole];
  const tops = places(height, side);
  const lefts = places(width, side);
  const size = { width: Math.min(side, width), height: Math.min(side, height) };
  return [whole, ...tops.flatMap((y) => lefts.map((x) => ({ x, y, ...size })))];
}

/** Where the squares along one axis begin, evenly from one end to the other. */
function places(length: number, side: number): number[] {
  if (side >= length) return [0];
  const steps = Math.ceil((length - side) / (side * (1 - shared)));
  return Array.from({ length: steps + 1 }, (_, i) => Math.round((i * (length - side)) / steps));
}

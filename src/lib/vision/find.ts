import { join } from 'node:path';
import { z } from 'zod';
import { makeFolder, readBytes, refuseInputs, writeTogether } from '../core/index.js';
import type { Face } from './boxes.js';
import { cropGray, cropRegion, shrinkGray } from './crop.js';
import { type DetectorOptions, openFaceDetector, requireRange } from './detector.js';
import { decodePicture, type GrayPicture, type Picture } from './picture.js';
import { grayPng } from './png.js';

const point = z.tuple([z.number(), z.number()]);

export const foundFacesSchema = z.object({
  model: z.string(),
  /** Faces in all pictures together. */
  faces: z.int(),
  pictures: z.array(
    z.object({
      file: z.string(),
      /** Pixels. */
      width: z.int(),
      height: z.int(),
      /** How long the network took, ms; decoding the file is not in it. */
      ms: z.number(),
      faces: z.array(
        z.object({
          /** Pixels of the picture; a box may reach beyond its edges. */
          x: z.number(),
          y: z.number(),
          width: z.number(),
          height: z.number(),
          score: z.number(),
          /** Left and right are the person's own. */
          points: z.object({
            rightEye: point,
            leftEye: point,
            nose: point,
            mouth: point,
            rightEar: point,
            leftEar: point,
          }),
          /** The PNG written; null without a folder for them, and for a box outside the picture. */
          crop: z.string().nullable(),
        }),
      ),
    }),
  ),
});
export type FoundFaces = z.output<typeof foundFacesSchema>;

export interface FaceOptions extends DetectorOptions {
  /** Part of a face's size that is added on each side of what is cut out; default 0. */
  margin?: number;
  /** Longest side of what is cut out, pixels; absent = as it is. */
  size?: number;
  /** Folder for `face0.png`, `face1.png`, … in gray. */
  out?: string;
  /** Called for each face with what is cut out, in order. */
  onFace?: (face: Face, crop: GrayPicture) => void;
}

/**
 * Finds the faces in picture files.
 * @throws AIOT_USAGE (a number out of its range), AIOT_FILE_NOT_FOUND, AIOT_FILE_NOT_READABLE, AIOT_PICTURE_MALFORMED, AIOT_FILE_NOT_WRITABLE: then nothing is written
 */
export async function findFaces(files: readonly string[], options: FaceOptions = {}): Promise<FoundFaces> {
  requireRange('margin', options.margin, [0, 2]);
  const detector = await openFaceDetector(options);
  const crops = new Map<string, Uint8Array>();
  const pictures: FoundFaces['pictures'] = [];
  let faces = 0;
  const cut = (picture: Picture, face: Face): string | null => {
    const region = cropRegion(picture, face, options.margin);
    if (!region) return null;
    const whole = cropGray(picture, region);
    const crop = options.size === undefined ? whole : shrinkGray(whole, options.size);
    options.onFace?.(face, crop);
    if (options.out === undefined) return null;
    const path = join(options.out, `face${crops.size}.png`);
    crops.set(path, grayPng(crop));
    return path;
  };
  try {
    for (const file of files) {
      const picture = await decodePicture(await readBytes(file), file);
      const began = performance.now();
      const found = detector.detect(picture);
      const ms = Math.round((performance.now() - began) * 10) / 10;
      faces += found.length;
      const shown = found.map((face) => ({ ...rounded(face), crop: cut(picture, face) }));
      pictures.push({ file, width: picture.width, height: picture.height, ms, faces: shown });
    }
  } finally {
    detector.close();
  }
  await refuseInputs([...crops.keys()], files);
  if (options.out !== undefined) await makeFolder(options.out);
  if (crops.size > 0) await writeTogether(crops);
  return { model: detector.model, faces, pictures };
}

/** Tenths of a pixel, thousandths of a score. */
function rounded(face: Face) {
  const tenth = (value: number) => Math.round(value * 10) / 10;
  const points = face.points.map(([x, y]): [number, number] => [tenth(x), tenth(y)]);
  return {
    x: tenth(face.x),
    y: tenth(face.y),
    width: tenth(face.width),
    height: tenth(face.height),
    score: Math.round(face.score * 1000) / 1000,
    points: {
      rightEye: points[0]!,
      leftEye: points[1]!,
      nose: points[2]!,
      mouth: points[3]!,
      rightEar: points[4]!,
      leftEar: points[5]!,
    },
  };
}

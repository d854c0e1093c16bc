import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { makeFolder, readBytes, refuseInputs, writeFileAtomic, writeTogether } from '../core/files.js';
import { nativePart } from '../core/process.js';
import { type DetectorOptions, type Face, openFaceDetector, requireRange } from './detector.js';
import { decodePicture, type GrayPicture, grayPng, type Picture, type Region } from './picture.js';

const point = z.tuple([z.number(), z.number()]);

export const foundFacesSchema = z.object({
  model: z.string(),
  /** Total number of faces in all pictures. */
  faces: z.int(),
  pictures: z.array(
    z.object({
      file: z.string(),
      /** The picture's size, pixels. */
      width: z.int(),
      height: z.int(),
      /** Duration of the detection, without decoding the file, ms. */
      ms: z.number(),
      faces: z.array(
        z.object({
          /** The face's box in the picture's pixels. It may extend beyond the picture's edges. */
          x: z.number(),
          y: z.number(),
          width: z.number(),
          height: z.number(),
          score: z.number(),
          /** Facial points; left and right are from the person's point of view. */
          points: z.object({
            rightEye: point,
            leftEye: point,
            nose: point,
            mouth: point,
            rightEar: point,
            leftEar: point,
          }),
          /** Path of the crop, a PNG file; null if no folder was given, or if the box is outside the picture. */
          crop: z.string().nullable(),
        }),
      ),
    }),
  ),
});

type FoundFaces = z.output<typeof foundFacesSchema>;

export interface FaceOptions extends DetectorOptions {
  /** Margin on each side of the crop, as a share of the face's size. Default: 0. */
  margin?: number;
  /** Longest side of the crop, pixels; absent = not resized. */
  size?: number;
  /** Folder for the crops `face0.png`, `face1.png`, …, in shades of gray. */
  out?: string;
  /** Called for each face and its crop, in order. */
  onFace?: (face: Face, crop: GrayPicture) => void;
}

/**
 * Detects faces in picture files. If it throws, no crop is written.
 * @throws AIOT_USAGE (a number out of its range), AIOT_FILE_NOT_FOUND, AIOT_FILE_NOT_READABLE, AIOT_FILE_MALFORMED, AIOT_FILE_NOT_WRITABLE
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

/** Rounds a face's positions to tenths of a pixel, and its score to thousandths. */
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

/**
 * A box's region in pixels, enlarged on each side by `margin` times the box's size, and limited to the picture.
 * @returns undefined if the box is outside the picture
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

/** Converts part of a picture to shades of gray: BT.601 luma, `0.299 R + 0.587 G + 0.114 B`, as in OpenCV and libjpeg. */
export function cropGray({ data, width }: Picture, region: Region): GrayPicture {
  const gray = new Uint8Array(region.width * region.height);
  let to = 0;
  for (let row = 0; row < region.height; row++) {
    let from = ((region.y + row) * width + region.x) * 3;
    for (let column = 0; column < region.width; column++, from += 3)
      // The sum of the weights is 2^16. Adding 32,768, half of that, rounds the result.
      gray[to++] = (data[from]! * 19_595 + data[from + 1]! * 38_470 + data[from + 2]! * 7_471 + 32_768) >> 16;
  }
  return { width: region.width, height: region.height, data: gray };
}

/**
 * Shrinks a gray picture so that its longer side is at most `longest`. Each pixel is the mean of the pixels that it replaces. Smaller
 * pictures are unchanged.
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

interface Person {
  /** Center of the face, and half the face's width, in pixels of a 640×480 picture. */
  x: number;
  y: number;
  radius: number;
  hair: string;
}

/** Number of people in each picture of `drawFaces`: one person walks by, another one joins, and both leave. */
export const drawnFaces = [0, 1, 1, 1, 2, 2, 2, 1, 1, 0] as const;

/**
 * Draws pictures for a camera project without a camera: 640×480 JPEGs, named `frame00.jpg` and so on, which show no real person.
 */
export async function drawFaces(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  for (const [frame, people] of drawnFaces.entries()) {
    const file = join(folder, `frame${String(frame).padStart(2, '0')}.jpg`);
    const first = { x: 60 + frame * 52, y: 200, radius: 66, hair: '#3b2a20' };
    const second = { x: 620 - frame * 70, y: 260, radius: 50, hair: '#7a5a34' };
    // In the last pictures, the first person has left.
    const shown = people === 2 ? [first, second] : people === 1 ? [frame < 7 ? first : second] : [];
    await writeFileAtomic(file, await drawPicture(shown));
  }
}

/** Draws a room with these people, as a JPEG. */
async function drawPicture(people: readonly Person[]): Promise<Buffer> {
  const { default: sharp } = await nativePart('sharp', () => import('sharp'));
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="640" height="480"><defs>
    <radialGradient id="skin" cx="45%" cy="40%" r="65%"><stop offset="0" stop-color="#efc6a6"/><stop offset=".65" stop-color="#d9a886"/><stop offset="1" stop-color="#a87455"/></radialGradient>
    <linearGradient id="neck" x1="0" y1="0" x2="0" y2="1"><stop offset="0" stop-color="#8f5f45"/><stop offset="1" stop-color="#c4916f"/></linearGradient>
    <linearGradient id="wall" x1="0" y1="0" x2="1" y2="1"><stop offset="0" stop-color="#9fb3bd"/><stop offset="1" stop-color="#5d6f78"/></linearGradient>
    </defs><rect width="640" height="480" fill="url(#wall)"/>${people.map(personShape).join('')}</svg>`;
  return sharp(Buffer.from(svg)).blur(1.2).jpeg({ quality: 88 }).toBuffer();
}

/**
 * Draws a person in units of half the face's width, centered on the face. Shading matters more than lines, because the detector depends on
 * it.
 */
function personShape({ x, y, radius, hair }: Person): string {
  const eye = (side: number) => `<g transform="translate(${side},-.12)">
    <ellipse rx=".17" ry=".085" fill="#f5efe8"/><circle r=".08" fill="#4a3020"/><circle r=".04" fill="#111"/>
    <path d="M-.19,-.03 Q0,-.14 .19,-.03" stroke="#3a241a" stroke-width=".03" fill="none"/>
    <path d="M-.22,-.17 Q0,-.27 .22,-.17" stroke="${hair}" stroke-width=".06" fill="none"/>
    <ellipse cy="-.02" rx=".24" ry=".17" opacity=".1"/></g>`;
  return `<g transform="translate(${x},${y}) scale(${radius})">
    <path d="M-1.6,6 Q-1.5,1.5 -.5,1.35 L.5,1.35 Q1.5,1.5 1.6,6Z" fill="#34495e"/>
    <rect x="-.4" y=".6" width=".8" height="1" fill="url(#neck)"/>
    <ellipse cy="-.25" rx="1.02" ry="1.25" fill="${hair}"/>
    <ellipse cx="-.84" cy=".02" rx=".12" ry=".22" fill="#d9a886"/><ellipse cx=".84" cy=".02" rx=".12" ry=".22" fill="#d9a886"/>
    <path d="M-.82,-.3 Q-.85,.6 -.35,1 Q0,1.2 .35,1 Q.85,.6 .82,-.3 Q.7,-.95 0,-.95 Q-.7,-.95 -.82,-.3Z" fill="url(#skin)"/>
    ${eye(-0.34)}${eye(0.34)}
    <path d="M-.05,-.1 Q-.1,.2 -.16,.3 Q0,.4 .16,.3" stroke="#8d5b44" stroke-width=".035" fill="none"/>
    <ellipse cx=".03" cy=".15" rx=".06" ry=".2" fill="#fff" opacity=".22"/><ellipse cy=".36" rx=".16" ry=".05" opacity=".22"/>
    <path d="M-.3,.6 Q-.1,.52 0,.56 Q.1,.52 .3,.6 Q0,.78 -.3,.6Z" fill="#a8504c"/>
    <path d="M-.3,.6 Q0,.66 .3,.6" stroke="#5a2422" stroke-width=".025" fill="none"/><ellipse cy=".85" rx=".2" ry=".05" opacity=".12"/>
    <ellipse cx="-.5" cy=".35" rx=".2" ry=".16" fill="#c4705a" opacity=".25"/><ellipse cx=".5" cy=".35" rx=".2" ry=".16" fill="#c4705a" opacity=".25"/></g>`;
}

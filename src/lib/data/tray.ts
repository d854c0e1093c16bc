import { setImmediate as nextTurn } from 'node:timers/promises';
import * as z from 'zod';
import { AiotError } from '../core/errors.js';
import { gaussian, type Random, seededRandom } from '../core/numbers.js';
import type { Project } from '../core/project.js';
import { fitPicture } from '../vision/fit.js';
import type { Picture } from '../vision/picture.js';
import { dataFolderOf, expectedOf } from './dataset/open.js';
import { addRecordings, changeData, removeRecordings } from './dataset/write.js';
import type { ObjectBox, Recording } from './types.js';

/** Objects on the tray. A nut and a washer are hard to tell apart, because they differ only in outline. */
export const trayParts = ['empty', 'bolt', 'nut', 'washer'] as const;

export type TrayPart = (typeof trayParts)[number];

export const drawnPicturesSchema = z.object({
  /** Absolute folder. */
  folder: z.string(),
  recordings: z.int(),
  /** Number of pictures of each label, or of objects if the pictures show several. */
  labels: z.record(z.string(), z.int()),
  counted: z.enum(['pictures', 'objects']),
  /** Size of the pictures, in pixels, and their channels. */
  width: z.int(),
  height: z.int(),
  channels: z.int(),
  seed: z.int(),
  /** Number of pictures of an earlier run that were replaced. */
  replaced: z.int(),
});

export type DrawnPictures = z.output<typeof drawnPicturesSchema>;

interface DrawOptions {
  project: Project;
  /** Number of pictures of each label; if the model finds objects, of pictures with several of them. Default: 150, or 500. */
  pictures?: number | undefined;
  seed: number;
  /** Called after each picture. */
  onPicture?: (done: number, total: number) => void;
  signal?: AbortSignal;
}

/** Prefix of the IDs of drawn pictures. Only these pictures are replaced. */
const prefix = 'drawn-';

/**
 * Draws pictures of parts on a tray into a project's data folder, for the labels of the project that it can draw. Each picture shows one
 * part, or several with their boxes if the model finds objects. Pictures of an earlier run are replaced; all others are unchanged.
 * @throws AIOT_PROJECT_INVALID (a project without pictures), AIOT_LABEL_UNKNOWN (no label that can be drawn), AIOT_FILE_NOT_WRITABLE
 */
export async function drawPictures(options: DrawOptions): Promise<DrawnPictures> {
  const { project, seed, onPicture, signal } = options;
  const finds = project.config.model.kind === 'fomo';
  const pictures = options.pictures ?? (finds ? 500 : 150);
  const expected = expectedOf(project.config);
  const { image, fields, rateHz } = expected;
  if (!image) {
    throw new AiotError('AIOT_PROJECT_INVALID', `${project.file}: signal.features: expected image`, {
      next: 'For spoken words, use --words A,B,… For pictures, create a project with `aiot init DIR --template person-or-part` or `count-parts`.',
    });
  }
  const parts = trayParts.filter((part) => expected.labels.includes(part) && !(finds && part === 'empty'));
  if (parts.length === 0) {
    throw new AiotError(
      'AIOT_LABEL_UNKNOWN',
      `model.labels has none of the labels that can be drawn: ${trayParts.join(', ')}`,
    );
  }
  const { width, height, channels } = image;
  const format = { width, height, channels, fields, rateHz };
  const recordings: Recording[] = [];
  const total = finds ? pictures : pictures * parts.length;
  for (let i = 0; i < pictures; i++) {
    const own = seed * 100_000 + i + 1;
    for (const part of finds ? [null] : parts) {
      signal?.throwIfAborted();
      recordings.push(
        part === null
          ? fullTrayRecording(parts, own, format, `${prefix}tray-${i + 1}`)
          : trayRecording(part, own, format, `${prefix}${part}-${i + 1}`),
      );
      onPicture?.(recordings.length, total);
      await nextTurn();
    }
  }
  const folder = dataFolderOf(project);
  const replaced = await changeData(folder, expected, async (listing) => {
    const before = new Set(listing.recordings.map(({ id }) => id).filter((id) => id.startsWith(prefix)));
    const kept = await removeRecordings(folder, listing, before);
    await addRecordings(folder, kept, recordings, undefined, signal);
    return before.size;
  });
  const objects = recordings.flatMap(({ boxes = [] }) => boxes);
  const countOf = (part: TrayPart) =>
    finds ? objects.filter(({ label }) => label === part).length : pictures;
  return {
    ...{ folder, recordings: recordings.length, replaced, width, height, channels, seed },
    labels: Object.fromEntries(parts.map((part) => [part, countOf(part)])),
    counted: finds ? 'objects' : 'pictures',
  };
}

/** Size of the result, in pixels, and its channels: 1 = gray, 3 = red, green and blue. */
interface TrayFormat {
  width: number;
  height: number;
  channels: 1 | 3;
  /** Field names, one for each channel. */
  fields: string[];
  /** Pixels per second, Hz. */
  rateHz: number;
}

/**
 * A picture of one part on a tray as a recording. The same part and seed yield the same picture, regardless of other pictures that are
 * drawn.
 */
export function trayRecording(part: TrayPart, seed: number, format: TrayFormat, id: string): Recording {
  const { width, height } = format;
  return recordingOf(drawTray(part, { width, height, seed }), format, id, part);
}

/** A picture of up to five parts on a tray as a recording, with their boxes. */
export function fullTrayRecording(
  parts: readonly TrayPart[],
  seed: number,
  format: TrayFormat,
  id: string,
): Recording {
  const { width, height } = format;
  const { picture, boxes } = drawFullTray(parts, { width, height, seed });
  return { ...recordingOf(picture, format, id, null), boxes };
}

function recordingOf(picture: Picture, format: TrayFormat, id: string, label: string | null): Recording {
  const { width, height, channels, fields, rateHz } = format;
  const planes = fitPicture(picture, { width, height, fit: 'stretch' }, channels);
  return {
    id,
    label,
    device: null,
    rateHz,
    startedAt: null,
    fields: [...fields],
    columns: planes.map((plane) => Float64Array.from(plane)),
    format: 'png',
    size: { width, height },
  };
}

/** Number of rays per pixel in each direction. */
const rays = 2;

/**
 * A camera's picture of a part on a tray. Random properties of the tray: material, color, texture, dust, scratches. Of the part: position,
 * direction, size, metal. Of the camera: tilt (perspective), focus, noise. Of the light: direction, brightness, fall-off across the tray.
 *
 * The plane of the tray has its origin at the picture's center, and its edges are about 1 away. A part is an outline (a signed distance) with a height.
 * It is shaded by the slope of its beveled edge, and casts a shadow away from the light.
 */
export function drawTray(
  part: TrayPart,
  { width, height, seed }: { width: number; height: number; seed: number },
): Picture {
  const random = seededRandom(seed * trayParts.length + trayParts.indexOf(part) + 77_000_000);
  return photographed(drawScene(part, random), { width, height }, random);
}

/** Maximum number of parts on a full tray. */
const mostParts = 5;

/**
 * Like `drawTray`, but with no to five smaller parts that do not overlap, and a box around each: the part's pixels, without its shadow.
 * The centers of two parts are at least 0.43 apart.
 */
export function drawFullTray(
  parts: readonly TrayPart[],
  { width, height, seed }: { width: number; height: number; seed: number },
): { picture: Picture; boxes: ObjectBox[] } {
  const random = seededRandom(seed + 78_000_000);
  const between = (low: number, high: number) => low + (high - low) * random();
  const scene = drawScene('empty', random);
  const wanted = Math.floor(random() * (mostParts + 1));
  const poses: Pose[] = [];
  // A part that does not fit is omitted.
  for (let turn = 0; turn < 20 * wanted && poses.length < wanted; turn++) {
    const part = parts[Math.floor(random() * parts.length)]!;
    const size = part === 'bolt' ? between(0.26, 0.34) : between(0.2, 0.27);
    const reach = 0.92 - size;
    const pose: Pose = {
      ...scene.poses[0]!,
      ...{ part, size, center: [between(-reach, reach), between(-reach, reach)] },
      ...{ angle: between(-Math.PI, Math.PI), hole: between(0.42, 0.58) },
    };
    const isApart = (other: Pose) => {
      const distance = Math.hypot(pose.center[0] - other.center[0], pose.center[1] - other.center[1]);
      return distance >= pose.size + other.size + 0.03;
    };
    if (poses.every(isApart)) poses.push(pose);
  }
  const full = { ...scene, poses };
  return {
    picture: photographed(full, { width, height }, random),
    boxes: poses.flatMap((pose) => boxAround(pose, full, { width, height })),
  };
}

/** The box around the pixels whose centers show the part; none if the part is smaller than a pixel. */
function boxAround(
  pose: Pose,
  { tilt }: Scene,
  { width, height }: { width: number; height: number },
): ObjectBox[] {
  const half = Math.min(width, height) / 2;
  let [left, top, right, bottom] = [width, height, -1, -1];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const at = placeOnTray(tilt, (x + 0.5 - width / 2) / half, (y + 0.5 - height / 2) / half);
      if (outline(pose, at) >= 0) continue;
      [left, top] = [Math.min(left, x), Math.min(top, y)];
      [right, bottom] = [Math.max(right, x), Math.max(bottom, y)];
    }
  }
  if (right < left) return [];
  return [{ label: pose.part, x: left, y: top, width: right - left + 1, height: bottom - top + 1 }];
}

/** The camera's picture of a scene. */
function photographed(
  scene: Scene,
  { width, height }: { width: number; height: number },
  random: Random,
): Picture {
  const light = new Float64Array(width * height * 3);
  const half = Math.min(width, height) / 2;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let ray = 0; ray < rays * rays; ray++) {
        const u = (x + ((ray % rays) + 0.5) / rays - width / 2) / half;
        const v = (y + (Math.floor(ray / rays) + 0.5) / rays - height / 2) / half;
        const seen = look(scene, u, v);
        for (let c = 0; c < 3; c++) light[(y * width + x) * 3 + c]! += seen[c]! / (rays * rays);
      }
    }
  }
  return { width, height, data: exposed(blurred(light, width, height, scene.blur), scene.noise, random) };
}

type Point = [x: number, y: number];
type Color = [red: number, green: number, blue: number];

/** A part and its place on the tray. */
interface Pose {
  part: TrayPart;
  center: Point;
  /** Radians. */
  angle: number;
  /** Outer radius, or half the length of a bolt. */
  size: number;
  /** Inner radius of a nut or washer, as a share of the outer one. */
  hole: number;
  metal: Color;
}

interface Scene {
  /** The parts; one named `empty` is not visible. */
  poses: Pose[];
  /** Perspective: a point (u, v) of the picture is (u, v) / (1 + tilt · (u, v)) on the tray. */
  tilt: Point;
  tray: Color;
  /** Stripes across the tray: depth, radians, and stripes per unit. */
  stripes: { depth: number; angle: number; count: number };
  specks: { at: Point; radius: number; dark: number }[];
  scratches: { at: Point; angle: number; length: number; dark: number }[];
  /** Direction to the light in the plane, brightness, and relative change across the tray. */
  light: { angle: number; level: number; slope: number };
  /** Length of a shadow. */
  shadow: number;
  /** Standard deviations: pixels, and steps of 255. */
  blur: number;
  noise: number;
}

function drawScene(part: TrayPart, random: Random): Scene {
  const between = (low: number, high: number) => low + (high - low) * random();
  const around = () => between(-Math.PI, Math.PI);
  const list = <T>(most: number, make: () => T) =>
    Array.from({ length: Math.floor(random() * (most + 1)) }, make);
  const point = (reach: number): Point => [between(-reach, reach), between(-reach, reach)];
  const tint = (level: number, spread: number): Color => [
    level * between(1 - spread, 1 + spread),
    level,
    level * between(1 - spread, 1 + spread),
  ];
  const size = between(0.36, 0.6);
  const tilt = point(0.16);
  const pose: Pose = {
    part,
    center: point(0.8 - size),
    angle: around(),
    size,
    hole: between(0.42, 0.58),
    metal: tint(between(0.55, 0.85), 0.06),
  };
  return {
    poses: [pose],
    tilt,
    tray: tint(between(0.15, 0.5), 0.25),
    stripes: { depth: random() < 0.5 ? between(0.05, 0.25) : 0, angle: around(), count: between(2, 9) },
    specks: list(5, () => ({ at: point(1), radius: between(0.02, 0.07), dark: between(-0.25, 0.5) })),
    scratches: list(3, () => ({
      at: point(1),
      angle: around(),
      length: between(0.2, 0.9),
      dark: between(-0.3, 0.3),
    })),
    light: { angle: around(), level: between(0.65, 1.25), slope: between(0, 0.35) },
    shadow: between(0.03, 0.14),
    blur: between(0, 0.9),
    noise: between(1.5, 7),
  };
}

/** Light that the camera receives from a point of the picture: 0…1 for each color. */
function look(scene: Scene, u: number, v: number): Color {
  const at = placeOnTray(scene.tilt, u, v);
  const { angle, level, slope } = scene.light;
  const toLight: Point = [Math.cos(angle), Math.sin(angle)];
  const lit = level * (1 + slope * (at[0] * toLight[0] + at[1] * toLight[1]));
  for (const pose of scene.poses) {
    const distance = outline(pose, at);
    if (distance < 0) return metalAt(pose, at, distance, toLight).map((value) => value * lit) as Color;
  }
  const behind: Point = [at[0] + scene.shadow * toLight[0], at[1] + scene.shadow * toLight[1]];
  // A shadow's edge becomes softer with the distance from the part.
  const nearest = scene.poses.reduce((least, pose) => Math.min(least, outline(pose, behind)), 1);
  const shade = smooth(-nearest / (0.5 * scene.shadow) + 0.5);
  const surface = trayAt(scene, at) * (1 - 0.6 * shade);
  return scene.tray.map((value) => value * surface * lit) as Color;
}

/** The point of the tray that is seen at a point of the picture. */
function placeOnTray(tilt: Point, u: number, v: number): Point {
  const depth = 1 + tilt[0] * u + tilt[1] * v;
  return [u / depth, v / depth];
}

function trayAt({ stripes, specks, scratches }: Scene, [x, y]: Point): number {
  let value = 1;
  if (stripes.depth > 0) {
    const along = x * Math.cos(stripes.angle) + y * Math.sin(stripes.angle);
    value += stripes.depth * Math.sin(Math.PI * stripes.count * along);
  }
  for (const { at, radius, dark } of specks)
    value *= 1 - dark * smooth(1.5 - Math.hypot(x - at[0], y - at[1]) / radius);
  for (const { at, angle, length, dark } of scratches) {
    const [dx, dy] = [x - at[0], y - at[1]];
    const along = Math.abs(dx * Math.cos(angle) + dy * Math.sin(angle));
    const across = Math.abs(dy * Math.cos(angle) - dx * Math.sin(angle));
    if (along < length / 2) value *= 1 - dark * smooth(1.5 - across / 0.015);
  }
  return Math.max(0, value);
}

/** Width of the beveled edge. */
const bevel = 0.07;

function metalAt(pose: Pose, at: Point, distance: number, toLight: Point): Color {
  const step = 1e-3;
  const slopeX = (outline(pose, [at[0] + step, at[1]]) - distance) / step;
  const slopeY = (outline(pose, [at[0], at[1] + step]) - distance) / step;
  const edge = smooth(1 + distance / bevel);
  const facing = edge * (slopeX * toLight[0] + slopeY * toLight[1]);
  const thread = pose.part === 'bolt' ? threadAt(pose, at) : 0;
  const shine = Math.max(0, facing) ** 4 * 0.5;
  const level = 0.85 + 0.45 * facing + thread;
  return pose.metal.map((value) => Math.max(0, value * level + shine)) as Color;
}

/** The part's own coordinates: x along a bolt. */
function turned({ center, angle, size }: Pose, [x, y]: Point): Point {
  const [dx, dy] = [(x - center[0]) / size, (y - center[1]) / size];
  return [dx * Math.cos(angle) + dy * Math.sin(angle), dy * Math.cos(angle) - dx * Math.sin(angle)];
}

function threadAt(pose: Pose, at: Point): number {
  const [x] = turned(pose, at);
  return x > -0.4 ? 0.18 * Math.sin(x * 40) : 0;
}

/** Signed distance from the outline: negative inside, as on the tray. */
function outline(pose: Pose, at: Point): number {
  const own = turned(pose, at);
  const { part, hole, size } = pose;
  const radius = Math.hypot(...own);
  switch (part) {
    case 'empty':
      return 1;
    case 'washer':
      return size * Math.max(radius - 1, hole - radius);
    case 'nut':
      return size * Math.max(hexagon(own) - 0.95, hole - radius);
    case 'bolt':
      return size * Math.min(box(own, [-0.8, 0], [0.24, 0.5]), box(own, [0.2, 0], [0.85, 0.24]));
  }
}

/** Largest distance in the directions of the three pairs of sides. */
function hexagon([x, y]: Point): number {
  const half = Math.sqrt(3) / 2;
  return Math.max(Math.abs(y), Math.abs(half * x + y / 2), Math.abs(half * x - y / 2)) / half;
}

function box([x, y]: Point, [cx, cy]: Point, [w, h]: Point): number {
  return Math.max(Math.abs(x - cx) - w, Math.abs(y - cy) - h);
}

/** 0 below 0, 1 above 1, and smooth between them. */
function smooth(value: number): number {
  const t = Math.min(1, Math.max(0, value));
  return t * t * (3 - 2 * t);
}

/** A Gaussian blur, by rows and by columns; pixels beyond the edge are those at the edge. */
function blurred(light: Float64Array, width: number, height: number, deviation: number): Float64Array {
  if (deviation < 0.3) return light;
  const reach = Math.ceil(2.5 * deviation);
  const weights = Array.from({ length: 2 * reach + 1 }, (_, i) =>
    Math.exp(-((i - reach) ** 2) / (2 * deviation ** 2)),
  );
  const sum = weights.reduce((all, weight) => all + weight, 0);
  const pass = (from: Float64Array, dx: number, dy: number) => {
    const out = new Float64Array(from.length);
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        weights.forEach((weight, i) => {
          const atX = Math.min(width - 1, Math.max(0, x + (i - reach) * dx));
          const atY = Math.min(height - 1, Math.max(0, y + (i - reach) * dy));
          for (let c = 0; c < 3; c++)
            out[(y * width + x) * 3 + c]! += (weight / sum) * from[(atY * width + atX) * 3 + c]!;
        });
      }
    }
    return out;
  };
  return pass(pass(light, 1, 0), 0, 1);
}

/** Gamma of a camera's 8-bit values, which are not linear in light. */
const gamma = 1 / 1.8;

function exposed(light: Float64Array, noise: number, random: Random): Uint8Array {
  return Uint8Array.from(light, (value) => {
    const level = 255 * Math.min(1, Math.max(0, value)) ** gamma + noise * gaussian(random);
    return Math.min(255, Math.max(0, Math.round(level)));
  });
}

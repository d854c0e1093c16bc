import { readdir } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join } from 'node:path';
import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { readJson, readText, requireFile } from '../../core/files.js';
import { issueText } from '../../core/issues.js';
import { readXml, type XmlElement } from '../../formats/xml.js';
import type { Region } from '../../vision/picture.js';

/** A box around an object, in pixels of the picture's file; the origin is the upper left corner. */
export interface Box extends Region {
  label: string;
  /** Whether the box surrounds several objects of the label (COCO's `iscrowd`). */
  crowd: boolean;
  /** Location for error messages: the file, and the annotation's number. */
  place: string;
}

/** A picture's file with its boxes. */
export interface AnnotatedPicture {
  /** Path of the picture's file, which exists. */
  file: string;
  /** Size according to the annotations, in pixels; null = not specified. */
  size: { width: number; height: number } | null;
  boxes: Box[];
}

/** Whether a file's extension indicates annotations: JSON for COCO, XML for Pascal VOC. */
export function isAnnotations(file: string): boolean {
  return /\.(json|xml)$/i.test(file);
}

/**
 * Reads the annotations of a COCO file or a Pascal VOC file, or of a folder of Pascal VOC files.
 * @param pictures folder of the pictures; absent = beside the annotations, or in `images` or `JPEGImages` in or beside their folder
 * @throws AIOT_FILE_MALFORMED, AIOT_FILE_NOT_FOUND (a picture), AIOT_FILE_NOT_READABLE
 */
export async function readAnnotations(
  files: readonly string[],
  pictures: string | undefined,
): Promise<AnnotatedPicture[]> {
  const out: AnnotatedPicture[] = [];
  for (const file of files) {
    const places = placesOf(file, pictures);
    if (/\.xml$/i.test(file)) out.push(await readVoc(file, places));
    else out.push(...(await readCoco(file, places)));
  }
  return out;
}

/** Pascal VOC files in a folder or in its `Annotations`, sorted; empty if there are none. */
export async function vocFilesIn(folder: string): Promise<string[]> {
  for (const at of [folder, join(folder, 'Annotations')]) {
    const names = await readdir(at).catch(() => []);
    const files = names.filter((name) => /^[^.].*\.xml$/i.test(name)).sort();
    if (files.length > 0) return files.map((name) => join(at, name));
  }
  return [];
}

/** Folders that may contain the annotated pictures. */
function placesOf(file: string, pictures: string | undefined): string[] {
  if (pictures !== undefined) return [pictures];
  const own = dirname(file);
  return ['', 'images', 'JPEGImages', '../images', '../JPEGImages'].map((name) => join(own, name));
}

async function findPicture(name: string, places: readonly string[], from: string): Promise<string> {
  const parts = name.split(/[\\/]/);
  // A downloaded file must not determine which other files on this machine are read.
  if (isAbsolute(name) || /^[A-Za-z]:/.test(name) || parts.includes('..') || name.trim() === '')
    throw malformed(from, `expected the name of a picture within its folder, got "${name}"`);
  for (const place of places) {
    const file = join(place, ...parts);
    const missing = await requireFile(file).catch((error: unknown) => error);
    if (missing === undefined) return file;
    if (!(missing instanceof AiotError && missing.code === 'AIOT_FILE_NOT_FOUND')) throw missing;
  }
  throw new AiotError('AIOT_FILE_NOT_FOUND', `${from}: the picture ${name} is not in ${places[0]}`, {
    next: 'Name the folder of the pictures with `--pictures FOLDER`.',
  });
}

function malformed(place: string, reason: string): AiotError {
  return new AiotError('AIOT_FILE_MALFORMED', `${place}: ${reason}`);
}

const key = z.union([z.int(), z.string()]);

/**
 * The parts of COCO's object detection format that the reader uses. Unknown members are ignored, because tools add their own members.
 */
const cocoSchema = z.object({
  images: z.array(
    z.object({
      id: key,
      file_name: z.string(),
      width: z.int().positive().optional(),
      height: z.int().positive().optional(),
    }),
  ),
  categories: z.array(z.object({ id: key, name: z.string() })),
  annotations: z.array(
    z.object({
      id: key.optional(),
      image_id: key,
      category_id: key,
      bbox: z.tuple([z.number(), z.number(), z.number(), z.number()]),
      iscrowd: z.union([z.literal(0), z.literal(1), z.boolean()]).optional(),
    }),
  ),
});

/** COCO (https://cocodataset.org/#format-data): `bbox` is [x, y, width, height] from the upper left corner, and may be fractional. */
async function readCoco(file: string, places: readonly string[]): Promise<AnnotatedPicture[]> {
  const value = await readJson(file);
  const parsed = cocoSchema.safeParse(value);
  if (!parsed.success) throw malformed(file, issueText(parsed.error, 'the file', value));
  const { images, categories, annotations } = parsed.data;
  const names = new Map(categories.map(({ id, name }) => [id, name]));
  const boxes = new Map<string | number, Box[]>();
  for (const { id } of images) {
    if (boxes.has(id)) throw malformed(file, `two pictures have the id ${id}`);
    boxes.set(id, []);
  }
  for (const [i, { id, image_id, category_id, bbox, iscrowd }] of annotations.entries()) {
    const place = `${file}: annotation ${id ?? i + 1}`;
    const own = boxes.get(image_id);
    if (!own) throw malformed(place, `expected image_id to be the id of one of the images, got ${image_id}`);
    const label = names.get(category_id);
    if (label === undefined)
      throw malformed(
        place,
        `expected category_id to be the id of one of the categories, got ${category_id}`,
      );
    const [x, y, width, height] = bbox;
    own.push({ x, y, width, height, label, crowd: Boolean(iscrowd), place });
  }
  const out: AnnotatedPicture[] = [];
  for (const { id, file_name, width, height } of images) {
    const size = width !== undefined && height !== undefined ? { width, height } : null;
    const picture = await findPicture(file_name, places, `${file}: image ${id}`);
    out.push({ file: picture, size, boxes: boxes.get(id)! });
  }
  return out;
}

/**
 * Pascal VOC (Everingham et al., The PASCAL Visual Object Classes Challenge 2012 Development Kit, section 5). The first pixel has the coordinate 1.
 * `xmax` and `ymax` are within the box.
 */
async function readVoc(file: string, places: readonly string[]): Promise<AnnotatedPicture> {
  const root = readXml(await readText(file), file);
  if (root.name !== 'annotation') throw malformed(file, `expected <annotation>, got <${root.name}>`);
  const name = basename(requireText(root, 'filename', file).replaceAll('\\', '/'));
  const size = childOf(root, 'size');
  const [width, height] = size
    ? ['width', 'height'].map((side) => requireNumber(size, side, `${file}: size`))
    : [0, 0];
  const boxes = root.children
    .filter((child) => child.name === 'object')
    .map((object, i): Box => {
      const place = `${file}: object ${i + 1}`;
      const bounds = childOf(object, 'bndbox');
      if (!bounds) throw malformed(place, 'expected <bndbox>');
      const [x, y, right, bottom] = ['xmin', 'ymin', 'xmax', 'ymax'].map((side) =>
        requireNumber(bounds, side, place),
      ) as [number, number, number, number];
      const label = requireText(object, 'name', place);
      return { label, crowd: false, place, x: x - 1, y: y - 1, width: right - x + 1, height: bottom - y + 1 };
    });
  // Some tools write 0 if they do not know the size.
  const known = width! > 0 && height! > 0 ? { width: width!, height: height! } : null;
  return { file: await findPicture(name, places, file), size: known, boxes };
}

function childOf(element: XmlElement, name: string): XmlElement | undefined {
  return element.children.find((child) => child.name === name);
}

function requireText(element: XmlElement, name: string, place: string): string {
  const text = childOf(element, name)?.text.trim();
  if (text) return text;
  throw malformed(place, `expected <${name}> to contain text`);
}

function requireNumber(element: XmlElement, name: string, place: string): number {
  const text = requireText(element, name, place);
  const value = Number(text);
  if (Number.isFinite(value)) return value;
  throw malformed(place, `<${name}>: expected a number, got "${text}"`);
}

import { AiotError } from '../../core/errors.js';
import { readBytes } from '../../core/files.js';
import { namePattern } from '../../core/names.js';
import { cropPicture } from '../../vision/fit.js';
import { decodePicture, type Picture, type Region } from '../../vision/picture.js';
import { type Expected, fittedBoxes, fittedColumns, idOfFile } from '../dataset/read.js';
import type { ObjectBox, Recording } from '../types.js';
import type { AnnotatedPicture, Box } from './annotations.js';

/** How boxes are used. `crop` = one recording per box; `picture` = the whole picture, with the label of its boxes; `keep` = the whole picture, with its boxes. */
export const boxUses = ['crop', 'picture', 'keep'] as const;

export type BoxUse = (typeof boxUses)[number];

/** Numbers of annotations that were not imported. */
export interface Unused {
  /** Pictures without any box. */
  unlabeled: number;
  /** Boxes that surround several objects (COCO's `iscrowd`). */
  crowds: number;
  /** Boxes with labels that are missing in model.labels. */
  unknown: number;
  /** Boxes whose center is cut off when the picture is fitted to the project's size. */
  cropped: number;
}

interface BoxOptions {
  use: BoxUse;
  /** Skip boxes with labels that are missing in model.labels, instead of rejecting them. */
  knownOnly: boolean;
  signal?: AbortSignal | undefined;
}

/** Margin around a box's crop, as a share of the box's longer side. */
const margin = 0.1;

/**
 * Converts annotated pictures to recordings, fitted to the project's size. With `keep`, pictures without boxes are included, because they
 * teach a model the background. Pictures with several objects in one box are omitted, because the individual objects are unknown.
 * @throws AIOT_LABEL_UNKNOWN, AIOT_LABELS_SEVERAL (`picture`), AIOT_FILE_MALFORMED (a box outside of its picture, a picture of another
 *   size), AIOT_USAGE (a file name that is not a valid recording name), AIOT_ALREADY_EXISTS (two recordings of one name), AIOT_DATA_COLUMNS
 */
export async function recordingsOfBoxes(
  pictures: readonly AnnotatedPicture[],
  expected: Expected,
  { use, knownOnly, signal }: BoxOptions,
): Promise<{ recordings: Recording[]; unused: Unused }> {
  const unused: Unused = { unlabeled: 0, crowds: 0, unknown: 0, cropped: 0 };
  const recordings: Recording[] = [];
  const files = new Map<string, string>();
  for (const picture of pictures) {
    signal?.throwIfAborted();
    const { file } = picture;
    const { crowds } = unused;
    const boxes = usableBoxes(picture.boxes, expected, knownOnly, unused);
    if (use === 'keep' ? unused.crowds > crowds : boxes.length === 0) {
      if (picture.boxes.length === 0) unused.unlabeled++;
      continue;
    }
    const id = idOfFile(file);
    const before = files.get(id);
    if (before !== undefined) {
      throw new AiotError('AIOT_ALREADY_EXISTS', `${before} and ${file} have the same recording name`, {
        subject: 'recording',
        next: 'Rename one of the pictures, and its entry in the annotations.',
      });
    }
    files.set(id, file);
    const whole = await decodedAs(picture);
    const regions = boxes.map((box) => within(box, whole));
    const common = { device: null, rateHz: expected.rateHz, startedAt: null, fields: expected.fields };
    const add = (own: string, label: string | null, part: Picture, kept?: ObjectBox[]) => {
      if (!namePattern.test(own)) throw badName(file);
      const columns = fittedColumns(part, file, expected);
      recordings.push({ ...common, id: own, label, ...columns, ...(kept && { boxes: kept }) });
    };
    if (use === 'keep') {
      const objects = boxes.map(({ label }, i) => ({ label, ...regions[i]! }));
      const kept = expected.image ? fittedBoxes(objects, whole, expected.image, file) : [];
      unused.cropped += objects.length - kept.length;
      add(id, null, whole, kept);
    } else if (use === 'picture') add(id, singleLabel(boxes, file), whole);
    else
      for (const [i, { label }] of boxes.entries())
        add(`${id}-${i + 1}`, label, cropPicture(whole, aroundBox(regions[i]!, whole, expected.image)));
  }
  return { recordings, unused };
}

function usableBoxes(boxes: readonly Box[], { labels }: Expected, knownOnly: boolean, unused: Unused): Box[] {
  return boxes.filter(({ label, crowd, place }) => {
    if (labels.includes(label)) {
      if (crowd) unused.crowds++;
      return !crowd;
    }
    if (!knownOnly) {
      throw new AiotError(
        'AIOT_LABEL_UNKNOWN',
        `${place}: expected a label of model.labels (${labels.join(', ')}), got "${label}"`,
        { next: 'Add the label to a class in aiot.yaml, or skip such boxes with `--known-only`.' },
      );
    }
    unused.unknown++;
    return false;
  });
}

/** The decoded picture. Requires the size that the annotations state. */
async function decodedAs({ file, size }: AnnotatedPicture): Promise<Picture> {
  const picture = await decodePicture(await readBytes(file), file);
  const { width, height } = picture;
  if (!size || (size.width === width && size.height === height)) return picture;
  const turned = size.width === height && size.height === width;
  throw new AiotError(
    'AIOT_FILE_MALFORMED',
    `${file}: expected ${size.width} × ${size.height} pixels according to the annotations, got ${width} × ${height}`,
    {
      subject: 'annotations',
      ...(turned && {
        next: 'The picture is rotated by its EXIF data. Draw the boxes in a program that respects EXIF data, or remove the rotation from the file.',
      }),
    },
  );
}

/** The part of a box that is within the picture, because tools write boxes that extend some pixels beyond the edges. */
function within({ x, y, width, height, place }: Box, picture: Picture): Region {
  const [left, top] = [Math.max(0, x), Math.max(0, y)];
  const [right, bottom] = [Math.min(picture.width, x + width), Math.min(picture.height, y + height)];
  if (right > left && bottom > top) return { x: left, y: top, width: right - left, height: bottom - top };
  throw new AiotError(
    'AIOT_FILE_MALFORMED',
    `${place}: expected a box within ${picture.width} × ${picture.height} pixels, got ${width} × ${height} at ${x}, ${y}`,
    { subject: 'annotations' },
  );
}

/** A region around a box with a margin, widened to the model's proportions where the picture is large enough, so that fitting keeps the whole object. */
export function aroundBox(box: Region, picture: Picture, image: Expected['image']): Region {
  const room = 2 * margin * Math.max(box.width, box.height);
  const ratio = image ? image.width / image.height : 1;
  const width = Math.max(box.width + room, (box.height + room) * ratio);
  const across = span(box.x + box.width / 2, width, picture.width);
  const down = span(box.y + box.height / 2, width / ratio, picture.height);
  return { x: across.from, y: down.from, width: across.size, height: down.size };
}

/** A span of whole pixels around a center, moved into 0…length. */
function span(center: number, wanted: number, length: number): { from: number; size: number } {
  const size = Math.min(length, Math.max(1, Math.round(wanted)));
  return { from: Math.min(length - size, Math.max(0, Math.round(center - size / 2))), size };
}

function singleLabel(boxes: readonly Box[], file: string): string {
  const labels = [...new Set(boxes.map(({ label }) => label))];
  if (labels.length === 1) return labels[0]!;
  throw new AiotError(
    'AIOT_LABELS_SEVERAL',
    `${file}: expected boxes of one label, got ${labels.join(', ')}`,
  );
}

function badName(file: string): AiotError {
  return new AiotError(
    'AIOT_USAGE',
    `${file}: expected a file name of at most 60 letters, digits, dots, dashes and underscores that starts and ends with a letter or digit`,
    { next: 'Rename the picture, and its entry in the annotations.' },
  );
}

import type { Dirent } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { sha256Hex } from '../../core/crypto.js';
import { AiotError, systemCode } from '../../core/errors.js';
import { readBytes, requireFile } from '../../core/files.js';
import { parseCsv } from '../../formats/csv/parse.js';
import { pcm16 } from '../../formats/wav.js';
import { resampled } from '../../signal/band-limited.js';
import type { ImageSpec } from '../../signal/spec.js';
import { fitPicture, fitRegion } from '../../vision/fit.js';
import { decodePicture, type Picture } from '../../vision/picture.js';
import type { ObjectBox, Recording } from '../types.js';
import { type Listing, type ListingEntry, listingFile, recordingFile } from './listing.js';
import { isSound, readSound, soundExtensions } from './sound.js';

/** Requirements for recordings. */
export interface Expected {
  fields: string[];
  rateHz: number;
  /** Known labels, for recognizing a label in a file's name. */
  labels: string[];
  /** Size and channels of pictures (1 = gray); null if recordings are not pictures. */
  image: (ImageSpec & { channels: 1 | 3 }) | null;
}

/** Extensions of recordings' files. */
const extension = new RegExp(`\\.(csv|${soundExtensions}|png|jpe?g)$`, 'i');

/** Extensions of recordings that are not pictures, and of pictures. */
const samplesExtension = new RegExp(`\\.(csv|${soundExtensions})$`, 'i');
const pictureExtension = /\.(png|jpe?g)$/i;

/**
 * Paths of a folder's CSV and sound files, sorted; for a project of pictures, those of JPEG and PNG files in the folder and in its direct subfolders.
 * @throws AIOT_FILE_NOT_FOUND (also for a broken link), AIOT_FILE_NOT_READABLE (a pipe), AIOT_ALREADY_EXISTS (two recordings of one name)
 */
export async function recordingFilesIn(
  folder: string,
  expected?: Pick<Expected, 'image' | 'labels'>,
): Promise<string[]> {
  const pictures = expected?.image != null;
  const wanted = pictures ? pictureExtension : samplesExtension;
  const found = (await entriesOf(folder)).filter(({ name }) => !name.startsWith('.'));
  const inner = pictures ? found.filter((entry) => entry.isDirectory()) : [];
  const files = found.filter((entry) => !inner.includes(entry)).map(({ name }) => join(folder, name));
  for (const { name } of inner) {
    for (const entry of await entriesOf(join(folder, name)))
      if (!entry.name.startsWith('.')) files.push(join(folder, name, entry.name));
  }
  return await distinctFiles(files.filter((file) => wanted.test(file)).sort(), expected);
}

async function entriesOf(folder: string): Promise<Dirent[]> {
  return await readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
    throw new AiotError('AIOT_FILE_NOT_FOUND', `cannot read the folder ${folder} (${systemCode(error)})`, {
      cause: error,
    });
  });
}

async function distinctFiles(
  files: string[],
  expected: Pick<Expected, 'labels'> | undefined,
): Promise<string[]> {
  for (const file of files) await requireFile(file);
  const seen = new Map<string, string>();
  for (const file of files) {
    const before = seen.get(idOfFile(file, expected));
    if (before !== undefined) {
      throw new AiotError('AIOT_ALREADY_EXISTS', `${before} and ${file} have the same recording name`, {
        subject: 'recording',
        next: 'Rename one of the files.',
      });
    }
    seen.set(idOfFile(file, expected), file);
  }
  return files;
}

/** A file's name without extension. In a folder named after a label, the label is prefixed to a picture's name: `nut/7.jpg` is nut-7. */
export function idOfFile(file: string, expected?: Pick<Expected, 'labels'>): string {
  const name = withoutExtension(basename(file));
  const folder = folderLabel(file, expected);
  return folder === null || name.startsWith(folder) ? name : `${folder}-${name}`;
}

/** The label after which a picture's folder is named; null if there is none. */
function folderLabel(file: string, expected?: Pick<Expected, 'labels'>): string | null {
  const folder = basename(dirname(file));
  return isPicture(file) && expected?.labels.includes(folder) ? folder : null;
}

export function withoutExtension(path: string): string {
  return path.replace(extension, '');
}

export function isPicture(file: string): boolean {
  return pictureExtension.test(file);
}

/**
 * Reads an unlisted file: its label comes from its name, or from a picture's folder, and its rate from the project. Sound is resampled to
 * that rate, and pictures are fitted to the project's size.
 */
export async function readLoose(file: string, expected: Expected): Promise<Recording> {
  const id = idOfFile(file, expected);
  const bytes = await readBytes(file);
  const { fields, rateHz } = expected;
  const common = {
    id,
    label: folderLabel(file, expected) ?? labelOfName(id, expected.labels),
    device: null,
    rateHz,
    startedAt: null,
    fields,
  };
  if (isPicture(file)) return { ...common, ...(await pictureColumns(bytes, file, expected)) };
  if (!isSound(file)) return { ...common, columns: parseCsv(bytes, file, fields).data };
  const { columns, originalHz } = await soundColumns(bytes, file, expected);
  return {
    ...common,
    columns,
    // A WAV header can store only integer rates.
    ...(Number.isInteger(rateHz) && { format: 'wav' }),
    ...(originalHz !== rateHz && { originalHz }),
  };
}

/**
 * The pixels of a picture as the columns of a project's fields.
 * @throws AIOT_FILE_MALFORMED, AIOT_DATA_COLUMNS (a project without pictures)
 */
export async function pictureColumns(
  bytes: Uint8Array,
  file: string,
  expected: Pick<Expected, 'image' | 'fields'>,
): Promise<Pick<Recording, 'columns' | 'format' | 'size'>> {
  requirePictures(file, expected);
  return fittedColumns(await decodePicture(bytes, file), file, expected);
}

/**
 * Boxes of a picture as they are in the fitted picture, to a hundredth of a pixel. Objects whose center is cut off are omitted.
 * @throws AIOT_FILE_MALFORMED (a box that is outside of the picture)
 */
export function fittedBoxes(
  boxes: readonly ObjectBox[],
  picture: Pick<Picture, 'width' | 'height'>,
  image: ImageSpec,
  place: string,
): ObjectBox[] {
  const round = (value: number) => Math.round(value * 100) / 100;
  return boxes.flatMap((box, i) => {
    const { label, x, y, width, height } = box;
    if (x >= picture.width || y >= picture.height || x + width <= 0 || y + height <= 0) {
      throw new AiotError(
        'AIOT_FILE_MALFORMED',
        `${place}: box ${i + 1}: expected a box within ${picture.width} × ${picture.height} pixels, got ${width} × ${height} at ${x}, ${y}`,
        { next: 'Correct the box in dataset.json, or import the annotations again.' },
      );
    }
    const fitted = fitRegion(box, picture, image);
    if (!fitted) return [];
    return [
      {
        label,
        ...{ x: round(fitted.x), y: round(fitted.y) },
        ...{ width: round(fitted.width), height: round(fitted.height) },
      },
    ];
  });
}

/** The pixels of a decoded picture, fitted to the project's size. @throws AIOT_DATA_COLUMNS (a project without pictures) */
export function fittedColumns(
  picture: Picture,
  file: string,
  expected: Pick<Expected, 'image' | 'fields'>,
): Pick<Recording, 'columns' | 'format' | 'size'> {
  const image = requirePictures(file, expected);
  const { width, height, channels } = image;
  const planes = fitPicture(picture, image, channels);
  return { columns: planes.map((plane) => Float64Array.from(plane)), format: 'png', size: { width, height } };
}

function requirePictures(file: string, { image, fields }: Pick<Expected, 'image' | 'fields'>) {
  if (!image)
    throw new AiotError(
      'AIOT_DATA_COLUMNS',
      `${file}: expected samples of ${fields.join(', ')}, got a picture`,
      {
        next: 'For pictures, set signal.features: image in aiot.yaml.',
      },
    );
  return image;
}

/**
 * The channels of a sound file as the columns of these fields, at this rate: 16-bit values from −1 to 1. A single field is the mean of all
 * channels; otherwise each field is the channel at its position.
 * @param expected.rateHz null = the file's rate
 * @throws AIOT_FILE_MALFORMED, AIOT_PROGRAM_NOT_FOUND, AIOT_DATA_COLUMNS (another number of channels)
 */
export async function soundColumns(
  bytes: Uint8Array,
  file: string,
  { fields, rateHz }: { fields: readonly string[]; rateHz: number | null },
): Promise<{ columns: Float64Array[]; originalHz: number }> {
  const { channels, rateHz: originalHz } = await readSound(bytes, file);
  if (fields.length !== 1 && fields.length !== channels.length) {
    throw new AiotError(
      'AIOT_DATA_COLUMNS',
      `${file}: expected a channel for each of the fields ${fields.join(', ')}, got ${channels.length}`,
      {
        next: 'In stream.fields, declare one field for each channel, or a single field for the mean of all channels.',
      },
    );
  }
  const mixed = fields.length === 1 ? [meanOf(channels)] : channels;
  return { columns: soundAt(rateHz ?? originalHz, mixed, originalHz), originalHz };
}

/** Sound at another rate, as 16-bit values from −1 to 1. @param rateHz Hz of the result */
export function soundAt(rateHz: number, channels: Float64Array[], originalHz: number): Float64Array[] {
  return resampled(channels, originalHz, rateHz).map((column) => column.map(pcm16));
}

function meanOf(channels: Float64Array[]): Float64Array {
  if (channels.length === 1) return channels[0]!;
  return channels[0]!.map(
    (_, i) => channels.reduce((sum, channel) => sum + channel[i]!, 0) / channels.length,
  );
}

/**
 * Rejects a dataset.json whose recordings have fields other than the project's, before recordings are added to it.
 * @throws AIOT_DATA_COLUMNS, with the steps to replace the recordings
 */
export function refuseOtherFields(folder: string, listing: Listing, { fields }: Expected): void {
  const same =
    fields.length === listing.fields.length && fields.every((name) => listing.fields.includes(name));
  if (!same) throw otherFields(folder, listing, fields);
}

function otherFields(folder: string, listing: Listing, fields: string[]): AiotError {
  const got = listing.fields.join(', ');
  return new AiotError(
    'AIOT_DATA_COLUMNS',
    `${listingFile(folder)}: expected the fields ${fields.join(', ')}, got ${got}`,
    {
      next: `To replace these recordings with your own, delete dataset.json and the folder recordings in ${folder}, then import yours. To keep these recordings, set stream.fields in aiot.yaml to ${got}.`,
    },
  );
}

/**
 * Reads all recordings listed in dataset.json, each verified against its digest.
 * @throws AIOT_DATA_COLUMNS, AIOT_DATA_RATE, AIOT_DATA_CHANGED (a listed file is missing or has changed, or a file is not listed)
 */
export async function readListed(folder: string, listing: Listing, expected: Expected): Promise<Recording[]> {
  const { fields } = expected;
  if (fields.some((field) => !listing.fields.includes(field))) {
    throw otherFields(folder, listing, fields);
  }
  await refuseUnlisted(folder, listing, expected);
  const recordings: Recording[] = [];
  for (const entry of listing.recordings) {
    const { id, label, device, rateHz, startedAt, missing, samples, format, boxes, sha256 } = entry;
    if (rateHz !== expected.rateHz) {
      throw new AiotError(
        'AIOT_DATA_RATE',
        `recording ${id}: expected ${expected.rateHz} samples per second (signal.rate), got ${rateHz}`,
      );
    }
    const file = recordingFile(folder, entry);
    const bytes = await readBytes(file).catch((error: unknown) => {
      throw new AiotError('AIOT_DATA_CHANGED', `dataset.json lists ${id}, but ${file} is not readable`, {
        next: `Restore the file, or remove the recording with \`aiot data remove ${id}\`.`,
        cause: error,
      });
    });
    if (sha256Hex(bytes) !== sha256) {
      throw new AiotError('AIOT_DATA_CHANGED', `${file} does not match dataset.json: its SHA-256 differs`);
    }
    if (format === 'png') {
      const own = { id, label, device, rateHz, startedAt, fields };
      const image = requirePictures(file, expected);
      const picture = await decodePicture(bytes, file);
      const objects = boxes && fittedBoxes(boxes, picture, image, `${listingFile(folder)}: recording ${id}`);
      recordings.push({
        ...own,
        ...fittedColumns(picture, file, expected),
        ...(objects && { boxes: objects }),
      });
      continue;
    }
    const data = await listedColumns(bytes, file, listing, entry);
    if (data[0]!.length !== samples) {
      throw new AiotError('AIOT_DATA_CHANGED', `${file}: expected ${samples} rows, got ${data[0]!.length}`);
    }
    const columns = fields.map((field) => data[listing.fields.indexOf(field)]!);
    recordings.push({
      ...{ id, label, device, rateHz, startedAt, missing, fields, columns },
      ...(format && { format }),
    });
  }
  return recordings;
}

/** One column for each field of the listing. */
async function listedColumns(
  bytes: Uint8Array,
  file: string,
  { fields }: Listing,
  { format, rateHz }: ListingEntry,
): Promise<Float64Array[]> {
  if (format !== 'wav') return parseCsv(bytes, file, fields).data;
  return (await soundColumns(bytes, file, { fields, rateHz })).columns;
}

async function refuseUnlisted(folder: string, listing: Listing, expected: Expected): Promise<void> {
  if (listing.recordings.length === 0) return;
  const listed = new Set(listing.recordings.map(({ id }) => id));
  const stray = (await recordingFilesIn(join(folder, 'recordings'), expected)).find(
    (file) => !listed.has(idOfFile(file, expected)),
  );
  if (stray === undefined) return;
  throw new AiotError('AIOT_DATA_CHANGED', `${stray} is not listed in dataset.json`, {
    next: `Import it with \`aiot data import ${join(folder, 'recordings')}\`, or delete it.`,
  });
}

/**
 * Derives the label from a file's name: the longest known label at the start of the name, or the leading words (`walking12.csv` → walking,
 * `air_leak_01.csv` → air_leak). A last word of one letter distinguishes recordings (`walk_a.csv` → walk). Null if there is neither.
 */
export function labelOfName(name: string, known: readonly string[] = []): string | null {
  const fits = known.filter((label) => name.startsWith(label) && !/^[A-Za-z]/.test(name.slice(label.length)));
  const [longest] = fits.sort((a, b) => b.length - a.length);
  return longest ?? /^[A-Za-z]+(?:[-_. ][A-Za-z]{2,}(?![A-Za-z]))*/.exec(name)?.[0] ?? null;
}

import { join } from 'node:path';
import * as z from 'zod';
import { AiotError, unless } from '../../core/errors.js';
import { readJson, writeJsonAtomic } from '../../core/files.js';
import { issueText } from '../../core/issues.js';
import { namePattern } from '../../core/names.js';

/** A box around an object, in pixels of the picture's file. */
export const boxSchema = z.strictObject({
  label: z.string().min(1),
  x: z.number(),
  y: z.number(),
  width: z.number().positive(),
  height: z.number().positive(),
});

const recordingEntry = z.strictObject({
  id: z.string().regex(namePattern),
  label: z.string().nullable(),
  device: z.string().nullable(),
  rateHz: z.number().positive(),
  /** Time of the first sample, ms since 1970. */
  startedAt: z.number().nullable(),
  /** Number of messages that are known to be lost. */
  missing: z.int().min(0).optional(),
  samples: z.int().min(1),
  /** Format of the file: `wav` or `png`; absent = CSV. */
  format: z.enum(['wav', 'png']).optional(),
  /** Objects in a picture; absent = the picture is not annotated. */
  boxes: z.array(boxSchema).optional(),
  /** SHA-256 of the file's bytes, 64 hex digits. */
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
});
export type ListingEntry = z.output<typeof recordingEntry>;

/** DATA/dataset.json: the metadata that the files in DATA/recordings cannot contain. */
export const listingSchema = z.strictObject({
  spec: z.literal('aiot-dataset/1'),
  fields: z.array(z.string()).min(1),
  recordings: z.array(recordingEntry),
});

export type Listing = z.output<typeof listingSchema>;

export function listingFile(folder: string): string {
  return join(folder, 'dataset.json');
}

export function recordingFile(folder: string, { id, format }: Pick<ListingEntry, 'id' | 'format'>): string {
  return join(folder, 'recordings', `${id}.${format ?? 'csv'}`);
}

/** Reads a folder's dataset.json; null if there is none. @throws AIOT_FILE_MALFORMED */
export async function readListing(folder: string): Promise<Listing | null> {
  const file = listingFile(folder);
  const value = await unless('AIOT_FILE_NOT_FOUND', readJson(file));
  if (value === undefined) return null;
  const listing = listingSchema.safeParse(value);
  if (listing.success) return listing.data;
  throw new AiotError('AIOT_FILE_MALFORMED', `${file}: ${issueText(listing.error, 'the file', value)}`);
}

export async function writeListing(folder: string, listing: Listing): Promise<void> {
  const recordings = [...listing.recordings].sort((a, b) => (a.id < b.id ? -1 : 1));
  await writeJsonAtomic(listingFile(folder), { ...listing, recordings });
}

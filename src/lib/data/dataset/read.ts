import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { sha256Hex } from '../../core/crypto.js';
import { AiotError, systemCode } from '../../core/errors.js';
import { readBytes, requireFile } from '../../core/files.js';
import { parseCsv } from '../../formats/csv/parse.js';
import type { Recording } from '../types.js';
import { type Listing, listingFile, recordingFile } from './listing.js';

/** Requirements for recordings. */
export interface Expected {
  fields: string[];
  /** Sampling rate, Hz. */
  rateHz: number;
  /** Known labels, for recognizing a label in a file's name. */
  labels: string[];
}

/** Paths of a folder's CSV files, sorted. @throws AIOT_FILE_NOT_FOUND (also for a broken link), AIOT_FILE_NOT_READABLE (a pipe) */
export async function csvFilesIn(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch((error: unknown) => {
    throw new AiotError('AIOT_FILE_NOT_FOUND', `cannot read the folder ${folder} (${systemCode(error)})`, {
      cause: error,
    });
  });
  const files = names
    .filter((name) => name.toLowerCase().endsWith('.csv') && !name.startsWith('.'))
    .sort()
    .map((name) => join(folder, name));
  for (const file of files) await requireFile(file);
  return files;
}

export function idOfFile(file: string): string {
  return basename(file).replace(/\.csv$/i, '');
}

/** Reads an unlisted CSV file: its label comes from its name, its rate from the project. */
export async function readLoose(file: string, expected: Expected): Promise<Recording> {
  const id = idOfFile(file);
  const { data } = parseCsv(await readBytes(file), file, expected.fields);
  const { fields, rateHz } = expected;
  return {
    id,
    label: labelOfName(id, expected.labels),
    device: null,
    rateHz,
    startedAt: null,
    fields,
    columns: data,
  };
}

/**
 * Reads all recordings listed in dataset.json, each verified against its digest.
 * @throws AIOT_DATA_COLUMNS, AIOT_DATA_RATE, AIOT_DATA_CHANGED (a listed file is gone or changed, or one is not listed)
 */
export async function readListed(folder: string, listing: Listing, expected: Expected): Promise<Recording[]> {
  const { fields } = expected;
  if (fields.some((field) => !listing.fields.includes(field))) {
    const got = listing.fields.join(', ');
    throw new AiotError(
      'AIOT_DATA_COLUMNS',
      `${listingFile(folder)}: expected the fields ${fields.join(', ')}, got ${got}`,
    );
  }
  await refuseUnlisted(folder, listing);
  const recordings: Recording[] = [];
  for (const { id, label, device, rateHz, startedAt, missing, samples, sha256 } of listing.recordings) {
    if (rateHz !== expected.rateHz) {
      throw new AiotError(
        'AIOT_DATA_RATE',
        `recording ${id}: expected ${expected.rateHz} samples per second (signal.rate), got ${rateHz}`,
      );
    }
    const file = recordingFile(folder, id);
    const bytes = await readBytes(file).catch((error: unknown) => {
      throw new AiotError('AIOT_DATA_CHANGED', `dataset.json lists ${id}, but ${file} is not readable`, {
        cause: error,
      });
    });
    if (sha256Hex(bytes) !== sha256) {
      throw new AiotError('AIOT_DATA_CHANGED', `${file} does not match dataset.json: its SHA-256 differs`);
    }
    const { data } = parseCsv(bytes, file, listing.fields);
    if (data[0]!.length !== samples) {
      throw new AiotError('AIOT_DATA_CHANGED', `${file}: expected ${samples} rows, got ${data[0]!.length}`);
    }
    const columns = fields.map((field) => data[listing.fields.indexOf(field)]!);
    recordings.push({ id, label, device, rateHz, startedAt, missing, fields, columns });
  }
  return recordings;
}

async function refuseUnlisted(folder: string, listing: Listing): Promise<void> {
  if (listing.recordings.length === 0) return;
  const listed = new Set(listing.recordings.map(({ id }) => id));
  const stray = (await csvFilesIn(join(folder, 'recordings'))).find((file) => !listed.has(idOfFile(file)));
  if (stray === undefined) return;
  throw new AiotError('AIOT_DATA_CHANGED', `${stray} is not listed in dataset.json`, {
    next: `Import it with \`aiot data import ${join(folder, 'recordings')}\`, or delete it.`,
  });
}

/**
 * Derives the label from a file's name: the longest known label that it begins with, or its leading letters (`walking12.csv` → walking).
 * null if it begins with none.
 */
export function labelOfName(name: string, known: readonly string[] = []): string | null {
  const fits = known.filter((label) => name.startsWith(label) && !/^[A-Za-z]/.test(name.slice(label.length)));
  const [longest] = fits.sort((a, b) => b.length - a.length);
  return longest ?? /^[A-Za-z]+/.exec(name)?.[0] ?? null;
}

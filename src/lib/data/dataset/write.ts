import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { sha256Hex } from '../../core/crypto.js';
import { AiotError } from '../../core/errors.js';
import { makeFolder, readBytes, writeFileAtomic } from '../../core/files.js';
import { withLock } from '../../core/lock.js';
import type { Project } from '../../core/project.js';
import type { ProjectConfig } from '../../core/project-schema.js';
import { didYouMean, nearest } from '../../core/text.js';
import { writeCsv } from '../../formats/csv/table.js';
import { writeWav } from '../../formats/wav.js';
import { encodePng } from '../../vision/picture.js';
import type { Recording } from '../types.js';
import { type Listing, type ListingEntry, readListing, recordingFile, writeListing } from './listing.js';
import { dataFolderOf, expectedOf, looseFolder } from './open.js';
import { type Expected, idOfFile, isPicture, readLoose, recordingFilesIn } from './read.js';
import { isSound, isWav } from './sound.js';

/**
 * Adds recordings to a data folder, with their entries in dataset.json.
 * @param options.decimals decimal places in the CSV files; absent = as many as the numbers have
 * @throws AIOT_ALREADY_EXISTS (before anything is written), AIOT_FILE_NOT_WRITABLE, and any error from reading the folder
 */
export async function saveRecordings(options: {
  folder: string;
  config: ProjectConfig;
  recordings: Recording[];
  decimals?: number;
}): Promise<void> {
  const listing = await listingOf(options.folder, expectedOf(options.config));
  await addRecordings(options.folder, listing, options.recordings, options.decimals);
}

/** Creates the dataset.json of a project's data folder if it is missing, and returns its entries. */
export async function listRecordings(project: Project): Promise<ListingEntry[]> {
  const folder = dataFolderOf(project);
  const listing = await listingOf(folder, expectedOf(project.config));
  await writeListing(folder, listing);
  return listing.recordings;
}

interface RollingOptions {
  folder: string;
  config: ProjectConfig;
  recording: Recording;
  /** ID prefix of the recordings of this kind; only these are removed. */
  prefix: string;
  /** Maximum total number of samples in these recordings, including the new one. Beyond it, the oldest recordings are removed. */
  mostSamples: number;
  /** Decimal places in the CSV file. */
  decimals: number;
}

/**
 * Adds a recording to a data folder, and removes the oldest recordings of its kind that exceed the limit, so that recording can continue
 * indefinitely. A crash in between leaves unlisted files, but never an entry without its file.
 * @returns IDs of the removed recordings
 * @throws AIOT_ALREADY_EXISTS, AIOT_FILE_NOT_WRITABLE, AIOT_TIMEOUT (another process has locked the folder), and any error from reading it
 */
export async function rollRecording(options: RollingOptions): Promise<string[]> {
  const { folder, config, recording, prefix, mostSamples, decimals } = options;
  return await changeData(folder, expectedOf(config), async (listing) => {
    const grown = await addRecordings(folder, listing, [recording], decimals);
    const own = grown.recordings
      .filter(({ id }) => id.startsWith(prefix))
      .sort((a, b) => (b.startedAt ?? 0) - (a.startedAt ?? 0));
    let samples = 0;
    const gone = new Set<string>();
    for (const { id, samples: its } of own) {
      samples += its;
      if (samples > mostSamples && id !== recording.id) gone.add(id);
    }
    await removeRecordings(folder, grown, gone);
    return [...gone];
  });
}

/**
 * The contents of a recording's file: CSV, 16-bit PCM if the recording is sound, or PNG if it is a picture.
 * @param decimals decimal places of CSV; absent = as many as the numbers have
 */
export function fileContents(
  { fields, rateHz, columns, format, size }: Recording,
  decimals?: number,
): string | Uint8Array<ArrayBuffer> {
  if (format === 'png' && size) return pictureFile(columns, size);
  return format === 'wav' ? writeWav({ rateHz, channels: columns }) : writeCsv(fields, columns, decimals);
}

function pictureFile(columns: Float64Array[], size: { width: number; height: number }) {
  const channels = columns.length === 3 ? 3 : 1;
  const data = new Uint8Array(size.width * size.height * channels);
  for (let i = 0; i < data.length; i++) data[i] = columns[i % channels]![Math.floor(i / channels)]!;
  return Uint8Array.from(encodePng({ ...size, data }, channels));
}

/** A recording whose file waits outside the data folder, so that many recordings together need no memory. */
export interface SpooledRecording {
  file: string;
  entry: ListingEntry;
}

/** Writes a recording's file to a temporary folder, for `addRecordings`. @throws AIOT_FILE_NOT_WRITABLE */
export async function spoolRecording(recording: Recording, file: string): Promise<SpooledRecording> {
  const { contents, entry } = rendered(recording);
  await writeFileAtomic(file, contents);
  return { file, entry };
}

/** Contents of a recording's file, and the recording's entry in dataset.json. */
function rendered(
  recording: Recording,
  decimals?: number,
): { contents: string | Uint8Array<ArrayBuffer>; entry: ListingEntry } {
  const contents = fileContents(recording, decimals);
  const { id, label, device, rateHz, startedAt, missing, columns, format, boxes } = recording;
  const samples = columns[0]?.length ?? 0;
  const sha256 = sha256Hex(contents);
  const common = { id, label, device, rateHz, startedAt, missing, samples, ...(format && { format }) };
  const entry = { ...common, ...(boxes && { boxes }), sha256 };
  return { contents, entry };
}

/**
 * Changes a data folder while it is locked against other aiot processes. The callback receives the listing that is on disk once the lock is
 * held.
 * @throws AIOT_TIMEOUT if another process holds the lock for half a minute, AIOT_FILE_NOT_WRITABLE
 */
export async function changeData<T>(
  folder: string,
  expected: Expected,
  change: (listing: Listing) => Promise<T>,
): Promise<T> {
  await makeFolder(folder);
  return withLock(join(folder, '.lock'), 30_000, async () => change(await listingOf(folder, expected)));
}

/**
 * Adds recordings to a data folder: their files first, then dataset.json, each atomically. If a file cannot be written, those already
 * written are removed. A crash in between leaves only files that are not listed yet.
 * @param decimals decimal places; absent = as many as the numbers have
 * @param signal aborts between two recordings, in which case none are saved
 * @throws AIOT_ALREADY_EXISTS (before anything is written), AIOT_FILE_NOT_WRITABLE
 */
export async function addRecordings(
  folder: string,
  listing: Listing,
  recordings: readonly (Recording | SpooledRecording)[],
  decimals?: number,
  signal?: AbortSignal,
): Promise<Listing> {
  const taken = new Set(listing.recordings.map(({ id }) => id));
  for (const recording of recordings) {
    const { id } = 'entry' in recording ? recording.entry : recording;
    if (taken.has(id))
      throw new AiotError('AIOT_ALREADY_EXISTS', `recording ${id} already exists in ${folder}`, {
        subject: 'recording',
      });
    taken.add(id);
  }
  const entries: ListingEntry[] = [];
  try {
    for (const recording of recordings) {
      signal?.throwIfAborted();
      const { contents, entry } =
        'entry' in recording
          ? { contents: await readBytes(recording.file), entry: recording.entry }
          : rendered(recording, decimals);
      await writeFileAtomic(recordingFile(folder, entry), contents);
      entries.push(entry);
    }
    const grown = { ...listing, recordings: [...listing.recordings, ...entries] };
    await writeListing(folder, grown);
    return grown;
  } catch (error) {
    const written = entries.map((entry) => recordingFile(folder, entry));
    await Promise.all(written.map((file) => rm(file, { force: true }).catch(() => {})));
    throw error;
  }
}

/**
 * Removes recordings from a data folder: first from dataset.json, then their files. A crash in between leaves unlisted files, but never an entry
 * without its file.
 * @throws AIOT_FILE_NOT_WRITABLE
 */
export async function removeRecordings(
  folder: string,
  listing: Listing,
  ids: ReadonlySet<string>,
): Promise<Listing> {
  if (ids.size === 0) return listing;
  const kept = { ...listing, recordings: listing.recordings.filter(({ id }) => !ids.has(id)) };
  await writeListing(folder, kept);
  const gone = listing.recordings.filter(({ id }) => ids.has(id));
  await Promise.all(gone.map((entry) => rm(recordingFile(folder, entry), { force: true })));
  return kept;
}

export const removedFromProjectSchema = z.object({
  recordings: z.array(z.object({ recording: z.string(), file: z.string() })),
  dryRun: z.boolean(),
});

export type RemovedFromProject = z.output<typeof removedFromProjectSchema>;

/**
 * Removes recordings from a project: their entries in dataset.json if there is one, then their files. Files that are already gone do not
 * matter.
 * @throws AIOT_NOT_FOUND (before anything is removed), AIOT_FILE_NOT_WRITABLE, AIOT_TIMEOUT
 */
export async function removeFromProject(
  project: Project,
  ids: readonly string[],
  { dryRun }: { dryRun: boolean },
): Promise<RemovedFromProject> {
  const folder = dataFolderOf(project);
  const expected = expectedOf(project.config);
  return withLock(join(folder, '.lock'), 30_000, async () => {
    const listing = await readListing(folder);
    const present = listing
      ? listing.recordings.map((entry) => ({ recording: entry.id, file: recordingFile(folder, entry) }))
      : (await recordingFilesIn(await looseFolder(folder), expected)).map((file) => ({
          recording: idOfFile(file, expected),
          file,
        }));
    const names = present.map(({ recording }) => recording);
    for (const id of ids) if (!names.includes(id)) throw unknownRecording(id, names, 'aiot data remove');
    const due = new Set(ids);
    const recordings = present.filter(({ recording }) => due.has(recording));
    if (dryRun) return { recordings, dryRun };
    if (listing) await removeRecordings(folder, listing, due);
    else await Promise.all(recordings.map(({ file }) => rm(file, { force: true })));
    return { recordings, dryRun };
  });
}

export const labelledInProjectSchema = z.object({
  recording: z.string(),
  label: z.string().nullable(),
  /** The previous label. */
  before: z.string().nullable(),
});

export type LabelledInProject = z.output<typeof labelledInProjectSchema>;

/**
 * Sets the label of a project's recording in dataset.json, which is created if it is missing.
 * @param label null removes the label
 * @throws AIOT_LABEL_UNKNOWN, AIOT_NOT_FOUND, AIOT_FILE_NOT_WRITABLE, AIOT_TIMEOUT
 */
export async function labelInProject(
  project: Project,
  id: string,
  label: string | null,
): Promise<LabelledInProject> {
  const expected = expectedOf(project.config);
  if (label !== null) refuseLabel(label, expected);
  return changeData(dataFolderOf(project), expected, async (listing) => {
    const entry = listing.recordings.find((recording) => recording.id === id);
    if (!entry) {
      const ids = listing.recordings.map((recording) => recording.id);
      throw unknownRecording(id, ids, 'aiot data label');
    }
    const recordings = listing.recordings.map((other) => (other === entry ? { ...entry, label } : other));
    await writeListing(dataFolderOf(project), { ...listing, recordings });
    return { recording: id, label, before: entry.label };
  });
}

/** @throws AIOT_LABEL_UNKNOWN */
export function refuseLabel(label: string, { labels }: Expected, id?: string): void {
  if (labels.includes(label)) return;
  throw new AiotError(
    'AIOT_LABEL_UNKNOWN',
    `${id === undefined ? '' : `recording ${id}: `}expected a label of model.labels (${labels.join(', ')}), got "${label}"${didYouMean(label, labels)}`,
  );
}

/** AIOT_NOT_FOUND for a recording that a project does not have. @param command that accepts the suggested name */
export function unknownRecording(id: string, ids: readonly string[], command: string): AiotError {
  const close = nearest(id, ids);
  const some = `${ids.slice(0, 4).join(', ')}${ids.length > 4 ? ' …' : ''}`;
  return new AiotError(
    'AIOT_NOT_FOUND',
    close === undefined
      ? `recording ${id} does not exist; expected one of ${some}`
      : `recording ${id} does not exist. Did you mean ${close}?`,
    { subject: 'recording', ...(close === undefined ? {} : { next: `${command} ${close}` }) },
  );
}

/**
 * The folder's dataset.json. If there is none, returns a listing of the files in FOLDER/recordings, with labels from their names, which
 * is not written yet.
 */
export async function listingOf(folder: string, expected: Expected): Promise<Listing> {
  const present = await readListing(folder);
  if (present) return present;
  const listing: Listing = { spec: 'aiot-dataset/1', fields: expected.fields, recordings: [] };
  const inner = join(folder, 'recordings');
  const there = await stat(inner).catch(() => null);
  if (!there?.isDirectory()) return listing;
  for (const file of await recordingFilesIn(inner, expected)) {
    // A listed picture has the project's size, and is directly in the folder. Listed sound is WAV.
    if (isPicture(file) || (isSound(file) && !isWav(file))) continue;
    const { id, label, device, rateHz, startedAt, columns } = await readLoose(file, expected);
    const sha256 = sha256Hex(await readBytes(file));
    const samples = columns[0]?.length ?? 0;
    const format = isWav(file) ? { format: 'wav' as const } : {};
    listing.recordings.push({ id, label, device, rateHz, startedAt, samples, ...format, sha256 });
  }
  return listing;
}

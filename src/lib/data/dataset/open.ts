import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { canonicalJson } from '../../core/crypto.js';
import { AiotError } from '../../core/errors.js';
import type { Project } from '../../core/project.js';
import { isSoundSet, type ProjectConfig } from '../../core/project-schema.js';
import { readWithRoles } from '../tables/loose-file.js';
import type { Dataset, Recording } from '../types.js';
import { readListing } from './listing.js';
import { type Expected, readListed, readLoose, recordingFilesIn } from './read.js';

/** A project's requirements for its recordings. */
export function expectedOf(config: ProjectConfig): Expected {
  return {
    fields: Object.keys(config.stream.fields),
    rateHz: config.signal.rate,
    labels: [...Object.values(config.model.labels).flat(), ...(config.model.reject?.unknown ?? [])],
    image: imageOf(config),
  };
}

/** The project's pictures; null if the recordings are not pictures. */
function imageOf({ signal, stream }: ProjectConfig): Expected['image'] {
  const { image } = signal;
  const channels = Object.keys(stream.fields).length;
  if (signal.features !== 'image' || !image || (channels !== 1 && channels !== 3)) return null;
  return { width: image.width, height: image.height, fit: image.fit, channels };
}

/** The folder of a project's recordings. */
export function dataFolderOf(project: Project): string {
  return join(project.dir, 'data');
}

/**
 * Opens a project's recordings: the folder's dataset.json with its files in recordings, or a plain folder of such files. Labels are then
 * the leading letters of the file names. Pictures may be in one folder per label.
 * @param folder overrides the project's own `data`
 * @throws AIOT_DATA_EMPTY, AIOT_DATA_COLUMNS, AIOT_DATA_RATE, AIOT_DATA_CHANGED, AIOT_CSV_COLUMNS, AIOT_CSV_EMPTY, AIOT_FILE_MALFORMED,
 * AIOT_FILE_NOT_FOUND
 */
export async function openDataset(project: Project, folder?: string): Promise<Dataset> {
  const own = folder === undefined;
  const at = own ? dataFolderOf(project) : resolve(folder);
  const found = await stat(at).catch(() => null);
  if (!found?.isDirectory()) {
    if (own) throw empty(at, project.config);
    throw new AiotError('AIOT_FILE_NOT_FOUND', `the folder ${at} does not exist`);
  }
  const expected = expectedOf(project.config);
  const listing = await readListing(at);
  const recordings = listing
    ? await readListed(at, listing, expected)
    : await readFolder(await looseFolder(at), expected);
  if (recordings.length === 0) throw empty(at, project.config);
  return datasetOf(own ? project.config.name : basename(at), expected, recordings);
}

/** A dataset of in-memory recordings, sorted and with its digest. */
export function datasetOf(
  name: string,
  { fields, rateHz }: Pick<Expected, 'fields' | 'rateHz'>,
  recordings: Recording[],
): Dataset {
  const sorted = [...recordings].sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
  return { name, fields, rateHz, recordings: sorted, digest: datasetDigest(fields, rateHz, sorted) };
}

/** The folder with the recordings' files: the `recordings` subfolder if there is one, otherwise the folder itself. */
export async function looseFolder(at: string): Promise<string> {
  const inner = join(at, 'recordings');
  return (await stat(inner).catch(() => null))?.isDirectory() ? inner : at;
}

async function readFolder(folder: string, expected: Expected): Promise<Recording[]> {
  const recordings: Recording[] = [];
  for (const file of await recordingFilesIn(folder, expected)) {
    const read = /\.csv$/i.test(file) ? await readWithRoles(file, expected) : null;
    recordings.push(read?.recording ?? (await readLoose(file, expected)));
  }
  return recordings;
}

/** Labels for sounds that are not words. */
const noWords = ['other', 'noise'];

function empty(at: string, { signal, model }: ProjectConfig): AiotError {
  const message = `no recordings in ${at}`;
  if (signal.features === 'image') {
    return new AiotError('AIOT_DATA_EMPTY', message, {
      next: 'Import pictures with `aiot data import FOLDER`. In a project of the templates person-or-part and count-parts, you can also draw some with `aiot data synthesize`.',
    });
  }
  const words = Object.keys(model.labels).filter((label) => !noWords.includes(label));
  if (!isSoundSet(signal.features) || words.length === 0) return new AiotError('AIOT_DATA_EMPTY', message);
  return new AiotError('AIOT_DATA_EMPTY', message, {
    next: `Import recordings with \`aiot data import FOLDER\`, or generate spoken words with \`aiot data synthesize --words ${words.join(',')}\`.`,
  });
}

/** `sha256:…` over fields, rate, and each recording's id, label and samples (little-endian doubles, column by column). */
function datasetDigest(fields: string[], rateHz: number, recordings: Recording[]): string {
  const hash = createHash('sha256');
  hash.update(canonicalJson({ fields, rateHz }));
  for (const { id, label, columns, boxes } of recordings) {
    hash.update(canonicalJson({ id, label, samples: columns[0]?.length ?? 0, ...(boxes && { boxes }) }));
    // Typed arrays have the machine's byte order, which is little-endian on every Node platform except s390x and AIX.
    for (const { buffer, byteOffset, byteLength } of columns) {
      hash.update(new Uint8Array(buffer, byteOffset, byteLength));
    }
  }
  return `sha256:${hash.digest('hex')}`;
}

/** Total number of samples in these recordings, where one sample is a row of all fields. */
export function sampleCount(recordings: Pick<Recording, 'columns'>[]): number {
  return recordings.reduce((sum, { columns }) => sum + (columns[0]?.length ?? 0), 0);
}

import type { Project, ProjectConfig } from '../core/index.js';
import { type ListingEntry, writeListing } from './disk/listing.js';
import { addRecordings, listingOf } from './disk/write.js';
import { dataFolderOf, expectedOf } from './open.js';
import type { Recording } from './types.js';

/**
 * Adds recordings to a data folder, with their lines in dataset.json.
 * @param options.decimals digits after the point in the CSV files; absent = as many as the numbers have
 * @throws AIOT_RECORDING_EXISTS (before anything is written), AIOT_FILE_NOT_WRITABLE, and what reading the folder throws
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

/** Makes sure that a project's data folder has its dataset.json, and returns its lines. */
export async function listRecordings(project: Project): Promise<ListingEntry[]> {
  const folder = dataFolderOf(project);
  const listing = await listingOf(folder, expectedOf(project.config));
  await writeListing(folder, listing);
  return listing.recordings;
}

import { rm } from 'node:fs/promises';
import type { ProjectConfig } from '../core/index.js';
import { recordingFile, writeListing } from './disk/listing.js';
import { addRecordings, changeData } from './disk/write.js';
import { expectedOf } from './open.js';
import type { Recording } from './types.js';

export interface RollingOptions {
  folder: string;
  config: ProjectConfig;
  recording: Recording;
  /** Ids of the recordings that are this one's own kind begin so: the others are left alone. */
  prefix: string;
  /** Most samples that those may have together, the new one among them: the oldest go. */
  mostSamples: number;
  /** Digits after the point in the CSV file. */
  decimals: number;
}

/**
 * Adds a recording to a data folder, and removes the oldest of its kind that are too much: for who records without an end. A crash in
 * between leaves files that are not listed, and nothing listed that is not there.
 * @returns ids of those that were removed
 * @throws AIOT_RECORDING_EXISTS, AIOT_FILE_NOT_WRITABLE, AIOT_TIMEOUT (another one has the folder), and what reading it throws
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
    if (gone.size === 0) return [];
    await writeListing(folder, {
      ...grown,
      recordings: grown.recordings.filter(({ id }) => !gone.has(id)),
    });
    await Promise.all([...gone].map((id) => rm(recordingFile(folder, id), { force: true })));
    return [...gone];
  });
}

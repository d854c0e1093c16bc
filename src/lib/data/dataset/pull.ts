import type { DatasetListing, StoredRecording } from '../../api/contract/data.js';
import { sha256Hex } from '../../core/crypto.js';
import { AiotError, hasCode } from '../../core/errors.js';
import { writeFileAtomic } from '../../core/files.js';
import { parseCsv } from '../../formats/csv/parse.js';
import { writeCsv } from '../../formats/csv/table.js';
import type { Recording } from '../types.js';
import { type ListingEntry, readListing, recordingFile, writeListing } from './listing.js';

/** The calls of the platform client that are used here. */
interface PulledDatasets {
  get(stream: string): Promise<
    Pick<DatasetListing, 'fields'> & {
      recordings: Pick<StoredRecording, 'id' | 'device' | 'label' | 'rateHz' | 'startedAt' | 'missing'>[];
    }
  >;
  csv(stream: string, device: string, recording: string): Promise<string>;
}

interface PullOptions {
  client: { datasets: PulledDatasets };
  /** Name of the stream, and therefore of the platform's dataset. */
  stream: string;
  /** The data folder; created if missing. */
  dir: string;
  signal?: AbortSignal;
  onRecording?: (done: number, of: number) => void;
}

interface PullResult {
  recordings: number;
  samples: number;
}

/**
 * Fetches a stream's recordings from the platform into a data folder, in the format that `data record` writes. Existing recordings with the
 * same IDs are replaced, because a recording may have grown or its label may have changed. Other recordings are unchanged.
 * @throws any client error, AIOT_FILE_MALFORMED, AIOT_FILE_NOT_WRITABLE
 */
export async function pullDataset(options: PullOptions): Promise<PullResult> {
  const { client, stream, dir, signal, onRecording } = options;
  const listing = await client.datasets.get(stream);
  const seen = new Map<string, number>();
  for (const { id } of listing.recordings) seen.set(id, (seen.get(id) ?? 0) + 1);
  const entries: ListingEntry[] = [];
  for (const recording of listing.recordings) {
    signal?.throwIfAborted();
    const { device, label, rateHz, startedAt, missing } = recording;
    // Devices name their recordings independently. If two devices used the same name, the device's name is prefixed.
    const id = seen.get(recording.id) === 1 ? recording.id : `${device}.${recording.id}`;
    const text = await client.datasets.csv(stream, device, recording.id);
    const { data } = parseCsv(Buffer.from(text), `${device}/${recording.id}`, listing.fields);
    const csv = writeCsv(listing.fields, data);
    await writeFileAtomic(recordingFile(dir, { id }), csv);
    const samples = data[0]?.length ?? 0;
    entries.push({ id, label, device, rateHz, startedAt, missing, samples, sha256: sha256Hex(csv) });
    onRecording?.(entries.length, listing.recordings.length);
  }
  const pulled = new Set(entries.map(({ id }) => id));
  const kept = ((await readListing(dir))?.recordings ?? []).filter(({ id }) => !pulled.has(id));
  await writeListing(dir, {
    spec: 'aiot-dataset/1',
    fields: listing.fields,
    recordings: [...kept, ...entries],
  });
  return { recordings: entries.length, samples: entries.reduce((sum, { samples }) => sum + samples, 0) };
}

type ListedRecording = Pick<
  StoredRecording,
  'id' | 'device' | 'label' | 'parts' | 'rateHz' | 'startedAt' | 'missing'
>;

/** A stored recording. The `id` is its path on the platform: STREAM/DEVICE/RECORDING. */
export type StreamRecording = Recording & {
  partlyLabelled: boolean;
  /** Why the samples cannot be used. If set, the recording has no samples. */
  unusable?: string;
};

/**
 * Fetches a stream's recordings from the platform, one at a time. Recordings that `wanted` rejects are returned without fetching their
 * samples.
 * @param fields the fields to return, in this order
 * @throws AIOT_DATA_COLUMNS (the stream lacks a field), AIOT_NOT_FOUND (the stream), and any client error
 */
export async function* streamRecordings(
  client: {
    datasets: {
      get(stream: string): Promise<Pick<DatasetListing, 'fields'> & { recordings: ListedRecording[] }>;
      csv: PulledDatasets['csv'];
    };
  },
  stream: string,
  fields: string[],
  wanted: (recording: ListedRecording) => boolean,
): AsyncGenerator<StreamRecording> {
  const listing = await client.datasets.get(stream);
  const absent = fields.find((field) => !listing.fields.includes(field));
  if (absent !== undefined) {
    const got = listing.fields.join(', ');
    throw new AiotError('AIOT_DATA_COLUMNS', `stream ${stream}: expected a field ${absent}, got ${got}`);
  }
  for (const recording of listing.recordings) {
    const { device, label, parts, rateHz, startedAt, missing } = recording;
    const id = `${stream}/${device}/${recording.id}`;
    const about = { id, label, device, rateHz, startedAt, missing, fields, partlyLabelled: parts.length > 0 };
    const empty = fields.map(() => new Float64Array(0));
    if (!wanted(recording)) yield { ...about, columns: empty };
    else {
      const text = await client.datasets.csv(stream, device, recording.id);
      try {
        const { data } = parseCsv(Buffer.from(text), id, listing.fields);
        yield { ...about, columns: fields.map((field) => data[listing.fields.indexOf(field)]!) };
      } catch (error) {
        // Some messages may lack a field that other messages in the stream have.
        if (!hasCode(error, 'AIOT_FILE_MALFORMED')) throw error;
        yield { ...about, columns: empty, unusable: (error as AiotError).message };
      }
    }
  }
}

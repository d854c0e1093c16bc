import type { DatasetListing, StoredRecording } from '../../api/contract/data.js';
import { sha256Hex } from '../../core/crypto.js';
import { writeFileAtomic } from '../../core/files.js';
import { parseCsv } from '../../formats/csv/parse.js';
import { writeCsv } from '../../formats/csv/table.js';
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
  /** Name of the stream, and so of the platform's dataset. */
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
 * same IDs are replaced, because a recording may have grown or its label may have changed. Other recordings stay.
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

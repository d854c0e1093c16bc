import { inferenceSchema } from '../../device/index.js';
import { countInference, emptyCounts, type LiveCounts } from '../../fleet/index.js';
import { readCheckpoint, writeCheckpoint } from './checkpoint.js';
import type { Entry, Place } from './entry.js';
import type { JournalIndex } from './journal.js';
import type { Position } from './segments.js';
import { addToTake, emptyTake, fieldsOf, hasNumber, type Take } from './takes.js';

interface Stream {
  /** In the order in which they were first seen. */
  fields: string[];
  /** `device/recording` */
  takes: Record<string, Take>;
}

interface Contents {
  position: Position;
  streams: Record<string, Stream>;
  /** `name@version` */
  live: Record<string, LiveCounts>;
  /** Device and channel → `seq:t` of its newest messages that have no recording to be counted in. */
  recent: Record<string, string[]>;
}

/** Newest messages of a device that a repeat is looked for in, where sequence numbers alone say nothing. */
const remembered = 1024;

/**
 * What the journal holds: datasets (one a stream), their recordings, and the counts of inferences. A function of the
 * journal alone; the file is a checkpoint of it, so that a start needs to read the newest segment only.
 */
export class Catalogue implements JournalIndex {
  private constructor(
    private readonly folder: string,
    private readonly contents: Contents,
  ) {}

  /** A checkpoint that is missing, damaged or ahead of the journal means reading the whole journal. */
  static async open(folder: string): Promise<Catalogue> {
    const empty = { position: { segment: 1, offset: 0 }, streams: {}, live: {}, recent: {} };
    return new Catalogue(folder, (await readCheckpoint<Contents>(folder)) ?? empty);
  }

  get position(): Position {
    return this.contents.position;
  }

  stream(name: string): Stream | undefined {
    return ownOf(this.contents.streams, name);
  }

  streams(): [string, Stream][] {
    return Object.entries(this.contents.streams);
  }

  live(name: string, version: number): LiveCounts {
    return ownOf(this.contents.live, `${name}@${version}`) ?? emptyCounts();
  }

  key(entry: Entry): string | null {
    const { seq, t, recording } = entry.payload;
    if (typeof seq !== 'number') return null;
    if (entry.channel === 'telemetry' && typeof recording === 'string') {
      return `${entry.device}/${entry.stream}/${recording}/${seq}`;
    }
    return typeof t === 'number' ? `${recentKey(entry)}/${seq}:${t}` : null;
  }

  has(entry: Entry): boolean {
    const { seq, t, recording } = entry.payload;
    if (entry.channel === 'telemetry' && typeof recording === 'string') {
      const take = ownOf(this.stream(entry.stream ?? '')?.takes ?? {}, `${entry.device}/${recording}`);
      return take !== undefined && hasNumber(take.ranges, Number(seq));
    }
    return ownOf(this.contents.recent, recentKey(entry))?.includes(`${seq}:${t}`) ?? false;
  }

  apply(entry: Entry, place: Place): void {
    this.remember(entry);
    if (entry.channel === 'telemetry') this.addTelemetry(entry, place);
    else if (entry.channel === 'inference' && !entry.repeat) this.addInference(entry);
  }

  async checkpoint(position: Position): Promise<void> {
    this.contents.position = position;
    await writeCheckpoint(this.folder, this.contents);
  }

  private addTelemetry(entry: Entry, place: Place): void {
    const name = entry.stream ?? '';
    const stream = this.stream(name) ?? { fields: [], takes: {} };
    this.contents.streams[name] = stream;
    for (const [field] of fieldsOf(entry.payload)) {
      if (!stream.fields.includes(field)) stream.fields.push(field);
    }
    const recording = recordingOf(entry);
    const key = `${entry.device}/${recording}`;
    stream.takes[key] ??= emptyTake(entry.device, recording);
    addToTake(stream.takes[key] as Take, entry, place);
  }

  private addInference(entry: Entry): void {
    const inference = inferenceSchema.safeParse(entry.payload);
    if (!inference.success) return;
    const { model, recording = null, label, voted, latencyMs } = inference.data;
    const key = `${model.name}@${model.version}`;
    this.contents.live[key] ??= emptyCounts();
    countInference(this.contents.live[key] as LiveCounts, {
      device: entry.device,
      recording,
      label: label ?? '',
      voted: voted ?? '',
      latencyMs,
    });
  }

  private remember(entry: Entry): void {
    if (entry.repeat || this.key(entry) === null) return;
    if (entry.channel === 'telemetry' && typeof entry.payload.recording === 'string') return;
    const key = recentKey(entry);
    this.contents.recent[key] ??= [];
    const list = this.contents.recent[key] as string[];
    list.push(`${entry.payload.seq}:${entry.payload.t}`);
    if (list.length > 2 * remembered) list.splice(0, list.length - remembered);
  }
}

/** Messages that name no recording are one take a day (UTC), by the time that they speak of. */
function recordingOf({ payload, at }: Entry): string {
  if (typeof payload.recording === 'string') return payload.recording;
  const t = typeof payload.t === 'number' && Math.abs(payload.t) < 8.64e15 ? payload.t : at;
  return `day-${new Date(t).toISOString().slice(0, 10)}`;
}

function recentKey(entry: Entry): string {
  return `${entry.device}/${entry.channel}/${entry.stream ?? ''}`;
}

/** A stream may be named `constructor`: inherited members are no entries. */
function ownOf<T>(record: Record<string, T>, key: string): T | undefined {
  return Object.hasOwn(record, key) ? record[key] : undefined;
}

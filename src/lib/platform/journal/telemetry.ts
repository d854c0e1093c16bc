import type { LiveCounts } from '../../fleet/live.js';
import type { Entry, TakeKey } from './entry.js';
import type { StreamTotals } from './index/totals.js';
import type { LostMessage } from './lost.js';
import type { Take } from './takes.js';

export type { StreamTotals } from './index/totals.js';

/** Recordings of one stream, by device and name, behind `after` (the key of the last one of the page before). */
export interface TakeQuery {
  /** Telemetry when absent; others have the stream ''. */
  channel?: Entry['channel'] | undefined;
  stream: string;
  device?: string | undefined;
  after?: string | undefined;
  limit: number;
}

/** Of one time to another, ms since 1970, both included. */
export interface Span {
  from?: number | undefined;
  to?: number | undefined;
}

interface TelemetryFigures {
  /** Lines that were found damaged, since it was made. */
  damaged: number;
  /** On disk, bytes; null where the engine does not tell. */
  bytes: number | null;
}

/**
 * Where the messages of devices are kept: the journal's files, or tables of PostgreSQL. The same tests hold both to this.
 */
export interface Telemetry {
  /** Resolves when the entry is durable, or was before. @throws AIOT_MESSAGE_MALFORMED, AIOT_DISK_FULL */
  append(entry: Entry): Promise<void>;
  /** Entries that wait to be written. */
  readonly backlog: number;
  /** Streams with telemetry behind `after`, by name. */
  streams(page: { after?: string | undefined; limit: number }): Promise<StreamTotals[]>;
  stream(name: string): Promise<StreamTotals | null>;
  takes(query: TakeQuery): Promise<Take[]>;
  take(key: TakeKey): Promise<Take | null>;
  /** The recording's messages that reach into the time: by number where it has a name, else by time. */
  /** @param lost gets each message that is damaged: it is passed over */
  read(key: TakeKey, span?: Span, lost?: (message: LostMessage) => void): AsyncGenerator<Entry>;
  /** Resolves when all that reads have met is looked into and noted. */
  settled(): Promise<void>;
  /** Counts of a model's answers. */
  live(name: string, version: number): Promise<LiveCounts>;
  /** Those of the recordings (`cursorOf`) for which any model has answered; an answer does not name a stream. */
  predicted(recordings: readonly string[]): Promise<Set<string>>;
  /** Forgets recordings, durably; a device may begin them anew. */
  remove(keys: readonly TakeKey[]): Promise<void>;
  /** Gives back the space of what was removed, and says how much (null: it does not know). @param share of a block that must be dead, 0 = any */
  reclaim(share: number): Promise<{ bytes: number | null }>;
  figures(): Promise<TelemetryFigures>;
  /** For those who send it on. */
  readonly reader: JournalReader;
  /** Writes what waits, and closes. */
  close(): Promise<void>;
}

/** Key of a recording in a list, and back. */
export function cursorOf({ device, recording }: Pick<Take, 'device' | 'recording'>): string {
  return `${device}/${recording}`;
}

export function fromCursor(cursor = ''): [device: string, recording: string] {
  const slash = cursor.indexOf('/');
  return slash < 0 ? [cursor, ''] : [cursor.slice(0, slash), cursor.slice(slash + 1)];
}

/** An entry, and where a reader goes on that has it. */
export interface PlacedEntry {
  entry: Entry;
  position: string;
}

/**
 * What was taken in, in the order in which it became durable, for those who send it on. Positions are text that only the reader
 * understands; they stay good when space is given back.
 */
export interface JournalReader {
  /** Position behind all that is there. */
  end(): Promise<string>;
  /**
   * Entries behind a position (null = the oldest that is kept), and then those to come, in batches of what there is, at least one;
   * ends with the signal. Repeats are left out.
   */
  from(position: string | null, signal: AbortSignal): AsyncIterable<readonly PlacedEntry[]>;
}

import type { LiveCounts } from '../../fleet/live.js';
import type { Entry, JournalRecord, TakeKey } from './entry.js';
import type { LostMessage } from './lost.js';
import type { Take } from './takes.js';
import type { StreamTotals } from './totals.js';

export type { StreamTotals } from './totals.js';

/**
 * Selects recordings in one stream, by device and name, starting after `after` (the key of the previous page's last
 * recording).
 */
export interface TakeQuery {
  /** Absent = telemetry; other channels have the stream ''. */
  channel?: Entry['channel'] | undefined;
  stream: string;
  /** Absent = all. */
  devices?: readonly string[] | undefined;
  after?: string | undefined;
  limit: number;
}

/** A time range, ms since 1970, both ends inclusive. */
export interface Span {
  from?: number | undefined;
  to?: number | undefined;
}

interface TelemetryFigures {
  /** Number of damaged rows found since the platform was started. */
  damaged: number;
  /** Bytes on disk; null if the engine does not report it. */
  bytes: number | null;
}

/** Storage of devices' messages, in tables of SQLite or PostgreSQL. The same tests cover both. */
export interface Telemetry {
  /**
   * Resolves when the entry is durable, even if it was durable already.
   * @throws AIOT_MESSAGE_MALFORMED, AIOT_DISK_FULL
   */
  append(entry: Entry): Promise<void>;
  /** Number of entries waiting to be written. */
  readonly backlog: number;
  /** Streams with telemetry after `after`, by name. */
  streams(page: { after?: string | undefined; limit: number }): Promise<StreamTotals[]>;
  stream(name: string): Promise<StreamTotals | null>;
  takes(query: TakeQuery): Promise<Take[]>;
  take(key: TakeKey): Promise<Take | null>;
  /**
   * The recording's messages that overlap the time span, sorted by number in a named recording, otherwise by time.
   * @param lost called with each damaged message, which is skipped
   */
  read(key: TakeKey, span?: Span, lost?: (message: LostMessage) => void): AsyncGenerator<Entry>;
  /** As `read`, but sorted by time and with fewer statements, for many messages. Damaged messages are skipped. */
  readByTime(key: TakeKey, span: Required<Span>): AsyncGenerator<Entry>;
  /**
   * Log lines of all devices in order of arrival, newest first.
   * @param page `after`: position of the last line of the previous page; without it, `until` skips lines that arrived later, ms since
   * 1970, and may leave some of them; `from`: earliest time by the devices' clocks, ms since 1970; lines of devices without a clock are included
   */
  logs(page: {
    after?: string | undefined;
    until?: number | undefined;
    from: number;
    limit: number;
  }): Promise<{ entry: Entry | null; position: string }[]>;
  /** Resolves when all damage found during reads has been examined and recorded. */
  settled(): Promise<void>;
  /** Counts of a model's predictions. */
  live(name: string, version: number): Promise<LiveCounts>;
  /**
   * Returns those of the recordings (keys from `cursorOf`) for which any model has sent predictions; a prediction does
   * not name a stream.
   */
  predicted(recordings: readonly string[]): Promise<Set<string>>;
  /** Deletes recordings durably; a device may start them again. */
  remove(keys: readonly TakeKey[]): Promise<void>;
  /**
   * Reclaims the space of removed entries, and returns the size of that space (null = unknown).
   * @param share of a block that must be unused before the block is rewritten; 0 = any
   */
  reclaim(share: number): Promise<{ bytes: number | null }>;
  figures(): Promise<TelemetryFigures>;
  /** For consumers that forward messages. */
  readonly reader: JournalReader;
  /** For backups: everything acknowledged before the call, in order. */
  stored(): AsyncIterable<readonly JournalRecord[]>;
  /** Writes pending entries, and closes. */
  close(): Promise<void>;
}

/** Key of a recording in a list; `fromCursor` parses it. */
export function cursorOf({ device, recording }: Pick<Take, 'device' | 'recording'>): string {
  return `${device}/${recording}`;
}

export function fromCursor(cursor = ''): [device: string, recording: string] {
  const slash = cursor.indexOf('/');
  return slash < 0 ? [cursor, ''] : [cursor.slice(0, slash), cursor.slice(slash + 1)];
}

/** An entry, and the position where a reader continues after it. */
export interface PlacedEntry {
  entry: Entry;
  position: string;
}

/** Whether one position of a reader follows another of the same reader. Positions are numbers, or several numbers with colons. */
export function isAfter(position: string, other: string): boolean {
  const [own, others] = [position, other].map((text) => text.split(':').map(Number));
  const differing = own!.findIndex((number, i) => number !== others![i]);
  return differing >= 0 && own![differing]! > (others![differing] ?? -1);
}

/**
 * Stored entries in the order in which they became durable, for consumers that forward them. Positions are opaque text;
 * they stay valid when space is reclaimed.
 */
export interface JournalReader {
  /** Position after the last entry. */
  end(): Promise<string>;
  /**
   * Yields entries after a position (null = the oldest available), first existing and then new ones, until the signal is aborted. A batch has at least one
   * entry. Duplicates are left out.
   * @param idle called with true whenever there are no further entries, and with false before the search for new ones
   * @param channel leaves out most entries of other channels, which are then not parsed; the last entry of a batch may be of any channel
   */
  from(
    position: string | null,
    signal: AbortSignal,
    idle?: (isIdle: boolean) => void,
    channel?: Entry['channel'],
  ): AsyncIterable<readonly PlacedEntry[]>;
}

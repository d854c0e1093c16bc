import type { Entry } from './entry.js';

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

import { type FileHandle, open } from 'node:fs/promises';
import { AiotError, syncFolder, systemCode } from '../../core/index.js';
import { storageError } from '../errors.js';
import { dataSync, type Sync } from '../sync.js';
import type { Entry, Place } from './entry.js';
import { type Position, readEntries, replay, segmentFile } from './segments.js';

/** What is known of the entries; the journal tells it of each one that is durable, and of no other. */
export interface JournalIndex {
  /** Equal keys are the same message; null = never a repeat. */
  key(entry: Entry): string | null;
  has(entry: Entry): boolean;
  apply(entry: Entry, place: Place): void;
  /** Called between two batches, when a segment is full and at the end: everything before `position` is in the index. */
  checkpoint(position: Position): Promise<void>;
}

export interface JournalOptions {
  folder: string;
  index: JournalIndex;
  /** Where the index stands; entries from there on are applied to it. */
  from: Position;
  sync?: Sync;
  /** A segment is closed when it has this many bytes. */
  segmentBytes?: number;
}

interface Waiting extends Line {
  resolve: () => void;
  reject: (error: unknown) => void;
}

/** An entry and the bytes that it is on disk, newline and all. */
interface Line {
  entry: Entry;
  bytes: Buffer;
}

/**
 * Append-only log with group commit: all that came while the disk was busy is written at once, synced once, and then
 * acknowledged. After a failed write or sync the segment is cut back to what was durable: nothing that was refused stays.
 */
export class Journal {
  /** Lines passed over at the start because they are no entries. */
  damaged = 0;
  private waiting: Waiting[] = [];
  private flushing: Promise<void> | undefined;
  private file: FileHandle | undefined;
  private closed = false;
  private end: Position = { segment: 1, offset: 0 };

  private constructor(private readonly options: JournalOptions) {}

  static async open(options: JournalOptions): Promise<Journal> {
    const journal = new Journal(options);
    const { damaged, ...end } = await replay(options.folder, options.from, (entry, place) =>
      options.index.apply(entry, place),
    );
    journal.damaged = damaged;
    journal.end = end;
    return journal;
  }

  /** Resolves when the entry is on disk. @throws AIOT_MESSAGE_MALFORMED, AIOT_DISK_FULL, or what the disk said */
  async append(entry: Entry): Promise<void> {
    if (this.closed) throw new AiotError('AIOT_PLATFORM_UNREACHABLE', 'the platform is stopping');
    // Before it waits with others: what cannot be written down must not fail their batch.
    const line = lineOf(entry);
    return new Promise((resolve, reject) => {
      this.waiting.push({ ...line, resolve, reject });
      this.flushing ??= this.flush();
    });
  }

  read(places: Iterable<Place>): AsyncGenerator<Entry> {
    return readEntries(this.options.folder, places);
  }

  /** Writes what waits, and closes. */
  async close(): Promise<void> {
    this.closed = true;
    await this.flushing;
    await this.options.index.checkpoint(this.end);
    await this.file?.close();
    this.file = undefined;
  }

  private async flush(): Promise<void> {
    // Lets all that came in this turn of the loop into the first batch.
    await new Promise(setImmediate);
    while (this.waiting.length > 0) {
      const batch = this.waiting;
      this.waiting = [];
      try {
        const written = await this.commit(this.withoutRepeats(batch));
        for (const { entry, place } of written) this.options.index.apply(entry, place);
        for (const { resolve } of batch) resolve();
      } catch (error) {
        await this.cutBack();
        for (const { reject } of batch) reject(storageError(error));
      }
    }
    this.flushing = undefined;
  }

  /** Repeats keep what identifies them, so that they are counted after a restart too, and lose their data. */
  private withoutRepeats(lines: Line[]): Line[] {
    const { index } = this.options;
    const fresh = new Set<string>();
    return lines.map((line) => {
      const { entry } = line;
      const key = index.key(entry);
      if (key === null) return line;
      if (!fresh.has(key) && !index.has(entry)) {
        fresh.add(key);
        return line;
      }
      const { seq, t, recording } = entry.payload;
      return lineOf({ ...entry, payload: { seq, t, recording }, repeat: true });
    });
  }

  private async commit(lines: Line[]): Promise<{ entry: Entry; place: Place }[]> {
    const file = await this.segment();
    const block = Buffer.concat(lines.map(({ bytes }) => bytes));
    for (let done = 0; done < block.length; ) {
      const { bytesWritten } = await file.write(block, done, block.length - done, this.end.offset + done);
      done += bytesWritten;
    }
    await (this.options.sync ?? dataSync)(file);
    return lines.map(({ entry, bytes }) => {
      const place = { ...this.end, length: bytes.length - 1 };
      this.end = { segment: this.end.segment, offset: this.end.offset + bytes.length };
      return { entry, place };
    });
  }

  /** The open segment; a full one is closed and the next begun. */
  private async segment(): Promise<FileHandle> {
    const { folder, index, segmentBytes = 64 * 1024 ** 2 } = this.options;
    if (this.end.offset >= segmentBytes) {
      await this.file?.close();
      this.file = undefined;
      this.end = { segment: this.end.segment + 1, offset: 0 };
      await index.checkpoint(this.end);
    }
    if (!this.file) {
      const path = segmentFile(folder, this.end.segment);
      this.file = await open(path, 'r+').catch((error: unknown) => {
        // Only what is not there is made: a segment that cannot be opened just now must not be emptied.
        if (systemCode(error) !== 'ENOENT') throw error;
        return open(path, 'wx+');
      });
      await syncFolder(folder);
    }
    return this.file;
  }

  private async cutBack(): Promise<void> {
    try {
      await this.file?.truncate(this.end.offset);
    } catch {
      // The disk is gone: the file is opened again with the next batch, which writes over the same place.
      await this.file?.close().catch(() => {});
      this.file = undefined;
    }
  }
}

/** @throws AIOT_MESSAGE_MALFORMED for a payload that is nested deeper than JSON.stringify can go */
function lineOf(entry: Entry): Line {
  try {
    return { entry, bytes: Buffer.from(`${JSON.stringify(entry)}\n`) };
  } catch (error) {
    throw new AiotError(
      'AIOT_MESSAGE_MALFORMED',
      `${entry.device}: ${entry.channel}: it is nested too deep`,
      {
        cause: error,
      },
    );
  }
}

import { type FileHandle, open } from 'node:fs/promises';
import { AiotError, hasCode, systemCode } from '../../core/errors.js';
import { syncFolder } from '../../core/files.js';
import { storageError } from '../errors.js';
import type { NoteCommit } from '../metrics.js';
import { dataSync, type Sync } from '../sync.js';
import { type Entry, isEntry, type JournalRecord, type Line, lineOf, type Place } from './entry.js';
import type { JournalIndex } from './index/journal-index.js';
import { isIndexDamage, keyText } from './index/rows.js';
import { mostFields } from './index/totals.js';
import type { SegmentLedger, SegmentNote } from './ledger.js';
import { type Position, segmentPath } from './segments.js';
import { isNamed, messageKey, takeKeyOf } from './takes.js';

interface JournalOptions {
  folder: string;
  index: JournalIndex;
  /** Where the next line goes. */
  end: Position;
  sync?: Sync | undefined;
  /** A segment is closed when it has this many bytes. */
  segmentBytes?: number | undefined;
  onCommit?: NoteCommit | undefined;
  ledger?: SegmentLedger | undefined;
  /** Called when a closed segment is not what was written. */
  damaged?: (note: SegmentNote) => void;
  /** Makes the index anew, up to the end of the journal. */
  renew?: (end: Position, why: unknown) => Promise<JournalIndex>;
}

interface Waiting extends Line {
  resolve: () => void;
  reject: (error: unknown) => void;
}

/**
 * Append-only log with group commit: all that came while the disk was busy is written at once, synced once, and then
 * acknowledged. After a failed write or sync the segment is cut back to what was durable: nothing that was refused stays.
 */
export class Journal {
  end: Position;
  private waiting: Waiting[] = [];
  private flushing: Promise<void> | undefined;
  private file: FileHandle | undefined;
  private closed = false;

  constructor(private readonly options: JournalOptions) {
    this.end = options.end;
  }

  /** Records that wait for the batch after this one. */
  get backlog(): number {
    return this.waiting.length;
  }

  /** Resolves when the record is on disk. @throws AIOT_MESSAGE_MALFORMED, AIOT_DISK_FULL, or what the disk said */
  async append(record: JournalRecord): Promise<void> {
    if (this.closed) throw new AiotError('AIOT_PLATFORM_UNREACHABLE', 'the platform is stopping');
    // Before it waits with others: what cannot be written down must not fail their batch.
    const line = lineOf(record);
    return new Promise((resolve, reject) => {
      this.waiting.push({ ...line, resolve, reject });
      this.flushing ??= this.flush();
    });
  }

  /** Begins a new segment when what is being written now is, so that the one before is complete. */
  async sealNext(): Promise<void> {
    await this.alone(() => this.seal());
  }

  /** Runs a task while nothing is written; what comes meanwhile waits, and is not acknowledged. */
  async alone(task: () => Promise<void>): Promise<void> {
    while (this.flushing !== undefined) await this.flushing;
    const done = task();
    this.flushing = done
      .catch(() => {})
      .finally(() => {
        this.flushing = this.waiting.length > 0 ? this.flush() : undefined;
      });
    await done;
  }

  /** Writes what waits, and closes. */
  async close(): Promise<void> {
    this.closed = true;
    await this.flushing;
    await this.file?.close();
    this.file = undefined;
    await this.options.ledger?.close();
    try {
      this.options.index.flush(this.end);
    } catch (error) {
      // Who has opened the folder since has read all of the journal; and the next start does where the disk takes nothing now.
      if (!hasCode(error, 'AIOT_PLATFORM_RUNNING') && !(storageError(error) instanceof AiotError))
        throw error;
    }
  }

  private async flush(): Promise<void> {
    // Lets all that came in this turn of the loop into the first batch.
    await new Promise(setImmediate);
    while (this.waiting.length > 0) {
      const batch = this.waiting;
      this.waiting = [];
      try {
        const { lines, refused } = await this.withIndex(() => {
          this.makeRoom();
          return this.sorted(batch);
        });
        const written = lines.length > 0 ? await this.commit(lines) : [];
        try {
          this.options.index.apply(written);
        } catch (error) {
          // They are durable: an index that is made anew has them.
          await this.renewed(error);
        }
        for (const [i, { resolve, reject }] of batch.entries()) {
          const error = refused.get(i);
          if (error) reject(error);
          else resolve();
        }
      } catch (error) {
        await this.cutBack();
        for (const { reject } of batch) reject(storageError(error));
      }
    }
    this.flushing = undefined;
  }

  /** With an index that is whole: one that turns out to be damaged is made anew first. */
  private async withIndex<T>(task: () => T): Promise<T> {
    try {
      return task();
    } catch (error) {
      await this.renewed(error);
      return task();
    }
  }

  private async renewed(error: unknown): Promise<void> {
    const { renew } = this.options;
    if (!renew || !isIndexDamage(error)) throw error;
    this.options.index = await renew(this.end, error);
  }

  /** The index was made anew. */
  useIndex(index: JournalIndex): void {
    this.options.index = index;
  }

  /** The index is written now and then; where that fails for long, nothing more is taken. */
  private makeRoom(): void {
    const { index } = this.options;
    const { due } = index;
    if (due === 'no') return;
    try {
      index.flush(this.end);
    } catch (error) {
      if (due === 'overdue' || hasCode(error, 'AIOT_PLATFORM_RUNNING')) throw error;
    }
  }

  /** Repeats keep what identifies them, so that they are counted after a restart too, and lose their data. */
  private sorted(batch: readonly Line[]): { lines: Line[]; refused: Map<number, AiotError> } {
    const { index } = this.options;
    const fresh = new Set<string>();
    const lines: Line[] = [];
    const refused = new Map<number, AiotError>();
    for (const [i, line] of batch.entries()) {
      const { record } = line;
      if (!isEntry(record)) {
        lines.push(line);
        continue;
      }
      const key = batchKey(record);
      if (index.has(record) || (key !== null && fresh.has(key))) {
        const { seq, t, recording } = record.payload;
        lines.push(lineOf({ ...record, payload: { seq, t, recording }, repeat: true }));
      } else if (record.channel === 'telemetry' && index.fieldsWith(record) > mostFields) {
        refused.set(i, tooManyFields(record));
      } else {
        if (key !== null) fresh.add(key);
        lines.push(line);
      }
    }
    return { lines, refused };
  }

  private async commit(lines: Line[]): Promise<{ record: JournalRecord; place: Place }[]> {
    const begun = performance.now();
    const file = await this.segment();
    const block = Buffer.concat(lines.map(({ bytes }) => bytes));
    for (let done = 0; done < block.length; ) {
      const { bytesWritten } = await file.write(block, done, block.length - done, this.end.offset + done);
      done += bytesWritten;
    }
    await (this.options.sync ?? dataSync)(file);
    this.options.onCommit?.(lines.length, (performance.now() - begun) / 1000);
    this.options.ledger?.add(
      block,
      lines.map(({ record }) => record),
    );
    return lines.map(({ record, bytes }) => {
      const place = { ...this.end, length: bytes.length - 1 };
      this.end = { segment: this.end.segment, offset: this.end.offset + bytes.length };
      return { record, place };
    });
  }

  /** The open segment; a full one is closed and the next begun. */
  private async segment(): Promise<FileHandle> {
    const { folder, segmentBytes = 64 * 1024 ** 2 } = this.options;
    if (this.end.offset >= segmentBytes) await this.seal();
    if (!this.file) {
      const path = segmentPath(folder, { segment: this.end.segment, generation: 0, checked: true });
      this.file = await open(path, 'r+').catch((error) => {
        // Only what is not there is made: a segment that cannot be opened just now must not be emptied.
        if (systemCode(error) !== 'ENOENT') throw error;
        return open(path, 'wx+');
      });
      await syncFolder(folder);
    }
    return this.file;
  }

  private async seal(): Promise<void> {
    if (this.end.offset === 0) return;
    const { index } = this.options;
    const next = { segment: this.end.segment + 1, offset: 0 };
    const closed = { segment: this.end.segment, generation: 0, checked: true };
    index.seal(this.end);
    // Before its chunks are of another segment.
    index.flush(this.end);
    await this.file?.close();
    this.file = undefined;
    this.end = next;
    this.options.ledger?.sealed(closed, (note) => this.options.damaged?.(note));
    index.flush(next);
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

/** Two of one batch with the same one are the same message. */
function batchKey(entry: Entry): string | null {
  const take = takeKeyOf(entry);
  const key = messageKey(entry, isNamed(take));
  return key === null ? null : `${keyText(take)}/${key}`;
}

function tooManyFields({ device, stream }: Entry): AiotError {
  return new AiotError(
    'AIOT_MESSAGE_MALFORMED',
    `${device}: telemetry/${stream}: expected at most ${mostFields} fields in a stream, got one more`,
  );
}

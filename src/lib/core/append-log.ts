import type { FileHandle } from 'node:fs/promises';
import { setImmediate as nextTurn } from 'node:timers/promises';

// Shared by every append-only log. Appends whole blocks, syncs once for everything that arrived in the meantime, and leaves the file
// unchanged if a write fails. Each log has its own framing and checksums, because these formats are already in use: NDJSON with a CRC-32
// per line (MQTT sessions), binary records (spools). Files that users name (stream/file/sink.ts) may be pipes, which cannot be written at
// an offset or truncated, so the system appends to them.

/**
 * Makes a file's data durable. Passed in, so that a test can verify that nothing is acknowledged while a sync blocks or after it fails.
 * Killing a process does not reveal a missing sync, because the data is still in the kernel's cache.
 */
export type Sync = (file: Pick<FileHandle, 'datasync'>) => Promise<void>;

export const dataSync: Sync = (file) => file.datasync();

/** Writes all bytes. A single write may accept fewer bytes without an error, for example when the disk is full. */
export async function writeAll(file: FileHandle, bytes: Uint8Array, at: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, at + done);
    done += bytesWritten;
  }
}

/** A file that only grows, block by block. The caller opens and closes it. */
export class AppendLog {
  /** @param end offset of the end of the last complete record, bytes */
  constructor(
    readonly file: FileHandle,
    public end = 0,
    private readonly sync: Sync = dataSync,
  ) {}

  /**
   * Appends a block. On failure, the file is restored to its previous end, so that no part of a rejected block remains.
   * @param durable whether to resolve only once this block and everything before it is on disk
   */
  async append(block: Uint8Array, durable = true): Promise<void> {
    try {
      await writeAll(this.file, block, this.end);
      if (durable) await this.flush();
    } catch (error) {
      // Truncating may fail too, for example if the disk is gone. The next block then overwrites the partial one.
      await this.file.truncate(this.end).catch(() => {});
      throw error;
    }
    this.end += block.length;
  }

  async flush(): Promise<void> {
    await this.sync(this.file);
  }
}

/** Group commit: everything that arrives while a batch is being written forms the next batch. */
export class GroupCommit<T> {
  private items: T[] = [];
  private running: Promise<void> | undefined;

  /** @param write writes a batch. Never rejects, but reports the outcome to each item. */
  constructor(private readonly write: (batch: T[]) => Promise<void>) {}

  /** Items that are not part of a batch yet. */
  get waiting(): readonly T[] {
    return this.items;
  }

  get busy(): boolean {
    return this.running !== undefined;
  }

  /** @param begin false = the item waits until another one starts a batch */
  add(item: T, begin = true): void {
    this.items.push(item);
    if (begin) this.begin();
  }

  begin(): void {
    this.running ??= this.run();
  }

  /** Resolves when nothing is waiting and nothing is being written. */
  async settled(): Promise<void> {
    while (this.running !== undefined || this.items.length > 0) {
      this.begin();
      await this.running;
    }
  }

  /** Runs a task while nothing is being written; items that arrive in the meantime wait. */
  async alone(task: () => Promise<void>): Promise<void> {
    while (this.running !== undefined) await this.running;
    const done = Promise.resolve().then(task);
    this.running = done
      .catch(() => {})
      .finally(() => {
        this.running = this.items.length > 0 ? this.run() : undefined;
      });
    await done;
  }

  private async run(): Promise<void> {
    // The first batch includes everything that arrives in this turn of the event loop.
    await nextTurn();
    while (this.items.length > 0) {
      const batch = this.items;
      this.items = [];
      await this.write(batch);
    }
    this.running = undefined;
  }
}

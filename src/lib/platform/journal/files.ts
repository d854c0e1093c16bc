import { stat } from 'node:fs/promises';
import type { Logger } from 'pino';
import type { NoteCommit } from '../figures/disk.js';
import { serially } from '../store/turns.js';
import type { Sync } from '../sync.js';
import type { Entry, TakeKey } from './entry.js';
import { followJournal } from './follow.js';
import type { Spot } from './index/chunk.js';
import type { JournalIndex } from './index/index.js';
import { Journal } from './journal.js';
import { Leases } from './leases.js';
import type { JournalReader } from './reader.js';
import { entriesAt } from './reads.js';
import { reclaimSegment } from './reclaim.js';
import { openIndex } from './replay.js';
import { listSegments, type SegmentFile, segmentPath } from './segments.js';
import { isNamed } from './takes.js';
import { fromCursor, type Span, type TakeQuery, type Telemetry } from './telemetry.js';

export interface FileTelemetryOptions {
  /** Of the segments and their index. */
  folder: string;
  now: () => number;
  log?: Pick<Logger, 'error'> | undefined;
  sync?: Sync | undefined;
  segmentBytes?: number | undefined;
  onCommit?: NoteCommit | undefined;
}

/** Telemetry in files of this machine: segments and their index. */
export class FileTelemetry implements Telemetry {
  private readonly leases = new Leases();
  private readonly alone = serially();

  readonly reader: JournalReader;

  private constructor(
    private readonly options: FileTelemetryOptions,
    private readonly index: JournalIndex,
    private readonly journal: Journal,
  ) {
    this.reader = followJournal({
      folder: options.folder,
      end: () => journal.end,
      segments: () => index.segments(),
      fileOf: (segment) => index.fileOf(segment),
      lease: () => this.leases.take(),
    });
  }

  static async open(options: FileTelemetryOptions): Promise<FileTelemetry> {
    const { folder, sync, segmentBytes, log, onCommit } = options;
    const { index, end } = await openIndex(folder);
    if (index.damaged > 0)
      log?.error({ lines: index.damaged }, 'damaged lines in the journal were passed over');
    return new FileTelemetry(
      options,
      index,
      new Journal({ folder, index, end, sync, segmentBytes, onCommit }),
    );
  }

  get backlog() {
    return this.journal.backlog;
  }

  append(entry: Entry): Promise<void> {
    return this.journal.append(entry);
  }

  async streams({ after = '', limit }: { after?: string | undefined; limit: number }) {
    return this.index.streamsAfter(after, limit);
  }

  async stream(name: string) {
    return this.index.stream(name);
  }

  async takes({ channel = 'telemetry', stream, device, after, limit }: TakeQuery) {
    const of = { channel, stream, ...(device === undefined ? {} : { device }) };
    return this.index.takes(of, fromCursor(after), limit);
  }

  async take(key: TakeKey) {
    return this.index.take(key);
  }

  async live(name: string, version: number) {
    return this.index.liveOf(`${name}@${version}`);
  }

  /** In the order in which they came, that is the recording's order mostly; else sorted by what the index tells of each. */
  async *read(key: TakeKey, { from = -Infinity, to = Infinity }: Span = {}): AsyncGenerator<Entry> {
    const end = this.leases.take();
    try {
      const take = this.index.take(key);
      if (!take) return;
      // A batch begins before the time and may reach into it.
      const span = { from: from - longestBatchMs, to };
      if (take.outOfOrder > 0) yield* this.readSorted(key, span);
      else {
        for (let some = this.next(key, 0, span); some; some = this.next(key, some.segment, span)) {
          yield* this.entries(some.file, some.spots);
        }
      }
    } finally {
      end();
    }
  }

  async remove(keys: readonly TakeKey[]): Promise<void> {
    const at = this.options.now();
    await Promise.all(keys.map((removed) => this.journal.append({ at, removed })));
  }

  /** The open segment is closed first when something of it is dead. One at a time. */
  async reclaim(share: number): Promise<{ bytes: number }> {
    return this.alone(async () => {
      const { folder, sync } = this.options;
      const { index, leases } = this;
      if (index.segments().some(({ segment, dead }) => segment === this.journal.end.segment && dead > 0)) {
        await this.journal.sealNext();
      }
      let bytes = 0;
      let older = false;
      for (const state of index.segments()) {
        const { segment, generation, dead } = state;
        if (generation < 0 || segment >= this.journal.end.segment) continue;
        if (dead > 0 && dead >= share * state.bytes) {
          bytes += await reclaimSegment({ folder, index, leases, sync }, state, !older);
        } else older ||= dead > 0;
      }
      return { bytes };
    });
  }

  async figures() {
    let bytes = 0;
    for (const file of await listSegments(this.options.folder)) {
      bytes += (await stat(segmentPath(this.options.folder, file)).catch(() => ({ size: 0 }))).size;
    }
    return { damaged: this.index.damaged, bytes };
  }

  async close(): Promise<void> {
    await this.alone(async () => {});
    await this.journal.close();
    this.index.close();
  }

  /** Spots of one segment, and its file as it is now: a read keeps what it has begun with. */
  private next(key: TakeKey, after: number, { from, to }: { from: number; to: number }) {
    const found = this.index.spots(key, after, from, to, this.journal.end.segment);
    return found && { ...found, file: this.index.fileOf(found.segment) };
  }

  private async *readSorted(key: TakeKey, span: { from: number; to: number }): AsyncGenerator<Entry> {
    const all: { spot: Spot; file: SegmentFile }[] = [];
    for (let some = this.next(key, 0, span); some; some = this.next(key, some.segment, span)) {
      for (const spot of some.spots) all.push({ spot, file: some.file });
    }
    const by = isNamed(key) ? 'seq' : 't';
    all.sort((a, b) => (a.spot[by] ?? 0) - (b.spot[by] ?? 0));
    for (let i = 0; i < all.length; ) {
      const file = all[i]?.file as SegmentFile;
      let to = i + 1;
      while (to < all.length && all[to]?.file === file) to++;
      const spots = all.slice(i, to).map(({ spot }) => spot);
      yield* this.entries(file, spots);
      i = to;
    }
  }

  private entries(file: SegmentFile, spots: readonly Spot[]): AsyncGenerator<Entry> {
    const { folder, log } = this.options;
    return entriesAt(segmentPath(folder, file), spots, file.checked, () => {
      this.index.addDamaged(1);
      log?.error({ segment: file.segment }, 'a damaged line of the journal was passed over');
    });
  }
}

/** What one message may reach over, ms: a longer batch is found by its first hour. */
export const longestBatchMs = 3_600_000;

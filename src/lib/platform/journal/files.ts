import { stat } from 'node:fs/promises';
import type { Logger } from 'pino';
import type { NoteCommit } from '../metrics.js';
import { serially } from '../store/engine.js';
import type { Sync } from '../sync.js';
import type { Finding } from '../verify/damage.js';
import type { Ledger } from '../verify/ledger.js';
import type { Entry, TakeKey } from './entry.js';
import { followJournal } from './follow.js';
import type { JournalIndex } from './index/journal-index.js';
import { isIndexDamage, type Spot } from './index/rows.js';
import { Journal } from './journal.js';
import { SegmentLedger } from './ledger.js';
import { damagedRanges, findingsIn, type LostMessage, type Tally } from './lost.js';
import { Leases, reclaimSegment } from './reclaim.js';
import { openIndex, type ReplayParts, rebuiltIndex, requireCounts } from './replay.js';
import { entriesAt, listSegments, type Position, type SegmentFile, segmentPath } from './segments.js';
import { isNamed } from './takes.js';
import { fromCursor, type JournalReader, type Span, type TakeQuery, type Telemetry } from './telemetry.js';

/**
 * Telemetry in the files of this folder, or in the database of this URL.
 * @throws AIOT_DATABASE_UNREACHABLE, AIOT_DATABASE_REFUSED, AIOT_DISK_FULL
 */
export async function openTelemetry(options: FileTelemetryOptions, database?: string): Promise<Telemetry> {
  if (database === undefined) return FileTelemetry.open(options);
  const { PostgresTelemetry } = await import('./postgres.js');
  return PostgresTelemetry.open(database, options.onCommit);
}

interface FileTelemetryOptions {
  /** Of the segments and their index. */
  folder: string;
  now: () => number;
  log?: Pick<Logger, 'error' | 'info' | 'warn'> | undefined;
  /** What the state database knows of the segments; without it, what is lost as a whole is only noticed by the index. */
  ledger?: Ledger<Tally[]> | undefined;
  /** Is told of damage, once for what is found together. */
  damage?: ((findings: readonly Finding[]) => Promise<void>) | undefined;
  sync?: Sync | undefined;
  segmentBytes?: number | undefined;
  onCommit?: NoteCommit | undefined;
}

/** Telemetry in files of this machine: segments and their index. */
export class FileTelemetry implements Telemetry {
  private readonly leases = new Leases();
  private readonly alone = serially();
  private index: JournalIndex;
  private readonly journal: Journal;
  /** Segments whose damage is being looked into, or was. */
  private readonly looked = new Map<number, Promise<void>>();
  /** While the index is made anew. */
  private renewing: Promise<void> | undefined;
  private background: Promise<void> = Promise.resolve();
  private closed = false;

  readonly reader: JournalReader;

  private constructor(
    private readonly options: FileTelemetryOptions,
    private readonly ledger: SegmentLedger | undefined,
    { index, end }: { index: JournalIndex; end: Position },
  ) {
    const { folder, sync, segmentBytes, onCommit } = options;
    this.index = index;
    this.journal = new Journal({
      ...{ folder, index, end, sync, segmentBytes, onCommit, ledger },
      damaged: ({ number }) => this.look(number),
      renew: (at, why) => this.renew(at, why),
    });
    this.reader = followJournal({
      folder,
      end: () => this.journal.end,
      segments: () => this.index.segments(),
      fileOf: (segment) => this.index.fileOf(segment),
      lease: () => this.leases.take(),
      damaged: (segment) => this.look(segment),
    });
  }

  static async open(options: FileTelemetryOptions): Promise<FileTelemetry> {
    const { folder, log } = options;
    const ledger =
      options.ledger &&
      (await SegmentLedger.open(folder, options.ledger, (err) =>
        log?.error({ err }, 'the length of the journal could not be noted'),
      ));
    const parts = partsOf(options, ledger);
    const opened = await openIndex(parts);
    const { end, files } = opened;
    await ledger?.resume(end, files.find(({ segment }) => segment === end.segment) ?? null);
    const telemetry = new FileTelemetry(options, ledger, opened);
    telemetry.background = telemetry.afterwards(files, opened.checked).catch((err: unknown) => {
      log?.error({ err }, 'the journal could not be looked through');
    });
    return telemetry;
  }

  /** Takes note of segments that the ledger lacks, and looks through an index that is too large for the start. */
  private async afterwards(files: readonly SegmentFile[], checked: boolean): Promise<void> {
    await this.ledger?.adopt(files, () => this.closed);
    try {
      for (let left = checked ? 0 : 1; left > 0 && !this.closed; ) {
        const { flushes, index } = { flushes: this.index.written, index: this.index };
        let anew = false;
        for (const _ of index.check()) {
          await new Promise(setImmediate);
          anew = this.closed || index !== this.index || index.written !== flushes;
          if (anew) break;
        }
        left = anew ? left : 0;
      }
      if (this.ledger && !this.closed) requireCounts(this.index, this.ledger, files);
    } catch (error) {
      await this.mended(error);
    }
  }

  get backlog() {
    return this.journal.backlog;
  }

  append(entry: Entry): Promise<void> {
    return this.journal.append(entry);
  }

  async streams({ after = '', limit }: { after?: string | undefined; limit: number }) {
    return this.ask((index) => index.streamsAfter(after, limit));
  }

  async stream(name: string) {
    return this.ask((index) => index.stream(name));
  }

  async takes({ channel = 'telemetry', stream, device, after, limit }: TakeQuery) {
    const of = { channel, stream, ...(device === undefined ? {} : { device }) };
    return this.ask((index) => index.takes(of, fromCursor(after), limit));
  }

  async take(key: TakeKey) {
    return this.ask((index) => index.take(key));
  }

  async live(name: string, version: number) {
    return this.ask((index) => index.liveOf(`${name}@${version}`));
  }

  async predicted(recordings: readonly string[]) {
    return this.ask((index) => index.predicted(recordings));
  }

  /** In the order in which they came, that is the recording's order mostly; else sorted by what the index tells of each. */
  async *read(
    key: TakeKey,
    { from = -Infinity, to = Infinity }: Span = {},
    lost: (message: LostMessage) => void = () => {},
  ): AsyncGenerator<Entry> {
    const end = this.leases.take();
    try {
      const take = await this.take(key);
      if (!take) return;
      // A batch begins before the time and may reach into it.
      const span = { from: from - longestBatchMs, to };
      const told = ({ t, rows }: Spot) => {
        if (t >= from - longestBatchMs && t <= to) lost({ key, t, rows });
      };
      if (take.outOfOrder > 0) yield* this.readSorted(key, span, told);
      else {
        for (
          let some = await this.next(key, 0, span);
          some;
          some = await this.next(key, some.segment, span)
        ) {
          yield* this.entries(some.file, some.spots, told);
        }
      }
    } finally {
      end();
    }
  }

  async settled(): Promise<void> {
    await Promise.all([...this.looked.values(), this.background]);
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
        const there = await stat(segmentPath(this.options.folder, state)).catch(() => null);
        if (there?.size !== state.bytes) {
          // Written anew it would have lost for good what a backup may bring back.
          this.look(segment);
          continue;
        }
        if (dead > 0 && dead >= share * state.bytes) {
          const { ledger } = this;
          bytes += await reclaimSegment({ folder, index, leases, sync, ledger }, state, !older);
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
    this.closed = true;
    await this.alone(async () => {});
    await this.background;
    await this.settled();
    await this.journal.close();
    this.index.close();
  }

  /** Spots of one segment, and its file as it is now: a read keeps what it has begun with. */
  private async next(key: TakeKey, after: number, { from, to }: { from: number; to: number }) {
    return this.ask((index) => {
      const found = index.spots(key, after, from, to, this.journal.end.segment);
      return found && { ...found, file: index.fileOf(found.segment) };
    });
  }

  private async *readSorted(
    key: TakeKey,
    span: { from: number; to: number },
    lost: (spot: Spot) => void,
  ): AsyncGenerator<Entry> {
    const all: { spot: Spot; file: SegmentFile }[] = [];
    for (let some = await this.next(key, 0, span); some; some = await this.next(key, some.segment, span)) {
      for (const spot of some.spots) all.push({ spot, file: some.file });
    }
    const by = isNamed(key) ? 'seq' : 't';
    all.sort((a, b) => (a.spot[by] ?? 0) - (b.spot[by] ?? 0));
    for (let i = 0; i < all.length; ) {
      const file = all[i]?.file as SegmentFile;
      let to = i + 1;
      while (to < all.length && all[to]?.file === file) to++;
      const spots = all.slice(i, to).map(({ spot }) => spot);
      yield* this.entries(file, spots, lost);
      i = to;
    }
  }

  private entries(
    file: SegmentFile,
    spots: readonly Spot[],
    lost: (spot: Spot) => void,
  ): AsyncGenerator<Entry> {
    return entriesAt(segmentPath(this.options.folder, file), spots, file.checked, (spot) => {
      lost(spot);
      this.look(file.segment);
    });
  }

  /** Looks once through a segment that a damaged line was met in: all that it has lost is noted together. */
  private look(segment: number): void {
    if (this.looked.has(segment)) return;
    const done = this.lookThrough(segment).catch((err: unknown) => {
      this.options.log?.error(
        { err, segment },
        'a damaged segment of the journal could not be looked through',
      );
    });
    this.looked.set(segment, done);
  }

  private async lookThrough(segment: number): Promise<void> {
    const end = this.leases.take();
    try {
      const { folder, damage } = this.options;
      const state = this.index.segments().find((each) => each.segment === segment);
      const bytes = segment === this.journal.end.segment ? this.journal.end.offset : (state?.bytes ?? 0);
      const found = await damagedRanges(folder, this.index.fileOf(segment), bytes);
      const known = await this.ask((index) => index.lostIn(segment, found.ranges));
      this.index.addDamaged(found.lines);
      await damage?.(findingsIn(found, known));
    } finally {
      end();
    }
  }

  /** Asks the index; one that turns out to be damaged is made anew first. */
  private async ask<T>(question: (index: JournalIndex) => T): Promise<T> {
    await this.renewing;
    try {
      return question(this.index);
    } catch (error) {
      await this.mended(error);
      return question(this.index);
    }
  }

  /** Makes the index anew while nothing is written, where this error says that it is damaged. */
  private async mended(error: unknown): Promise<void> {
    if (!isIndexDamage(error)) throw error;
    const damaged = this.index;
    await this.journal.alone(async () => {
      // Another one that has met it was first.
      if (this.index === damaged) await this.renew(this.journal.end, error);
    });
  }

  private async renew(end: Position, why: unknown): Promise<JournalIndex> {
    const { log } = this.options;
    const old = this.index;
    let done = () => {};
    this.renewing = new Promise((resolve) => (done = resolve));
    try {
      log?.warn({ err: why }, 'the index of the journal is damaged, and is made anew');
      const { index } = await rebuiltIndex(partsOf(this.options, this.ledger), old, end, why);
      this.index = index;
      this.journal.useIndex(index);
      log?.info('the index of the journal is made anew');
      return index;
    } finally {
      done();
      this.renewing = undefined;
    }
  }
}

function partsOf(options: FileTelemetryOptions, ledger: SegmentLedger | undefined): ReplayParts {
  const { folder, log, damage = async () => {} } = options;
  return { folder, log, ledger, report: damage };
}

/** What one message may reach over, ms: a longer batch is found by its first hour. */
export const longestBatchMs = 3_600_000;

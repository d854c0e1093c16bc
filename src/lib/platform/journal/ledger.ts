import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { serially } from '../store/engine.js';
import { type Ledger, type LogFile, noteEveryMs } from '../verify/ledger.js';
import type { JournalRecord } from './entry.js';
import { Tallies, type Tally } from './lost.js';
import { listSegments, type Position, type SegmentFile, scanSegment, segmentPath } from './segments.js';

export type SegmentNote = LogFile<Tally[]>;

/** A segment that is not as long as it was, not there at all, or another one than was written. */
export interface MissingSegment {
  note: SegmentNote;
  /** null = it is gone. */
  bytes: number | null;
  /** As long as it was, or longer, and not what was written. */
  altered: boolean;
}

interface Tail {
  segment: number;
  bytes: number;
  crc: number;
  counts: Tallies;
}

/**
 * The journal's segments as the state database knows them: length, checksum and rows by stream and device. The open one is noted every few
 * seconds and at the end, a closed one once more with its digest. Numbers have no gaps: a segment that is gone is noticed as well.
 */
export class SegmentLedger {
  private tail: Tail = { segment: 0, bytes: 0, crc: 0, counts: new Tallies() };
  private noted = -1;
  private timer: NodeJS.Timeout | undefined;
  private readonly inTurn = serially();
  private closed = false;

  private constructor(
    private readonly folder: string,
    private readonly ledger: Ledger<Tally[]>,
    private notes: SegmentNote[],
    private readonly failed: (error: unknown) => void,
  ) {}

  static async open(
    folder: string,
    ledger: Ledger<Tally[]>,
    failed: (error: unknown) => void,
  ): Promise<SegmentLedger> {
    return new SegmentLedger(folder, ledger, await ledger.load(), failed);
  }

  /** Number of the newest segment that there ever was; 0 = none. */
  get newest(): number {
    return this.notes.reduce((most, { number }) => Math.max(most, number), 0);
  }

  /** Messages of telemetry in all segments by stream; null where not every one is known, or some have been removed. */
  streams(files: readonly SegmentFile[]): Map<string, number> | null {
    const open = { number: this.tail.segment, generation: 0, counts: this.tail.counts.all() };
    const all = [...this.notes.filter(({ number }) => number !== open.number), open];
    if (files.some(({ segment }) => all.every(({ number }) => number !== segment))) return null;
    const sums = new Map<string, number>();
    for (const { generation, counts } of all) {
      if (generation !== 0) return null;
      for (const { stream, messages } of counts)
        if (stream !== null) sums.set(stream, (sums.get(stream) ?? 0) + messages);
    }
    return sums;
  }

  /**
   * Holds the files against what is known of them: closed ones by their lengths, the open one by its checksum, too. Whether a closed one
   * of the right length is what was written is for the scrub, which reads all.
   */
  async missing(): Promise<MissingSegment[]> {
    const found: MissingSegment[] = [];
    for (const number of new Set(this.notes.map((note) => note.number))) {
      const notes = this.notes.filter((note) => note.number === number);
      if (notes.some(({ generation, bytes }) => generation < 0 || bytes === 0)) continue;
      const sizes = await Promise.all(notes.map((note) => this.sizeOf(note)));
      // While a segment is written anew both of its files are known.
      const whole = notes.findIndex(({ bytes }, i) => (sizes[i] ?? -1) >= bytes);
      const at = whole < 0 ? notes.length - 1 : whole;
      const [note, bytes] = [notes[at] as SegmentNote, sizes[at] ?? null];
      const altered = whole >= 0 && (await this.isAltered(note, bytes ?? 0));
      if (whole < 0 || altered) found.push({ note, bytes, altered });
    }
    return found;
  }

  /** The loss of these was reported: from now on they are what they are now. */
  async accept(missing: readonly MissingSegment[]): Promise<void> {
    for (const { note, bytes } of missing) {
      await this.forget(note);
      if (bytes === null)
        await this.save({ ...note, generation: -1, bytes: 0, crc: 0, digest: null, counts: [] });
    }
  }

  /** Takes up the open segment where it was left. @param file null = there is none yet */
  async resume(end: Position, file: SegmentFile | null): Promise<void> {
    const note = this.notes.find(({ number, generation }) => number === end.segment && generation === 0);
    const known = note !== undefined && note.bytes <= end.offset ? note : null;
    this.tail = {
      segment: end.segment,
      bytes: known?.bytes ?? 0,
      crc: known?.crc ?? 0,
      counts: new Tallies(known?.counts ?? []),
    };
    this.noted = known?.bytes ?? -1;
    if (file === null || this.tail.bytes >= end.offset) return;
    const { bytes, crc, counts } = await readFrom(this.folder, file, this.tail, end.offset);
    Object.assign(this.tail, { bytes, crc, counts });
    this.schedule();
  }

  /** Notes closed segments that are not known yet: those of an earlier version, of a backup, or closed just before a crash. */
  async adopt(files: readonly SegmentFile[], signal: () => boolean): Promise<void> {
    const current = new Map(files.map((file) => [file.segment, file]));
    for (const note of [...this.notes]) {
      const file = current.get(note.number);
      if (file && note.generation >= 0 && file.generation !== note.generation) await this.forget(note);
    }
    for (const file of current.values()) {
      if (signal() || file.segment >= this.tail.segment) return;
      if (this.notes.some((note) => note.number === file.segment && note.digest !== null)) continue;
      await this.save(await noteOf(this.folder, file));
    }
  }

  /** Lines that are durable, at the end of the open segment. */
  add(block: Buffer, records: readonly JournalRecord[]): void {
    const { tail } = this;
    tail.crc = crc32(block, tail.crc);
    tail.bytes += block.length;
    for (const record of records) tail.counts.addRecord(record);
    this.schedule();
  }

  /** The open segment is closed, and the next begins. What is on disk is held against what was written. */
  sealed(file: SegmentFile, damaged: (note: SegmentNote) => void): void {
    const before = this.noteOfTail();
    this.tail = { segment: file.segment + 1, bytes: 0, crc: 0, counts: new Tallies() };
    this.noted = -1;
    void this.later(async () => {
      const now = await noteOf(this.folder, file);
      if (now.bytes !== before.bytes || now.crc !== before.crc) damaged(before);
      await this.ledger.save([now]);
      this.keep(now);
    });
  }

  /** Before a segment's next generation takes its place: until then both are known. */
  async replacing(next: SegmentNote): Promise<void> {
    await this.save(next);
  }

  async replaced(old: Pick<SegmentNote, 'number' | 'generation'>): Promise<void> {
    await this.forget(old);
  }

  /** Notes the open segment as far as it is durable now. */
  async note(): Promise<void> {
    clearTimeout(this.timer);
    this.timer = undefined;
    // Its file is made with the first line.
    if (this.noted === this.tail.bytes || this.tail.bytes === 0) return;
    const note = this.noteOfTail();
    this.noted = note.bytes;
    await this.save(note);
  }

  async close(): Promise<void> {
    this.closed = true;
    await this.note();
    await this.inTurn(async () => {});
  }

  private schedule(): void {
    if (this.closed || this.timer) return;
    this.timer = setTimeout(() => void this.note(), noteEveryMs);
    this.timer.unref();
  }

  private noteOfTail(): SegmentNote {
    const { segment, bytes, crc, counts } = this.tail;
    return { number: segment, generation: 0, bytes, crc, digest: null, counts: counts.all() };
  }

  private save(note: SegmentNote): Promise<void> {
    return this.later(async () => {
      await this.ledger.save([note]);
      this.keep(note);
    });
  }

  private forget({ number, generation }: Pick<SegmentNote, 'number' | 'generation'>): Promise<void> {
    return this.later(async () => {
      await this.ledger.forget([{ number, generation }]);
      this.notes = this.notes.filter((each) => each.number !== number || each.generation !== generation);
    });
  }

  private keep(note: SegmentNote): void {
    const others = this.notes.filter(
      ({ number, generation }) => number !== note.number || generation !== note.generation,
    );
    this.notes = [...others, note].sort((a, b) => a.number - b.number || a.generation - b.generation);
  }

  /** In their order. One that fails, on a full disk say, is made good by the next. */
  private async later(task: () => Promise<void>): Promise<void> {
    await this.inTurn(task).catch(this.failed);
  }

  /** Damaged lines are not meant: whoever reads them says so. */
  private async isAltered(note: SegmentNote, size: number): Promise<boolean> {
    if (note.digest !== null) return size > note.bytes;
    const { segment, generation } = { segment: note.number, generation: note.generation };
    const file = (await listSegments(this.folder)).find(
      (each) => each.segment === segment && each.generation === generation,
    );
    if (!file) return false;
    let crc = 0;
    const path = segmentPath(this.folder, file);
    for await (const chunk of createReadStream(path, { end: note.bytes - 1, highWaterMark: 1 << 20 }))
      crc = crc32(chunk as Buffer, crc);
    if (crc === note.crc) return false;
    let broken = 0;
    await scanSegment(
      this.folder,
      file,
      0,
      () => {},
      false,
      () => broken++,
    );
    return broken === 0;
  }

  private async sizeOf({ number, generation }: SegmentNote): Promise<number | null> {
    const sizes = await Promise.all(
      [true, false].map(async (checked) => {
        const path = segmentPath(this.folder, { segment: number, generation, checked });
        return (await stat(path).catch(() => null))?.size ?? null;
      }),
    );
    return sizes[0] ?? sizes[1] ?? null;
  }
}

/** A closed segment as it is on disk. */
export async function noteOf(
  folder: string,
  file: SegmentFile,
  path = segmentPath(folder, file),
): Promise<SegmentNote> {
  const hash = createHash('sha256');
  let [bytes, crc] = [0, 0];
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) {
    hash.update(chunk as Buffer);
    crc = crc32(chunk as Buffer, crc);
    bytes += (chunk as Buffer).length;
  }
  const counts = new Tallies();
  await scanSegment(folder, file, 0, (record) => counts.addRecord(record), false, undefined, path);
  return {
    ...{ number: file.segment, generation: file.generation, bytes, crc },
    ...{ digest: hash.digest('hex'), counts: counts.all() },
  };
}

/** What a segment holds up to `end`, where all before `from.bytes` is known. */
async function readFrom(folder: string, file: SegmentFile, from: Tail, end: number) {
  let { bytes, crc } = from;
  if (end > bytes) {
    const path = segmentPath(folder, file);
    for await (const chunk of createReadStream(path, {
      start: bytes,
      end: end - 1,
      highWaterMark: 1 << 20,
    })) {
      crc = crc32(chunk as Buffer, crc);
      bytes += (chunk as Buffer).length;
    }
  }
  const { counts } = from;
  await scanSegment(folder, file, from.bytes, (record) => counts.addRecord(record), false);
  return { bytes, crc, counts };
}

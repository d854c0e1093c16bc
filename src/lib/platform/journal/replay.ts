import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Finding } from '../verify/damage.js';
import type { JournalRecord, Place } from './entry.js';
import { openIndexDatabase, removeIndex } from './index/database.js';
import { JournalIndex } from './index/journal-index.js';
import { IndexDamage, isIndexDamage } from './index/rows.js';
import type { MissingSegment, SegmentLedger } from './ledger.js';
import {
  alteredFindings,
  brokenLines,
  type DamagedRange,
  findingsOf,
  lessBy,
  salvaged,
  Tallies,
  type Tally,
} from './lost.js';
import {
  listSegments,
  type Position,
  placeOf,
  type SegmentFile,
  scanSegment,
  segmentPath,
} from './segments.js';

/** Records that are handed to the index at once. */
const batch = 4096;
/** An index up to this size is looked through before it is used; a larger one behind the start. */
const checkedAtOnceBytes = 64 * 1024 ** 2;
/** How often a long rebuild says how far it is, ms. */
const progressEveryMs = 2000;

export interface ReplayParts {
  folder: string;
  ledger?: SegmentLedger | undefined;
  log?: Pick<Logger, 'error' | 'info' | 'warn'> | undefined;
  report: (findings: readonly Finding[]) => Promise<void>;
}

interface OpenedIndex {
  index: JournalIndex;
  end: Position;
  files: SegmentFile[];
  /** Whether every row of it was looked at. */
  checked: boolean;
}

/**
 * Opens the index, makes sure that it is whole and of this journal, and brings it up to the journal's end. One that is damaged, or speaks of
 * segments that are not there or were cut short, is made anew: messages that are gone would be taken for repeats. Before that it says
 * what has been lost.
 */
export async function openIndex(parts: ReplayParts): Promise<OpenedIndex> {
  const { folder, ledger, report } = parts;
  const files = await listSegments(folder);
  const opened = await wholeIndex(parts);
  let { index } = opened;
  const gone = await missingParts(folder, index, files);
  const missing = (await ledger?.missing()) ?? [];
  if (gone.length > 0 || missing.length > 0) await report(await lostFindings(parts, index, gone, missing));
  // The index has the places of a segment's former lines.
  if (gone.length > 0 || missing.some(({ altered }) => altered)) index = await emptyIndex(folder, index);
  await ledger?.accept(missing);
  index.claim();
  const current = await withoutLeftovers(folder, index, files);
  let end = await catchUp(parts, index, current);
  const newest = ledger?.newest ?? 0;
  if (end.segment <= newest && !current.some(({ segment }) => segment === end.segment)) {
    // Numbers are given once: what was in a segment that is gone is not what comes now.
    end = { segment: newest + 1, offset: 0 };
    index.flush(end);
  }
  for (const name of await readdir(folder)) {
    if (name.endsWith('.log.new')) await rm(join(folder, name), { force: true });
  }
  // Of version 1: what it told is in index.db now.
  await rm(join(folder, 'index.json'), { force: true });
  return { index, end, files: current, checked: opened.checked };
}

/** An index of the journal as it is, made from its first line on; nothing else may write to either meanwhile. */
export async function rebuiltIndex(
  parts: ReplayParts,
  old: JournalIndex,
  end: Position,
  why: unknown,
): Promise<{ index: JournalIndex; files: SegmentFile[] }> {
  const { folder, report } = parts;
  await report([indexFinding(why)]);
  const index = await emptyIndex(folder, old);
  index.claim();
  const files = await withoutLeftovers(folder, index, await listSegments(folder));
  await catchUp(parts, index, files, end);
  return { index, files };
}

async function wholeIndex(parts: ReplayParts): Promise<{ index: JournalIndex; checked: boolean }> {
  const { folder, report } = parts;
  const path = join(folder, 'index.db');
  const size = (await stat(path).catch(() => null))?.size ?? 0;
  const index = new JournalIndex(
    await openIndexDatabase(folder, (error) => void report([indexFinding(error)])),
  );
  if (size > checkedAtOnceBytes) return { index, checked: false };
  try {
    index.quickCheck();
    for (const _ of index.check());
    return { index, checked: true };
  } catch (error) {
    if (!isIndexDamage(error)) throw error;
    await report([indexFinding(error)]);
    return { index: await emptyIndex(folder, index), checked: true };
  }
}

function indexFinding(why: unknown): Finding {
  const reason = why instanceof Error ? why.message : String(why);
  return {
    part: 'index',
    place: 'journal/index.db',
    problem: `was damaged, and was made anew from the journal (${reason})`,
    repairable: true,
  };
}

async function emptyIndex(folder: string, old: JournalIndex): Promise<JournalIndex> {
  old.close();
  await removeIndex(folder);
  return new JournalIndex(await openIndexDatabase(folder));
}

interface MissingPart {
  segment: number;
  file: SegmentFile;
  /** Bytes that are there; all behind them is gone. */
  from: number;
}

/** What the index speaks of and the files do not have. */
async function missingParts(
  folder: string,
  index: JournalIndex,
  files: readonly SegmentFile[],
): Promise<MissingPart[]> {
  const { position } = index;
  const missing: MissingPart[] = [];
  for (const { bytes, dead: _, ...file } of index.segments()) {
    if (file.segment >= position.segment || file.generation < 0) continue;
    const found = await stat(segmentPath(folder, file)).catch(() => null);
    if (found?.size !== bytes) missing.push({ segment: file.segment, file, from: found?.size ?? 0 });
  }
  const open = files.findLast(({ segment }) => segment === position.segment);
  const file = open ?? { segment: position.segment, generation: 0, checked: true };
  const size = open ? (await stat(segmentPath(folder, open))).size : 0;
  if (size < position.offset) missing.push({ segment: position.segment, file, from: size });
  return missing;
}

/** By the index, which knows each message; what it had not come to yet, by the ledger. */
async function lostFindings(
  { folder }: ReplayParts,
  index: JournalIndex,
  gone: readonly MissingPart[],
  missing: readonly MissingSegment[],
): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const segment of new Set(
    [...gone, ...missing.map(({ note }) => ({ segment: note.number }))].map((each) => each.segment),
  )) {
    const known = missing.find(({ note }) => note.number === segment);
    const part = gone.find((each) => each.segment === segment);
    const file = part?.file ?? {
      segment,
      generation: Math.max(0, known?.note.generation ?? 0),
      checked: true,
    };
    const from = part?.from ?? known?.bytes ?? 0;
    const there = (await stat(segmentPath(folder, file)).catch(() => null)) !== null;
    const range = { from, to: Infinity, bytes: Buffer.alloc(0) };
    let tallies: Tally[] = part ? index.within(segment, [range]).tallies : [];
    const { position } = index;
    const covers =
      position.segment > segment ||
      (position.segment === segment && position.offset >= (known?.note.bytes ?? 0));
    if (known?.altered) {
      findings.push(...alteredFindings(placeOf(file), known.note.counts, await tallied(folder, file)));
      continue;
    }
    if (known && !(part && covers)) tallies = await lessThanNoted(folder, file, there, known.note.counts);
    if (part === undefined || tallies.length > 0 || known) {
      const problem = there ? 'is shorter than it was' : 'is gone';
      findings.push(...findingsOf(placeOf(file), problem, tallies));
    }
  }
  return findings;
}

async function lessThanNoted(
  folder: string,
  file: SegmentFile,
  there: boolean,
  before: readonly Tally[],
): Promise<Tally[]> {
  return lessBy(before, there ? await tallied(folder, file) : []);
}

async function tallied(folder: string, file: SegmentFile): Promise<Tally[]> {
  const there = new Tallies();
  await scanSegment(folder, file, 0, (record) => there.addRecord(record), false);
  return there.all();
}

/** A removal that was cut short leaves two generations of a segment: the index knows which one counts. */
async function withoutLeftovers(
  folder: string,
  index: JournalIndex,
  files: readonly SegmentFile[],
): Promise<SegmentFile[]> {
  const known = new Map(index.segments().map((row) => [row.segment, row]));
  // Of an index made anew, the newest counts: a generation has its name when it is whole.
  const newest = new Map(files.map((file) => [file.segment, file]));
  const current: SegmentFile[] = [];
  for (const file of files) {
    const row = known.get(file.segment);
    const counts = row && (row.bytes > 0 || row.generation < 0) ? row : newest.get(file.segment);
    if (file.generation === counts?.generation && file.checked === counts.checked) current.push(file);
    else await rm(segmentPath(folder, file), { force: true });
  }
  return current;
}

/** @param until where the journal ends while it is open; else it ends where its last whole line does, and what is behind is cut off */
async function catchUp(
  { folder, log, report }: ReplayParts,
  index: JournalIndex,
  files: readonly SegmentFile[],
  until?: Position,
): Promise<Position> {
  const from = index.position;
  let end = from;
  const ahead = files.filter(({ segment }) => segment >= from.segment);
  const progress = await progressOf(folder, ahead, from, log);
  for (const file of ahead) {
    if (file.segment > end.segment && end.offset > 0)
      index.seal(
        end,
        files.find((f) => f.segment === end.segment),
      );
    let some: { record: JournalRecord; place: Place }[] = [];
    const broken: DamagedRange[] = [];
    const take = (record: JournalRecord, place: Place) => {
      some.push({ record, place });
      if (some.length < batch) return;
      index.apply(some);
      some = [];
      progress(place);
      if (index.due !== 'no')
        index.flush({ segment: place.segment, offset: place.offset + place.length + 1 });
    };
    const start = file.segment === from.segment ? from.offset : 0;
    const last = file === files.at(-1) && until === undefined;
    const { end: offset, damaged } = await scanSegment(folder, file, start, take, last, (range) =>
      broken.push(range),
    );
    index.apply(some);
    end = { segment: file.segment, offset };
    if (damaged > 0) {
      index.addDamaged(damaged);
      const tallies = new Tallies(broken.flatMap(salvaged));
      await report(findingsOf(placeOf(file), brokenLines, tallies.all()));
    }
    // A chunk is of one segment.
    index.flush(end);
  }
  if (until !== undefined) {
    if (until.segment > end.segment && end.offset > 0)
      index.seal(
        end,
        files.find((f) => f.segment === end.segment),
      );
    index.flush(until);
    return until;
  }
  // Lines with checksums are not written behind lines without.
  const open = files.at(-1);
  if (open && (!open.checked || open.generation > 0) && end.offset > 0) {
    index.seal(end, open);
    end = { segment: end.segment + 1, offset: 0 };
    index.flush(end);
  }
  return end;
}

/** Tells now and then how much of how much was read, where that takes long. */
async function progressOf(
  folder: string,
  files: readonly SegmentFile[],
  from: Position,
  log: ReplayParts['log'],
): Promise<(place: Place) => void> {
  const sizes = await Promise.all(
    files.map(async (file) => (await stat(segmentPath(folder, file)).catch(() => ({ size: 0 }))).size),
  );
  const total =
    sizes.reduce((sum, size) => sum + size, 0) - (files[0]?.segment === from.segment ? from.offset : 0);
  let told = performance.now();
  return (place) => {
    const at = performance.now();
    if (at - told < progressEveryMs) return;
    told = at;
    const before = files.findIndex(({ segment }) => segment === place.segment);
    const skipped = files[0]?.segment === from.segment ? from.offset : 0;
    const done = sizes.slice(0, before).reduce((sum, size) => sum + size, 0) + place.offset - skipped;
    const percent = Math.floor((100 * done) / Math.max(1, total));
    log?.info({ done, total, percent }, 'reading the journal into its index');
  };
}

/** Holds the index's counts against the ledger's, where nothing was ever removed. @throws IndexDamage */
export function requireCounts(
  index: JournalIndex,
  ledger: SegmentLedger,
  files: readonly SegmentFile[],
): void {
  // Damaged lines are in the ledger, and in an index that was made before.
  if (index.damaged > 0) return;
  const noted = ledger.streams(files);
  if (!noted || index.segments().some(({ generation, dead }) => generation !== 0 || dead > 0)) return;
  for (const [stream, messages] of noted) {
    const found = index.stream(stream)?.messages ?? 0;
    if (found !== messages)
      throw new IndexDamage(`${stream} has ${found} messages: the journal has ${messages}`);
  }
}

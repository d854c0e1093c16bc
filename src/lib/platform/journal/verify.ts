import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { systemCode } from '../../core/errors.js';
import { syncFolder } from '../../core/files.js';
import { nativePart } from '../../core/process.js';
import type { Store } from '../store/database.js';
import type { Finding } from '../verify/damage.js';
import { ledgerIn } from '../verify/ledger.js';
import { indexForm, removeIndex } from './index/database.js';
import { JournalIndex } from './index/journal-index.js';
import { isIndexDamage } from './index/rows.js';
import type { SegmentNote } from './ledger.js';
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
import { listSegments, placeOf, type SegmentFile, scanSegment, segmentPath } from './segments.js';

export interface VerifyOptions {
  /** state.db of the folder: it knows what the journal held. Without it the lines alone are checked. */
  store?: Store | undefined;
  /** Brings back what can be. Only where no platform has the folder. */
  repair?: boolean | undefined;
  /** A folder with the journal's segments of a backup, to repair from. */
  from?: string | undefined;
  /** Ends the check between two segments. */
  signal?: AbortSignal | undefined;
  /** Called between two segments: a check behind a running platform waits here. */
  pause?: (() => Promise<void>) | undefined;
  /** Is told how many segments of how many are done. */
  onProgress?: ((done: number, total: number) => void) | undefined;
}

/**
 * Checks every line of the journal by its checksum, and every segment by its length, its checksum, and the digest of a closed one, as the state
 * database knows them. Of a running platform's open segment, what was noted last is checked. Only reads, unless it repairs.
 * @param dataDir the data folder
 * @returns what is damaged after it was repaired; findings of the same segment have the same place
 */
export async function verifyJournal(dataDir: string, options: VerifyOptions = {}): Promise<Finding[]> {
  const { store, repair = false, from, signal, pause, onProgress } = options;
  const folder = join(dataDir, 'journal');
  if (!(await stat(folder).catch(() => null)) && !store) return [];
  const notes = store ? await ledgerIn<Tally[]>(store, 'journal').load() : [];
  const files = await listSegments(folder);
  const numbers = new Set([...files.map(({ segment }) => segment), ...notes.map(({ number }) => number)]);
  const findings: Finding[] = [];
  let done = 0;
  for (const number of [...numbers].sort((a, b) => a - b)) {
    if (signal?.aborted) break;
    const known = notes.filter((note) => note.number === number);
    // It went on purpose, or its loss was reported when the platform started.
    const gone = known.some(({ generation }) => generation < 0);
    const file = files.findLast(({ segment }) => segment === number) ?? (await againListed(folder, number));
    const note = known.findLast(({ generation }) => file === null || generation === file.generation) ?? null;
    // A running platform may have removed it since.
    const went = file === null && store !== undefined && (await isGone(store, number));
    if ((!gone || file) && !went) {
      const segment = { folder, file, note };
      let found = await verifySegment(segment);
      if (found.length > 0 && repair && from !== undefined && (await repairSegment(segment, from))) {
        // The index was made without the lines that are back.
        await removeIndex(folder);
        const now = (await listSegments(folder)).findLast((each) => each.segment === number) ?? null;
        found = await verifySegment({ folder, file: now, note });
      }
      findings.push(...found);
    }
    onProgress?.(++done, numbers.size);
    await pause?.();
  }
  return findings;
}

/** A segment that was begun after the folder was listed. */
async function againListed(folder: string, number: number): Promise<SegmentFile | null> {
  return (await listSegments(folder)).findLast(({ segment }) => segment === number) ?? null;
}

async function isGone(store: Store, number: number): Promise<boolean> {
  const notes = (await ledgerIn<Tally[]>(store, 'journal').load()).filter((note) => note.number === number);
  return notes.length === 0 || notes.some(({ generation }) => generation < 0);
}

interface Segment {
  folder: string;
  /** null = it is not there. */
  file: SegmentFile | null;
  note: SegmentNote | null;
}

async function verifySegment({ folder, file, note }: Segment): Promise<Finding[]> {
  if (file === null) {
    if (note === null || note.bytes === 0) return [];
    const place = placeOf({ segment: note.number, generation: note.generation, checked: true });
    return findingsOf(place, 'is gone', note.counts);
  }
  const place = placeOf(file);
  const path = segmentPath(folder, file);
  let read: Awaited<ReturnType<typeof sumsOf>>;
  const broken: DamagedRange[] = [];
  const there = new Tallies();
  try {
    read = await sumsOf(path, note?.bytes ?? null);
    const until = note?.bytes ?? Infinity;
    await scanSegment(
      folder,
      file,
      0,
      (record, { offset }) => (offset < until ? there.addRecord(record) : undefined),
      false,
      (range) => broken.push(range),
    );
  } catch (error) {
    // A segment that was written anew or removed meanwhile has another name now.
    if (systemCode(error) === 'ENOENT') return [];
    throw error;
  }
  const lost = note ? lessBy(note.counts, there.all()) : [];
  if (note && read.bytes < note.bytes) return findingsOf(place, 'is shorter than it was', lost);
  if (broken.length > 0) {
    const tallies = new Tallies(broken.flatMap(salvaged)).all();
    return findingsOf(place, brokenLines, mostKnown(tallies, lost));
  }
  const altered = note && (read.crc !== note.crc || (note.digest !== null && read.digest !== note.digest));
  return altered ? alteredFindings(place, note.counts, there.all()) : [];
}

/** Times are those of damaged lines, rows those that the ledger misses: a line that says nothing of itself is counted there alone. */
function mostKnown(tallies: readonly Tally[], lost: readonly Tally[]): Tally[] {
  if (lost.length === 0) return [...tallies];
  return lost.map((less) => {
    const own = tallies.find(({ stream, device }) => stream === less.stream && device === less.device);
    return own && own.rows >= less.rows ? own : less;
  });
}

/** Checksums of a file's first `most` bytes; null = of all. */
async function sumsOf(path: string, most: number | null) {
  const hash = createHash('sha256');
  let [bytes, crc] = [0, 0];
  if (most === 0) return { bytes, crc, digest: hash.digest('hex') };
  const end = most === null ? Infinity : most - 1;
  for await (const chunk of createReadStream(path, { end, highWaterMark: 1 << 20 })) {
    hash.update(chunk as Buffer);
    crc = crc32(chunk as Buffer, crc);
    bytes += (chunk as Buffer).length;
  }
  return { bytes, crc, digest: hash.digest('hex') };
}

/**
 * Takes lines that are damaged or missing from the same segment of a backup: segments only grow, so that the same offset of the same generation
 * is the same line. All that is whole stays. @returns whether anything was taken
 */
async function repairSegment({ folder, file, note }: Segment, from: string): Promise<boolean> {
  const wanted = file ?? { segment: note?.number ?? 0, generation: note?.generation ?? 0, checked: true };
  const theirs = segmentPath(from, wanted);
  const size = (await stat(theirs).catch(() => null))?.size ?? 0;
  if (size === 0) return false;
  const path = segmentPath(folder, wanted);
  const own = file === null ? 0 : (await stat(path)).size;
  const broken: DamagedRange[] = [];
  if (file !== null)
    await scanSegment(
      folder,
      file,
      0,
      () => {},
      false,
      (range) => broken.push(range),
    );
  const expected = note?.bytes ?? 0;
  const pieces = broken.map(({ from: begin, to }) => ({ begin, end: Math.min(to, size) }));
  if (own < expected && size > own) pieces.push({ begin: own, end: Math.min(size, expected) });
  const useful = pieces.filter(({ begin, end }) => end > begin);
  if (useful.length === 0) return false;
  const temporary = `${path}.new`;
  await rm(temporary, { force: true });
  const source = await open(theirs, 'r');
  const target = await open(temporary, 'wx+', 0o600);
  try {
    if (file !== null) {
      let at = 0;
      for await (const chunk of createReadStream(path))
        at += (await target.write(chunk as Buffer, 0, undefined, at)).bytesWritten;
    }
    for (const { begin, end } of useful) {
      for (let at = begin; at < end; ) {
        const block = Buffer.alloc(Math.min(1 << 20, end - at));
        const { bytesRead } = await source.read(block, 0, block.length, at);
        if (bytesRead === 0) break;
        at += (await target.write(block, 0, bytesRead, at)).bytesWritten;
      }
    }
    await target.sync();
  } finally {
    await source.close();
    await target.close();
  }
  await rename(temporary, path);
  await syncFolder(folder);
  return true;
}

/**
 * Checks index.db: SQLite's own check, the sum of every row, and its counts. It is derived: repaired means removed, and the platform makes it
 * anew when it starts. @param dataDir the data folder
 */
export async function verifyIndex(
  dataDir: string,
  { repair = false }: Pick<VerifyOptions, 'repair'> = {},
): Promise<Finding[]> {
  const folder = join(dataDir, 'journal');
  const path = join(folder, 'index.db');
  if (!(await stat(path).catch(() => null))) return [];
  const { default: Database } = await nativePart('libsql', () => import('libsql'));
  let index: JournalIndex | undefined;
  try {
    const database = new Database(path);
    database.exec('PRAGMA query_only = ON');
    const { user_version: form } = database.prepare('PRAGMA user_version').get() as { user_version: number };
    if (form !== indexForm) {
      // An index of another version is rebuilt at the next start: no damage.
      database.close();
      return [];
    }
    index = new JournalIndex(database);
    index.quickCheck();
    // One moment of it, whatever a running platform writes.
    database.exec('BEGIN');
    for (const _ of index.check()) await new Promise(setImmediate);
    return [];
  } catch (error) {
    if (!isIndexDamage(error) && !/^SQLITE_/.test(systemCode(error) ?? '')) throw error;
    if (systemCode(error)?.startsWith('SQLITE_BUSY')) throw error;
    index?.close();
    index = undefined;
    if (repair) {
      await removeIndex(folder);
      return [];
    }
    const reason = error instanceof Error ? error.message : String(error);
    const problem = `is damaged (${reason}); it is made anew from the journal at the next start`;
    return [{ part: 'index', place: 'journal/index.db', problem, repairable: true }];
  } finally {
    index?.close();
  }
}

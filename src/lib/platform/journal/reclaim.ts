import { open, rename, rm } from 'node:fs/promises';
import { syncFolder } from '../../core/files.js';
import { dataSync, type Sync } from '../sync.js';
import { isEntry, lineOf } from './entry.js';
import type { JournalIndex } from './index/journal-index.js';
import type { Spot } from './index/rows.js';
import type { SegmentState } from './index/segment-rows.js';
import { noteOf, type SegmentLedger } from './ledger.js';
import type { DamagedRange } from './lost.js';
import { scanSegment, segmentPath } from './segments.js';
import { takeKeyOf } from './takes.js';

const newline = 10;

interface ReclaimParts {
  folder: string;
  index: JournalIndex;
  leases: Leases;
  sync?: Sync | undefined;
  ledger?: SegmentLedger | undefined;
}

/**
 * Gives back the space of a segment's dead lines: the lines that live are written aside, synced, and named as the next
 * generation; the index changes over to it in one transaction; then the old file goes, when nobody reads it any more. A
 * segment without a living line goes as a whole. Notes of removals stay where an older segment may still have what they
 * removed: an index that is made anew reads them in order. Damaged lines of recordings that live stay as they are, for a backup to repair.
 * @returns bytes that are free then
 */
export async function reclaimSegment(
  parts: ReclaimParts,
  old: SegmentState,
  oldest: boolean,
): Promise<number> {
  const { folder, index, leases, ledger, sync = dataSync } = parts;
  const living = index.livingSpots(old.segment).sort((a, b) => a.offset - b.offset);
  const next = { ...old, generation: old.generation + 1, checked: true, dead: 0, bytes: 0 };
  const path = segmentPath(folder, next);
  const moved = new Map<number, number>();
  const file = await open(`${path}.new`, 'w');
  try {
    let i = 0;
    let waiting: Buffer[] = [];
    const write = async () => {
      const block = Buffer.concat(waiting);
      waiting = [];
      for (let done = 0; done < block.length; ) done += (await file.write(block, done)).bytesWritten;
    };
    const { damaged } = await scanSegment(
      folder,
      old,
      0,
      (record, { offset }) => {
        // Those between are of damaged lines that are cut short.
        while (i < living.length && (living[i]?.offset ?? 0) < offset) i++;
        const lives = living[i]?.offset === offset;
        const noted = isEntry(record) ? record.repeat && index.take(takeKeyOf(record)) !== null : !oldest;
        if (!lives && !noted) return;
        if (lives) moved.set(offset, next.bytes);
        const { bytes } = lineOf(record);
        waiting.push(bytes);
        next.bytes += bytes.length;
        return waiting.length > 4096 ? write() : undefined;
      },
      false,
      (range) => {
        for (; i < living.length && (living[i]?.offset ?? 0) < range.to; i++) {
          const spot = living[i] as Spot;
          if (spot.offset < range.from) continue;
          moved.set(spot.offset, next.bytes);
          waiting.push(asItIs(range, spot));
          next.bytes += spot.length + 1;
        }
      },
    );
    if (damaged > 0) index.addDamaged(damaged);
    await write();
    await sync(file);
  } finally {
    await file.close();
  }
  const { segment: number } = old;
  if (next.bytes === 0) {
    await ledger?.replacing({ number, generation: -1, bytes: 0, crc: 0, digest: null, counts: [] });
    await leases.remove(`${path}.new`);
    index.moveSegment({ ...next, generation: -1 }, (offset) => offset);
  } else {
    // Before it has its name: after a crash between the two, the old file is what is known.
    const note = await noteOf(folder, next, `${path}.new`);
    await ledger?.replacing({ ...note, generation: next.generation });
    await rename(`${path}.new`, path);
    await syncFolder(folder);
    index.moveSegment(next, (offset) => moved.get(offset) ?? -1);
  }
  await leases.remove(segmentPath(folder, old));
  await ledger?.replaced({ number, generation: old.generation });
  return old.bytes - next.bytes;
}

/** A line that lives and is damaged, as it is; of one that is cut short the rest is filled up, so that it stays as long. */
function asItIs({ from, bytes }: DamagedRange, { offset, length }: Spot): Buffer {
  const line = Buffer.alloc(length + 1, ' ');
  bytes.copy(line, 0, offset - from, offset - from + length);
  line[length] = newline;
  return line;
}

/** Reads that are under way, and files that may go when the last read which could need them has ended. */
export class Leases {
  private readonly active = new Set<symbol>();
  private doomed: { path: string; readers: Set<symbol> }[] = [];

  /** Begins a read; what is returned ends it. */
  take(): () => void {
    const lease = Symbol('read');
    this.active.add(lease);
    return () => {
      this.active.delete(lease);
      for (const { readers } of this.doomed) readers.delete(lease);
      void this.sweep();
    };
  }

  /** Removes a file: now, or after the reads that are under way. A start removes what a stop has left. */
  async remove(path: string): Promise<void> {
    this.doomed.push({ path, readers: new Set(this.active) });
    await this.sweep();
  }

  private async sweep(): Promise<void> {
    const free = this.doomed.filter(({ readers }) => readers.size === 0);
    this.doomed = this.doomed.filter(({ readers }) => readers.size > 0);
    await Promise.all(free.map(({ path }) => rm(path, { force: true })));
  }
}

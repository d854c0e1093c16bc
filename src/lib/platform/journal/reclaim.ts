import { open, rename } from 'node:fs/promises';
import { syncFolder } from '../../core/index.js';
import { dataSync, type Sync } from '../sync.js';
import type { JournalIndex } from './index/index.js';
import type { SegmentState } from './index/segment-rows.js';
import type { Leases } from './leases.js';
import { isEntry, lineOf } from './line.js';
import { scanSegment, segmentPath } from './segments.js';
import { takeKeyOf } from './takes.js';

export interface ReclaimParts {
  folder: string;
  index: JournalIndex;
  leases: Leases;
  sync?: Sync | undefined;
}

/**
 * Gives back the space of a segment's dead lines: the lines that live are written aside, synced, and named as the next
 * generation; the index changes over to it in one transaction; then the old file goes, when nobody reads it any more. A
 * segment without a living line goes as a whole. Notes of removals stay where an older segment may still have what they
 * removed: an index that is made anew reads them in order.
 * @returns bytes that are free then
 */
export async function reclaimSegment(
  parts: ReclaimParts,
  old: SegmentState,
  oldest: boolean,
): Promise<number> {
  const { folder, index, leases, sync = dataSync } = parts;
  const living = index.liveOffsets(old.segment);
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
        // Lines that are damaged were passed over: they are not in the next generation.
        while (i < living.length && (living[i] ?? 0) < offset) i++;
        const lives = living[i] === offset;
        const noted = isEntry(record) ? record.repeat && index.take(takeKeyOf(record)) !== null : !oldest;
        if (!lives && !noted) return;
        if (lives) moved.set(offset, next.bytes);
        const { bytes } = lineOf(record);
        waiting.push(bytes);
        next.bytes += bytes.length;
        return waiting.length > 4096 ? write() : undefined;
      },
      false,
    );
    if (damaged > 0) index.addDamaged(damaged);
    await write();
    await sync(file);
  } finally {
    await file.close();
  }
  if (next.bytes === 0) {
    await leases.remove(`${path}.new`);
    index.moveSegment({ ...next, generation: -1 }, (offset) => offset);
  } else {
    await rename(`${path}.new`, path);
    await syncFolder(folder);
    index.moveSegment(next, (offset) => moved.get(offset) ?? -1);
  }
  await leases.remove(segmentPath(folder, old));
  return old.bytes - next.bytes;
}

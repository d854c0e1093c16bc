import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { digestOf, readJson, writeFileAtomic } from '../../core/index.js';
import { listSegments, type Position, segmentFile } from './segments.js';

function checkpointFile(folder: string): string {
  return join(folder, 'index.json');
}

/**
 * What was last written with `writeCheckpoint`, if it is whole and the journal still has all that it speaks of. Null
 * where it cannot be trusted: then the journal is read from its beginning.
 */
export async function readCheckpoint<T extends { position: Position }>(folder: string): Promise<T | null> {
  const saved = (await readJson(checkpointFile(folder)).catch(() => null)) as Partial<{
    digest: string;
    contents: T;
  }> | null;
  if (!saved?.contents || saved.digest !== digestOf(Buffer.from(JSON.stringify(saved.contents)))) return null;
  return (await reaches(folder, saved.contents.position)) ? saved.contents : null;
}

export async function writeCheckpoint(folder: string, contents: { position: Position }): Promise<void> {
  const text = JSON.stringify(contents);
  const digest = digestOf(Buffer.from(text));
  await writeFileAtomic(checkpointFile(folder), `{"digest":"${digest}","contents":${text}}\n`);
}

/**
 * Whether the segments up to this position are there, and the last of them is as long. One that was cut short would be
 * written on behind its end, and messages that are gone would be taken for repeats.
 */
async function reaches(folder: string, { segment, offset }: Position): Promise<boolean> {
  const there = new Set(await listSegments(folder));
  for (let i = 1; i < segment; i++) if (!there.has(i)) return false;
  if (!there.has(segment)) return offset === 0;
  return (await stat(segmentFile(folder, segment))).size >= offset;
}

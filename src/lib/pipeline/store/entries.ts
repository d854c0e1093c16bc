import { readdir, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { readJson, unless, writeJsonAtomic } from '../../core/index.js';
import { treeSchema } from './tree.js';

/** What a step left, and how it ended: done, or skipped with its reason. */
export const entrySchema = z.object({
  spec: z.literal('aiot-step/1'),
  step: z.string(),
  /** The run in which it was run. */
  run: z.string(),
  outputs: z.record(z.string(), treeSchema),
  /** Its JSON; null when it printed none. */
  result: z.unknown(),
  skipped: z.string().nullable(),
  /** ms since 1970 */
  ended: z.number(),
});
export type Entry = z.output<typeof entrySchema>;

/** A step's leaving nothing to do is looked at again after this time: there may be devices by then. */
const skippedForMs = 5 * 60_000;

/** What is known under a key; null when nothing is, or no longer. */
export async function readEntry(folder: string, key: string, now: number): Promise<Entry | null> {
  const file = entryFile(folder, key);
  const read = entrySchema.safeParse(await unless('AIOT_FILE_NOT_FOUND', readJson(file)).catch(() => null));
  if (!read.success) return null;
  const age = now - read.data.ended;
  if (read.data.skipped !== null && (age > skippedForMs || age < 0)) return null;
  // How old the file is, is how long ago it was of use.
  await utimes(file, now / 1000, now / 1000).catch(() => {});
  return read.data;
}

export async function writeEntry(folder: string, key: string, entry: Entry): Promise<void> {
  await writeJsonAtomic(entryFile(folder, key), entry);
}

function entryFile(folder: string, key: string): string {
  return join(folder, `${key.replace(/^sha256:/, '')}.json`);
}

/** So many steps are known, whatever room they take: each is read at the end of each run. */
const mostSteps = 5000;
/** What the smallest file takes of a disk. */
const blockBytes = 4096;

/**
 * Removes what was longest of no use until no more than 5,000 steps are known and their contents take no more than `most` bytes, and returns the digests that are still in use.
 * @param always digests that stay in any case, with their bytes
 */
export async function pruneEntries(
  folder: string,
  most: number,
  always: ReadonlyMap<string, number>,
  steps = mostSteps,
): Promise<Set<string>> {
  const found: { file: string; used: number; blobs: Map<string, number> }[] = [];
  for (const name of await readdir(folder).catch(() => [])) {
    const file = join(folder, name);
    const read = entrySchema.safeParse(await readJson(file).catch(() => null));
    if (!read.success) {
      await rm(file, { force: true });
      continue;
    }
    const files = Object.values(read.data.outputs).flatMap((tree) => tree.files);
    const blobs = new Map(files.map(({ digest, bytes }) => [digest, bytes]));
    found.push({ file, used: (await stat(file)).mtimeMs, blobs });
  }
  const kept = new Map(always);
  let sum = 0;
  for (const bytes of kept.values()) sum += Math.max(bytes, blockBytes);
  let full = false;
  for (const [n, { file, blobs }] of found.sort((a, b) => b.used - a.used).entries()) {
    let more = blockBytes;
    for (const [digest, bytes] of blobs) if (!kept.has(digest)) more += Math.max(bytes, blockBytes);
    full ||= sum + more > most || n >= steps;
    if (full) {
      await rm(file, { force: true });
      continue;
    }
    sum += more;
    for (const [digest, bytes] of blobs) kept.set(digest, bytes);
  }
  return new Set(kept.keys());
}

import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { canonicalJson, digestOf, inParallel, unwritable } from '../../core/index.js';

/** A file or folder by its contents. */
export const treeSchema = z.object({
  folder: z.boolean(),
  /** Of all names and contents. */
  digest: z.string(),
  bytes: z.int(),
  files: z.array(
    z.object({
      /** In the folder; empty for a file. */
      path: z.string(),
      digest: z.string(),
      bytes: z.int(),
      /** Whether it may be run. */
      program: z.boolean(),
    }),
  ),
});
export type Tree = z.output<typeof treeSchema>;
export type TreeFile = Tree['files'][number];

/** Files read at a time. */
const atOnce = 8;
const chunkBytes = 1 << 20;
/** Links that lead round in a circle end somewhere. */
const deepest = 32;

/** What a file or folder holds, read in pieces; null when there is nothing. Names that begin with a dot do not count. */
export async function treeOf(path: string): Promise<Tree | null> {
  const found = await stat(path).catch(() => null);
  if (!found) return null;
  const folder = found.isDirectory();
  const names = folder ? await namesIn(path, '', 0) : [''];
  const files = await inParallel(names, atOnce, (name) => fileOf(join(path, name), name));
  return treeFrom(folder, files);
}

export function treeFrom(folder: boolean, files: TreeFile[]): Tree {
  const sorted = [...files].sort((a, b) => (a.path < b.path ? -1 : 1));
  const digest =
    !folder && sorted[0] && !sorted[0].program
      ? sorted[0].digest
      : digestOf(canonicalJson(sorted.map((file) => [file.path, file.digest, file.program])));
  return { folder, digest, bytes: sorted.reduce((sum, { bytes }) => sum + bytes, 0), files: sorted };
}

async function fileOf(file: string, path: string): Promise<TreeFile> {
  const { digest, bytes, mode } = await digestOfFile(file);
  return { path, digest, bytes, program: (mode & constants.S_IXUSR) !== 0 };
}

/** Reads a file to its end, a piece at a time. */
export async function digestOfFile(
  file: string,
  sync = false,
): Promise<{ digest: string; bytes: number; mode: number }> {
  const handle = await open(file, 'r');
  try {
    const { size, mode } = await handle.stat();
    const hash = createHash('sha256');
    const buffer = Buffer.allocUnsafe(Math.max(1, Math.min(chunkBytes, size)));
    let bytes = 0;
    for (;;) {
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, null);
      if (bytesRead === 0) break;
      hash.update(buffer.subarray(0, bytesRead));
      bytes += bytesRead;
    }
    if (sync)
      await handle.sync().catch((error: unknown) => {
        throw unwritable(file, error);
      });
    return { digest: `sha256:${hash.digest('hex')}`, bytes, mode };
  } finally {
    await handle.close();
  }
}

async function namesIn(folder: string, below: string, depth: number): Promise<string[]> {
  if (depth > deepest) return [];
  const names: string[] = [];
  for (const entry of await readdir(join(folder, below), { withFileTypes: true })) {
    if (entry.name.startsWith('.')) continue;
    const path = below === '' ? entry.name : `${below}/${entry.name}`;
    const kind = entry.isSymbolicLink() ? await stat(join(folder, path)).catch(() => null) : entry;
    if (kind?.isDirectory()) names.push(...(await namesIn(folder, path, depth + 1)));
    else if (kind?.isFile()) names.push(path);
  }
  return names;
}

import { createHash, randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { chmod, copyFile, link, mkdir, open, readdir, rename, rm, stat, utimes } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import * as z from 'zod';
import { canonicalJson, digestOf } from '../core/crypto.js';
import { systemCode, unless } from '../core/errors.js';
import { readJson, syncFolder, unwritable, writeFileAtomic, writeJsonAtomic } from '../core/files.js';
import { inParallel } from '../core/tasks.js';

/** A store of file contents by digest, in a folder. */
export interface Blobs {
  /** Adds a file or folder to the store, without copying if the file system supports that; null if the path does not exist. */
  take(path: string): Promise<Tree | null>;
  takeText(text: string): Promise<Tree>;
  /** Whether all contents exist and are unchanged. Every byte is read, but only once per process. */
  has(tree: Tree): Promise<boolean>;
  /** Creates the file or folder at a path, as a link or a copy. @param own whether to create a separate copy, which may be modified */
  place(tree: Tree, path: string, own?: boolean): Promise<void>;
  path(digest: string): string;
  /** Removes all contents except these. */
  keepOnly(digests: ReadonlySet<string>): Promise<void>;
}

const atOnce = 8;

export function openBlobs(folder: string): Blobs {
  /** Digests of the contents that this process has verified. */
  const checked = new Set<string>();
  const pathOf = (digest: string) => {
    const hex = digest.replace(/^sha256:/, '');
    return join(folder, hex.slice(0, 2), hex);
  };

  async function takeFile(from: string, { digest, bytes }: TreeFile): Promise<void> {
    const to = pathOf(digest);
    checked.add(digest);
    const there = await stat(to).catch(() => null);
    if (there && (await stat(from)).ino === there.ino) return;
    if (there?.size === bytes && (await isWhole(digest))) return;
    await mkdir(dirname(to), { recursive: true });
    const part = `${to}.${randomBytes(4).toString('hex')}.part`;
    await linkOrCopy(from, part);
    // The new file replaces the entry, which may be damaged.
    await rename(part, to);
    // The file is read-only, so that programs do not modify it by mistake. The digest reveals any modification.
    await chmod(to, 0o444).catch(() => {});
    await syncFolder(dirname(to));
  }

  async function isWhole(digest: string): Promise<boolean> {
    const found = await digestOfFile(pathOf(digest)).catch(() => null);
    return found?.digest === digest;
  }

  return {
    path: pathOf,
    async take(path) {
      const tree = await treeOf(path);
      if (!tree) return null;
      await inParallel(tree.files, atOnce, async (file) => {
        const from = file.path === '' ? path : join(path, file.path);
        // The file is synced before anything refers to it. The digest is computed again, because the file may have changed since it was
        // read.
        const now = await digestOfFile(from, true);
        await takeFile(from, { ...file, digest: now.digest, bytes: now.bytes });
        Object.assign(file, { digest: now.digest, bytes: now.bytes });
      });
      return treeFrom(tree.folder, tree.files);
    },
    async takeText(text) {
      const tree = textTree(text);
      const [{ digest }] = tree.files as [TreeFile];
      if (!(await isWhole(digest))) await writeFileAtomic(pathOf(digest), text, 0o444);
      checked.add(digest);
      return tree;
    },
    async has(tree) {
      const open = tree.files.filter(({ digest }) => !checked.has(digest));
      const whole = await inParallel(open, atOnce, async ({ digest }) => {
        const fine = await isWhole(digest);
        if (fine) checked.add(digest);
        return fine;
      });
      return whole.every(Boolean);
    },
    async place(tree, path, own = false) {
      if (tree.folder) await mkdir(path, { recursive: true });
      await inParallel(tree.files, atOnce, async ({ path: name, digest, program }) => {
        const to = name === '' ? path : join(path, name);
        await mkdir(dirname(to), { recursive: true });
        if (own || program) {
          await copyFile(pathOf(digest), to);
          await chmod(to, program ? 0o755 : 0o644);
        } else await linkOrCopy(pathOf(digest), to);
      });
    },
    async keepOnly(digests) {
      const wanted = new Set([...digests].map(pathOf));
      for (const part of await readdir(folder).catch(() => [])) {
        for (const name of await readdir(join(folder, part)).catch(() => [])) {
          const path = join(folder, part, name);
          if (!wanted.has(path)) await rm(path, { force: true });
        }
      }
    },
  };
}

function textTree(text: string): Tree {
  const bytes = Buffer.from(text);
  return treeFrom(false, [{ path: '', digest: digestOf(bytes), bytes: bytes.length, program: false }]);
}

async function linkOrCopy(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch (error) {
    // Linking is impossible: the path is on another file system, links are not supported, or the file has too many links.
    if (!['EXDEV', 'EPERM', 'EMLINK', 'ENOTSUP', 'EACCES'].includes(systemCode(error) ?? '')) throw error;
    await copyFile(from, to);
  }
}

/** A file or folder, described by its contents. */
export const treeSchema = z.object({
  folder: z.boolean(),
  /** Digest of all names and contents. */
  digest: z.string(),
  bytes: z.int(),
  files: z.array(
    z.object({
      /** Path within the folder; empty for a single file. */
      path: z.string(),
      digest: z.string(),
      bytes: z.int(),
      /** Whether the file is executable. */
      program: z.boolean(),
    }),
  ),
});

/** A step's outputs and outcome. The step is done, or was skipped for a reason. */
const entrySchema = z.object({
  spec: z.literal('aiot-step/1'),
  step: z.string(),
  /** The run that executed the step. */
  run: z.string(),
  outputs: z.record(z.string(), treeSchema),
  /** The step's JSON result; null if the step printed no JSON. */
  result: z.unknown(),
  skipped: z.string().nullable(),
  /** End of the step, ms since 1970. */
  ended: z.number(),
});

type Entry = z.output<typeof entrySchema>;

/** A cached "nothing to do" expires after this time, ms, because there may be devices by then. */
const skippedForMs = 5 * 60_000;

/** Reads the cached entry for a key; null if there is no entry, or if it has expired. */
export async function readEntry(folder: string, key: string, now: number): Promise<Entry | null> {
  const file = entryFile(folder, key);
  const read = entrySchema.safeParse(await unless('AIOT_FILE_NOT_FOUND', readJson(file)).catch(() => null));
  if (!read.success) return null;
  const age = now - read.data.ended;
  if (read.data.skipped !== null && (age > skippedForMs || age < 0)) return null;
  // The file's modification time is the time of the entry's last use.
  await utimes(file, now / 1000, now / 1000).catch(() => {});
  return read.data;
}

export async function writeEntry(folder: string, key: string, entry: Entry): Promise<void> {
  await writeJsonAtomic(entryFile(folder, key), entry);
}

function entryFile(folder: string, key: string): string {
  return join(folder, `${key.replace(/^sha256:/, '')}.json`);
}

/** Maximum number of cached steps, because every entry is read at the end of each run. */
const mostSteps = 5000;

/** Minimum disk space of a file, bytes. */
const blockBytes = 4096;

/**
 * Evicts the least recently used entries until at most `steps` remain and their contents have at most `most` bytes. Returns the digests
 * that are still in use.
 * @param always digests that are always kept, with their sizes in bytes
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

const keptSchema = z.record(z.string(), z.object({ run: z.string(), tree: treeSchema }));

/** Outputs that are stored for later runs, by name. */
export type Kept = z.output<typeof keptSchema>;

export async function readKept(file: string): Promise<Kept> {
  const read = keptSchema.safeParse(await readJson(file).catch(() => ({})));
  return read.success ? read.data : {};
}

export async function writeKept(file: string, kept: Kept): Promise<void> {
  await writeJsonAtomic(file, kept);
}

export type Tree = z.output<typeof treeSchema>;

type TreeFile = Tree['files'][number];

/** Number of files read concurrently. */
const filesAtOnce = 8;

const chunkBytes = 1 << 20;

/** Maximum depth of folders. This limit ends the recursion if links form a cycle. */
const deepest = 32;

/** The contents of a file or folder; null if the path does not exist. Names that begin with a dot are ignored. */
export async function treeOf(path: string): Promise<Tree | null> {
  const found = await stat(path).catch(() => null);
  if (!found) return null;
  const folder = found.isDirectory();
  const names = folder ? await namesIn(path, '', 0) : [''];
  const files = await inParallel(names, filesAtOnce, (name) => fileOf(join(path, name), name));
  return treeFrom(folder, files);
}

function treeFrom(folder: boolean, files: TreeFile[]): Tree {
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

/** Reads a file to its end, in pieces. */
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

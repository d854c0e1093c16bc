import { randomBytes } from 'node:crypto';
import { chmod, copyFile, link, mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { digestOf, inParallel, syncFolder, systemCode, writeFileAtomic } from '../../core/index.js';
import { digestOfFile, type Tree, type TreeFile, treeFrom, treeOf } from './tree.js';

/** Contents by their digest, in a folder. */
export interface Blobs {
  /** Takes a file or folder into the store, without a copy where the file system can; null when there is nothing at the path. */
  take(path: string): Promise<Tree | null>;
  takeText(text: string): Promise<Tree>;
  /** Whether all of it is there, unchanged: every byte is read, once a run. */
  has(tree: Tree): Promise<boolean>;
  /** Puts it at a path: linked, or copied. @param own a copy of its own, which may be written to */
  place(tree: Tree, path: string, own?: boolean): Promise<void>;
  path(digest: string): string;
  /** Removes all that is not in use. */
  keepOnly(digests: ReadonlySet<string>): Promise<void>;
}

const atOnce = 8;

export function openBlobs(folder: string): Blobs {
  /** Found to be whole by this process. */
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
    // One that is damaged gives way.
    await rename(part, to);
    // A program that writes to it later is noticed by the digest, or by not being allowed to.
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
        // On disk before anything names it; and it may have been written to since it was read.
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
    // Another file system, one without links, or too many of them.
    if (!['EXDEV', 'EPERM', 'EMLINK', 'ENOTSUP', 'EACCES'].includes(systemCode(error) ?? '')) throw error;
    await copyFile(from, to);
  }
}

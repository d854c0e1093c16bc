import { existsSync } from 'node:fs';
import { link, mkdtemp, rename, rm, rmdir } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { AiotError, makeFolder, syncFolder, systemCode, writeFileAtomic } from '../../core/index.js';
import { removeStale, stagePrefix } from './stale.js';

/** One file that is to appear in a folder; those with a key in them are their owner's alone (mode 0600). */
export interface NewFile {
  name: string;
  data: Uint8Array | string;
  secret?: boolean;
}

/** A folder in which files are to appear: all of them or none. */
export interface Place {
  /** Written in full beside the folder's files first, then moved in, in this order. Returns their paths. @throws AIOT_IDENTITY_EXISTS, AIOT_FILE_NOT_WRITABLE */
  put(files: readonly NewFile[]): Promise<string[]>;
  /** Takes away again what `put` has put. */
  undo(): Promise<void>;
  /** Takes back what was made for it; folders that were made in vain go too. */
  leave(): Promise<void>;
}

/**
 * Opens a folder, made when missing, before anybody is asked for anything. What killed runs left in it is removed.
 * @param names the files to come. None of them is there yet, unless `over`: then they take the place of those that are.
 * @throws AIOT_IDENTITY_EXISTS, AIOT_FILE_NOT_WRITABLE
 */
export async function openPlace(out: string, names: readonly string[], over = false): Promise<Place> {
  const taken = over ? undefined : names.find((name) => existsSync(join(out, name)));
  if (taken) throw new AiotError('AIOT_IDENTITY_EXISTS', `${join(out, taken)} is there already`);
  const made = await makeFolder(out);
  await removeStale(out);
  const stage = await mkdtemp(join(out, stagePrefix)).catch((cause: unknown) => {
    const reason = systemCode(cause) ?? 'unknown error';
    throw new AiotError('AIOT_FILE_NOT_WRITABLE', `cannot write into ${out} (${reason})`, { cause });
  });
  // A full disk is told of before anybody is asked.
  await writeFileAtomic(join(stage, 'probe'), new Uint8Array(probeBytes)).catch(async (error: unknown) => {
    await takeBack(out, stage, made);
    throw error;
  });
  let whole: string[] | null = null;
  return {
    async put(files) {
      for (const { name, data, secret } of files)
        await writeFileAtomic(join(stage, name), data, secret ? 0o600 : 0o644);
      await moveAll(
        files.map(({ name }) => name),
        { from: stage, to: out, over },
      );
      whole = files.map(({ name }) => join(out, name));
      return whole;
    },
    async undo() {
      for (const file of whole ?? []) await rm(file, { force: true });
      whole = null;
    },
    leave: () => takeBack(out, stage, whole ? undefined : made),
  };
}

/** As much as an identity with its images takes. */
const probeBytes = 64 * 1024;

interface Move {
  from: string;
  to: string;
  over: boolean;
}

async function moveAll(names: readonly string[], { from, to, over }: Move): Promise<void> {
  const moved: string[] = [];
  try {
    for (const name of names) {
      if (over) await rename(join(from, name), join(to, name));
      else await moveNew(join(from, name), join(to, name));
      moved.push(name);
    }
    await syncFolder(to);
  } catch (error) {
    // What was there before is gone once it was written over: then the new files stay, and a repeat mends the rest.
    if (!over) for (const name of moved) await rm(join(to, name), { force: true });
    throw error;
  }
}

/** Moves without replacing: of two that provision into one folder at once, one gets it. @throws AIOT_IDENTITY_EXISTS */
async function moveNew(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch (error) {
    if (systemCode(error) === 'EEXIST') throw new AiotError('AIOT_IDENTITY_EXISTS', `${to} is there already`);
    // FAT, as on SD cards, has no links.
    await rename(from, to);
  }
}

/** `made`: the topmost folder that was made in vain. Another identity may have been written into one meanwhile. */
async function takeBack(out: string, stage: string, made: string | undefined): Promise<void> {
  await rm(stage, { recursive: true, force: true });
  if (made === undefined) return;
  try {
    for (let path = resolve(out); path.startsWith(resolve(made)); path = dirname(path)) await rmdir(path);
  } catch {
    // Not empty: it is somebody's now.
  }
}

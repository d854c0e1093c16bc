import { randomBytes } from 'node:crypto';
import { readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { makeFolder } from '../../core/index.js';
import { type LoopStatus, loopStatusSchema } from '../status.js';

/**
 * Whole or not at all, but not synced to the disk: it is written for months, cards wear out, and after a power cut the last state
 * of a process that is gone is worth nothing. @throws a system error
 */
export async function writeStatus(file: string, status: LoopStatus): Promise<void> {
  const temporary = join(dirname(file), `.${randomBytes(6).toString('hex')}.tmp`);
  await makeFolder(dirname(file));
  try {
    await writeFile(temporary, `${JSON.stringify(status)}\n`, { mode: 0o644, flag: 'wx' });
    await rename(temporary, file);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    throw error;
  }
}

/** The state, and when it was written, ms since 1970 by this machine's clock; undefined where there is none, or what is there is none. */
export async function readStatus(
  file: string,
): Promise<{ status: LoopStatus; writtenAt: number } | undefined> {
  try {
    const text = await readFile(file, 'utf8');
    const { mtimeMs } = await stat(file);
    const status = loopStatusSchema.safeParse(JSON.parse(text)).data;
    return status && { status, writtenAt: mtimeMs };
  } catch {
    // Gone, not ours to read, or half of it after a power cut.
    return undefined;
  }
}

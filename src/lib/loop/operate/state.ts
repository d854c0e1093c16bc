import { randomBytes } from 'node:crypto';
import { readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import * as z from 'zod';
import { plural } from '../../core/figures.js';
import { makeFolder } from '../../core/files.js';
import { dataFolder } from '../../core/folders.js';
import { formatDuration } from '../../core/time.js';
import { type LoopStatus, loopStatusSchema } from '../status.js';

type Environment = Readonly<Record<string, string | undefined>>;

/** Folder of the files of this user's loops. */
export const loopsFolder = (env: Environment = process.env) => join(dataFolder(env), 'loop');

/** Path of the folder with a loop's files: its lock, its state, and the spools of its outputs. */
export const loopFolder = (name: string, env: Environment = process.env) => join(loopsFolder(env), name);

/** Folder with the reports of a loop's crashes. */
export const crashesFolder = (name: string) => join(loopFolder(name), 'crashes');

export const statusName = 'status.json';
export const lockName = '.lock';

/** Prefix of the folders below /run that systemd creates (RuntimeDirectory=) for services of `aiot loop install`. */
export const runtimePrefix = 'aiot-loop-';

/** Runtime folder provided by systemd, in memory and world-readable; the first of several, separated by colons (systemd.exec(5)). */
export function runtimeFolder(env: Environment = process.env): string | undefined {
  return env.RUNTIME_DIRECTORY?.split(':')[0] || undefined;
}

/**
 * Writes atomically, but does not sync to disk, because the file is rewritten for months and SD cards wear out. After a power cut, the
 * state of the ended process is not needed. @throws a system error
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

/** Reads the state, and the time at which it was written (ms since 1970); undefined if it is missing or invalid. */
export async function readStatus(
  file: string,
): Promise<{ status: LoopStatus; writtenAt: number } | undefined> {
  try {
    const text = await readFile(file, 'utf8');
    const { mtimeMs } = await stat(file);
    const status = loopStatusSchema.safeParse(JSON.parse(text)).data;
    return status && { status, writtenAt: mtimeMs };
  } catch {
    // The file is missing, unreadable for this user, or truncated by a power cut.
    return undefined;
  }
}

export const healthSchema = z.object({
  healthy: z.boolean(),
  /** The reasons why the loop does not work, one line each. */
  reasons: z.array(z.string()),
});

export type Health = z.output<typeof healthSchema>;

/**
 * Whether a loop works: samples arrive, and there is a model for them. An unreachable output is not a failure, because its messages are
 * spooled.
 */
export function healthOf({ state, sensor, model, at }: LoopStatus): Health {
  const reasons: string[] = [];
  if (state === 'stopped') reasons.push('the loop has stopped');
  else {
    if (model === null) reasons.push('no model yet');
    if (!sensor.connected)
      reasons.push(`${sensor.endpoint} sends no samples${since(sensor.lastSampleAt, at)}`);
  }
  return { healthy: reasons.length === 0, reasons };
}

function since(last: number | null, at: number): string {
  if (last === null) return ' yet';
  const seconds = Math.max(0, Math.round((at - last) / 1000));
  return seconds < 120
    ? ` for ${plural(seconds, 'second')}`
    : ` for ${formatDuration(Math.round(seconds / 60) * 60_000)}`;
}

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

/** Where the loops of this user keep what is theirs. */
export const loopsFolder = (env: Environment = process.env) => join(dataFolder(env), 'loop');

/** What one loop keeps on disk: its lock, its state, what waits for its outputs. */
export const loopFolder = (name: string, env: Environment = process.env) => join(loopsFolder(env), name);

export const statusName = 'status.json';
export const lockName = '.lock';

/** Folders that systemd makes for services (RuntimeDirectory=) of `aiot loop install` begin so, below /run. */
export const runtimePrefix = 'aiot-loop-';

/** In memory and readable for everybody, where systemd gives one. Several are divided by colons (systemd.exec(5)). */
export function runtimeFolder(env: Environment = process.env): string | undefined {
  return env.RUNTIME_DIRECTORY?.split(':')[0] || undefined;
}

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

export const healthSchema = z.object({
  healthy: z.boolean(),
  /** Why not, each a line. */
  reasons: z.array(z.string()),
});

export type Health = z.output<typeof healthSchema>;

/**
 * Whether a loop does what it is for: samples come, and there is a model for them. An output that is away is no reason: what it
 * is to get is kept.
 */
export function healthOf({ state, sensor, model, at }: LoopStatus): Health {
  const reasons: string[] = [];
  if (state === 'stopped') reasons.push('the loop has ended');
  else {
    if (model === null) reasons.push('there is no model yet');
    if (!sensor.connected)
      reasons.push(`${sensor.endpoint} gives no samples${since(sensor.lastSampleAt, at)}`);
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

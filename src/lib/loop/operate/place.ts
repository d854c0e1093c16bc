import { join } from 'node:path';
import { dataFolder } from '../../core/index.js';

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

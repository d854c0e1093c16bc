import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { AiotError, systemCode } from '../../core/errors.js';
import { formatDuration } from '../../core/time.js';
import { loopStatusSchema } from '../status.js';
import { healthOf, healthSchema, loopsFolder, readStatus, runtimePrefix, statusName } from './state.js';

export const listedLoopSchema = z.object({
  name: z.string(),
  /**
   * `running`, or `waiting` for its sensor or model; `stuck`: the process is there and writes nothing; `stopped` as it was told to;
   * `gone`: it was killed, or the power was.
   */
  state: z.enum(['running', 'waiting', 'stuck', 'stopped', 'gone']),
  ...healthSchema.shape,
  /** Of a service that systemd runs. */
  service: z.boolean(),
  /** ms since 1970. */
  writtenAt: z.number(),
  /** As it was written last. */
  status: loopStatusSchema,
});
export type ListedLoop = z.output<typeof listedLoopSchema>;

export const listedLoopsSchema = z.object({ loops: z.array(listedLoopSchema) });
export type ListedLoops = z.output<typeof listedLoopsSchema>;

export interface ListOptions {
  /** One of them. */
  name?: string | undefined;
  environment?: Readonly<Record<string, string | undefined>>;
  /** Where systemd makes its folders in memory. */
  runFolder?: string;
  now?: () => number;
  /** Whether a process is there. */
  isAlive?: (pid: number) => boolean;
}

/** A loop writes its state every 2 to 10 s. */
const staleMs = 35_000;

/**
 * The loops of this user, and those that systemd runs here, by name; of one that is both, the one that wrote last.
 * @throws AIOT_LOOP_NOT_FOUND where there is none, or none of that name
 */
export async function listLoops(options: ListOptions = {}): Promise<ListedLoops> {
  const { environment = process.env, runFolder = '/run', now = Date.now, isAlive = alive } = options;
  const own = loopsFolder(environment);
  const services = (await namesIn(runFolder)).filter((name) => name.startsWith(runtimePrefix));
  const files = [
    ...(await namesIn(own)).map((name) => ({ file: join(own, name, statusName), service: false })),
    ...services.map((name) => ({ file: join(runFolder, name, statusName), service: true })),
  ];
  const found = new Map<string, ListedLoop>();
  for (const { file, service } of files) {
    const read = await readStatus(file);
    if (!read || (found.get(read.status.name)?.writtenAt ?? 0) > read.writtenAt) continue;
    const { status, writtenAt } = read;
    found.set(status.name, { ...judged(status, writtenAt, now(), isAlive), service, writtenAt, status });
  }
  const loops = [...found.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  const wanted = options.name === undefined ? loops : loops.filter(({ name }) => name === options.name);
  if (wanted.length > 0) return { loops: wanted };
  if (options.name === undefined || loops.length === 0) {
    throw new AiotError('AIOT_LOOP_NOT_FOUND', 'no loop has run here', {
      next: 'aiot loop run --project DIR',
    });
  }
  throw new AiotError('AIOT_LOOP_NOT_FOUND', `no loop ${options.name} has run here`, {
    next: `There are ${loops.map(({ name }) => name).join(', ')}: aiot loop status`,
  });
}

function judged(
  status: ListedLoop['status'],
  writtenAt: number,
  now: number,
  isAlive: (pid: number) => boolean,
): Pick<ListedLoop, 'name' | 'state' | 'healthy' | 'reasons'> {
  const { name, pid } = status;
  if (status.state === 'stopped')
    return { name, state: 'stopped', healthy: false, reasons: ['it has ended'] };
  const age = Math.max(0, now - writtenAt);
  const ago = formatDuration(Math.max(1000, Math.round(age / 1000) * 1000));
  if (!isAlive(pid)) {
    return {
      name,
      state: 'gone',
      healthy: false,
      reasons: [`killed, or the power was cut, some ${ago} ago`],
    };
  }
  if (age > staleMs) {
    return { name, state: 'stuck', healthy: false, reasons: [`process ${pid} has told nothing for ${ago}`] };
  }
  return { name, state: status.state, ...healthOf(status) };
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // Somebody else's is there too.
    return systemCode(error) === 'EPERM';
  }
}

async function namesIn(folder: string): Promise<string[]> {
  return readdir(folder).catch(() => []);
}

/** 0: what is asked for runs well; 6: something does not. Those that have ended as they should count where they are asked for by name. */
export function loopsExit({ loops }: ListedLoops, named: boolean): 0 | 6 {
  const asked = named ? loops : loops.filter(({ state }) => state !== 'stopped');
  return asked.length > 0 && asked.every(({ healthy }) => healthy) ? 0 : 6;
}

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
   * `running`, or `waiting` for its sensor or model; `stuck`: the process exists but writes no state; `stopped` on request; `gone`: it was
   * killed, or the power failed.
   */
  state: z.enum(['running', 'waiting', 'stuck', 'stopped', 'gone']),
  ...healthSchema.shape,
  /** Whether systemd runs the loop as a service. */
  service: z.boolean(),
  /** ms since 1970. */
  writtenAt: z.number(),
  /** The last written state. */
  status: loopStatusSchema,
});
export type ListedLoop = z.output<typeof listedLoopSchema>;

export const listedLoopsSchema = z.object({ loops: z.array(listedLoopSchema) });
export type ListedLoops = z.output<typeof listedLoopsSchema>;

export interface ListOptions {
  /** Name of a single loop. */
  name?: string | undefined;
  environment?: Readonly<Record<string, string | undefined>>;
  /** Folder in which systemd creates services' folders in memory. */
  runFolder?: string;
  now?: () => number;
  /** Whether a process exists. */
  isAlive?: (pid: number) => boolean;
}

/** Age above which a state is outdated, ms. A loop writes its state every 2 to 10 s. */
const staleMs = 35_000;

/**
 * Lists the loops of this user and those run by systemd on this machine, by name. If both have a loop of the same name, the one that wrote
 * its state last is listed.
 * @throws AIOT_NOT_FOUND if there is none, or none of that name
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
    throw new AiotError('AIOT_NOT_FOUND', 'no loop has run on this machine', {
      subject: 'loop',
      next: 'Start one with `aiot loop run --project DIR`.',
    });
  }
  throw new AiotError('AIOT_NOT_FOUND', `no loop named ${options.name} has run on this machine`, {
    subject: 'loop',
    next: `Known loops: ${loops.map(({ name }) => name).join(', ')}. For details, run \`aiot loop status\`.`,
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
    return { name, state: 'stopped', healthy: false, reasons: ['it has stopped'] };
  const age = Math.max(0, now - writtenAt);
  const ago = formatDuration(Math.max(1000, Math.round(age / 1000) * 1000));
  if (!isAlive(pid)) {
    return {
      name,
      state: 'gone',
      healthy: false,
      reasons: [`killed, or lost power, about ${ago} ago`],
    };
  }
  if (age > staleMs) {
    return { name, state: 'stuck', healthy: false, reasons: [`process ${pid} has not reported for ${ago}`] };
  }
  return { name, state: status.state, ...healthOf(status) };
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM means that the process exists, but belongs to another user.
    return systemCode(error) === 'EPERM';
  }
}

async function namesIn(folder: string): Promise<string[]> {
  return readdir(folder).catch(() => []);
}

/**
 * Exit code: 0 if all selected loops run without problems, 6 if at least one does not or if there are none. Loops that ended normally count
 * only if requested by name.
 */
export function loopsExit({ loops }: ListedLoops, named: boolean): 0 | 6 {
  const asked = named ? loops : loops.filter(({ state }) => state !== 'stopped');
  return asked.length > 0 && asked.every(({ healthy }) => healthy) ? 0 : 6;
}

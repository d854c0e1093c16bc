import { z } from 'zod';
import { AiotError, type Clock, platformFolderOfCa, readContexts, systemClock } from '../../core/index.js';
import { isAlive, runningPlatform } from '../running.js';
import { platformFolder } from './options.js';

export const downResultSchema = z.object({ pid: z.int(), data: z.string() });
export type DownResult = z.output<typeof downResultSchema>;

export interface DownOptions {
  data?: string | undefined;
  /** How long it may take to end, ms. */
  timeoutMs: number;
  signal?: AbortSignal;
  clock?: Clock;
}

/** Ends the platform of a folder and waits until it is gone. @throws AIOT_PLATFORM_NOT_RUNNING, AIOT_TIMEOUT */
export async function down(options: DownOptions): Promise<DownResult> {
  const { timeoutMs, signal, clock = systemClock } = options;
  const data = platformFolder(options.data);
  const running = await runningPlatform(data);
  if (!running) {
    const others = await runningFolders(data);
    throw new AiotError('AIOT_PLATFORM_NOT_RUNNING', `no platform runs on ${data}`, {
      next:
        others.length > 0
          ? others.map((folder) => `aiot down --data ${folder}`).join(', or ')
          : `aiot up${options.data === undefined ? '' : ` --data ${data}`}`,
    });
  }
  const { pid } = running;
  const deadline = clock.now() + timeoutMs;
  process.kill(pid, 'SIGTERM');
  while (await isAlive(pid)) {
    if (clock.now() > deadline) {
      throw new AiotError('AIOT_TIMEOUT', `the platform (pid ${pid}) did not end in ${timeoutMs} ms`, {
        next: `Look at it, or kill -9 ${pid}: nothing that it acknowledged is lost by that.`,
      });
    }
    await clock.sleep(50, signal);
  }
  return { pid, data };
}

/** Data folders that the user's contexts name, other than this one, on which a platform runs. */
async function runningFolders(except: string): Promise<string[]> {
  const { contexts } = await readContexts();
  const folders = Object.values(contexts).flatMap(({ ca }) => platformFolderOfCa(ca) ?? []);
  const others = [...new Set(folders)].filter((folder) => folder !== except);
  const running = await Promise.all(others.map((folder) => runningPlatform(folder).catch(() => null)));
  return others.filter((_folder, at) => running[at]);
}

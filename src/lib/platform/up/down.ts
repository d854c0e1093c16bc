import { z } from 'zod';
import { AiotError, type Clock, systemClock } from '../../core/index.js';
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
    throw new AiotError('AIOT_PLATFORM_NOT_RUNNING', `no platform runs on ${data}`, {
      next: options.data === undefined ? 'aiot up' : `aiot up --data ${data}`,
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

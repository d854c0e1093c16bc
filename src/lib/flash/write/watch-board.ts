import { systemClock } from '../../core/index.js';
import { resetBoard } from '../loader/reset.js';
import { openLine } from '../port/open-line.js';
import type { Verdict } from './health.js';
import { watchLine } from './watch.js';

/** Speed of a program's log unless its firmware was built for another one. */
const logBaud = 115_200;

export interface WatchBoardOptions {
  timeoutMs: number;
  pattern: RegExp | null;
  signal?: AbortSignal | undefined;
  /** Told to press RESET where the line cannot. */
  ask?: ((text: string) => void) | undefined;
}

/**
 * Restarts the board at a port, where the line can, and judges what it says.
 * @throws AIOT_SERIAL_…, the signal's reason
 */
export async function watchBoard(port: string, options: WatchBoardOptions): Promise<Verdict> {
  const { signal } = options;
  const line = await openLine(port, { baud: logBaud, ...(signal && { signal }) });
  try {
    const restart = async () => {
      if (line.hasControlLines) await resetBoard(line, 'hard-reset');
      else
        options.ask?.(`press RESET on the board at ${port}: it is watched for ${options.timeoutMs / 1000} s`);
    };
    return await watchLine(line, { ...options, clock: systemClock, restart });
  } finally {
    await line.close();
  }
}

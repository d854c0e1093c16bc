import { once } from 'node:events';
import { AiotError } from '../../core/index.js';
import { openLine } from '../port/open-line.js';
import { type ServeLineOptions, serveLine } from './server.js';

export interface ServePortOptions extends ServeLineOptions {
  /** The serial port to share. */
  path: string;
  /** Speed between clients, and of a raw line. */
  baud: number;
  /** Ends it. */
  signal: AbortSignal;
}

/**
 * Shares a serial port until the signal ends it.
 *
 * @throws what `openLine` throws, AIOT_PORT_IN_USE, AIOT_USAGE
 */
export async function servePort(options: ServePortOptions): Promise<void> {
  const { path, baud, signal, ...how } = options;
  if (/^[a-z][a-z0-9+.-]+:\/\//i.test(path))
    throw new AiotError('AIOT_USAGE', `expected a serial port of this machine, got ${path}`, {
      next: 'aiot device ports lists them.',
    });
  signal.throwIfAborted();
  const served = await serveLine(() => openLine(path, { baud }), how);
  try {
    if (!signal.aborted) await once(signal, 'abort');
  } finally {
    await served.close();
  }
}

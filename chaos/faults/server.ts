import { setTimeout as delay } from 'node:timers/promises';
import type { Target } from '../types.js';

/** Faults of a third-party server: it is killed, and restarted immediately or after a while. */
export function serverFaults(server: { end(): Promise<void>; start(): Promise<void> }): Target {
  const away = async (forMs: number) => {
    await server.end();
    await delay(forMs);
    await server.start();
  };
  return { kill: away, restart: () => away(0) };
}

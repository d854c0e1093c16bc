import type { Logger } from 'pino';

/** NDJSON lines to `write`, or nothing at all. */
export async function createLog(write?: (line: string) => void): Promise<Logger> {
  const { pino } = await import('pino');
  if (!write) return pino({ level: 'silent' });
  return pino({ base: null, level: 'info' }, { write });
}

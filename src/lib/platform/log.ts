import type { Logger } from 'pino';

/** Creates a logger that passes NDJSON lines to `write`; without `write` it is silent. */
export async function createLog(write?: (line: string) => void): Promise<Logger> {
  const { pino } = await import('pino');
  if (!write) return pino({ level: 'silent' });
  return pino({ base: null, level: 'info' }, { write });
}

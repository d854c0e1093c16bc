import type { Logger } from 'pino';

/** Creates a logger that passes NDJSON lines to each of `writers`; without any it is silent. */
export async function createLog(
  ...writers: readonly (((line: string) => void) | undefined)[]
): Promise<Logger> {
  const { pino } = await import('pino');
  const all = writers.filter((write) => write !== undefined);
  if (all.length === 0) return pino({ level: 'silent' });
  const write = (line: string) => {
    for (const one of all) one(line);
  };
  return pino({ base: null, level: 'info' }, { write });
}

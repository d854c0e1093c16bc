import { join } from 'node:path';
import { z } from 'zod';
import { shownUrl } from '../secrets.js';
import { spoolState } from '../spool/index.js';
import { loadRoutes } from './load.js';
import type { Variables } from './variables.js';

export const listedRoutesSchema = z.object({
  file: z.string(),
  routes: z.array(
    z.object({
      name: z.string(),
      /** Addresses without credentials and settings. */
      from: z.array(z.string()),
      to: z.array(z.string()),
      /** Which steps it has, such as `where`, `map`. */
      does: z.array(z.string()),
      onError: z.string(),
      tests: z.int(),
      /** What waits on disk, by sink. */
      spools: z.array(
        z.object({ path: z.string(), messages: z.int(), bytes: z.int(), limit: z.int(), damaged: z.int() }),
      ),
    }),
  ),
});
export type ListedRoutes = z.output<typeof listedRoutesSchema>;

/** What routes a file has, and what is in their spools; runs nothing. @throws AIOT_FILE_NOT_FOUND, AIOT_ROUTE_INVALID */
export async function listRoutes(file: string, variables: Variables = {}): Promise<ListedRoutes> {
  const routes = await loadRoutes(file, variables);
  return {
    file,
    routes: await Promise.all(
      routes.map(async ({ name, from, to, onError, spool, tests, ...route }) => ({
        name,
        from: from.map(shownUrl),
        to: to.map(shownUrl),
        does: [
          ...(['where', 'through', 'map', 'topic', 'key', 'dedupe'] as const).filter(
            (step) => route[step] !== undefined,
          ),
          ...(Object.keys(route.headers).length > 0 ? ['headers'] : []),
          ...(spool ? ['spool'] : []),
        ],
        onError: onError.policy,
        tests: tests.length,
        spools: spool ? await spoolsOf(spool, to.length) : [],
      })),
    ),
  };
}

async function spoolsOf({ path, limit }: { path: string; limit: number }, sinks: number) {
  const paths = sinks > 1 ? Array.from({ length: sinks }, (_, index) => join(path, String(index))) : [path];
  return Promise.all(
    paths.map(async (each) => {
      const { messages = 0, bytes = 0, damaged = 0 } = (await spoolState(each)) ?? {};
      return { path: each, messages, bytes, limit, damaged };
    }),
  );
}

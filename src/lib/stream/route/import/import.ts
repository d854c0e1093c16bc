import { stringify } from 'yaml';
import { z } from 'zod';
import { AiotError, readText, writeFileAtomic } from '../../../core/index.js';
import { parseRoutes } from '../load.js';
import type { PresetName } from '../presets.js';
import { parseFlow } from './flow.js';
import { importFlow } from './node-red.js';

export const importedRoutesSchema = z.object({
  /** Of each route its name, where from, where to. */
  routes: z.array(z.object({ name: z.string(), from: z.string(), to: z.string() })),
  /** Nodes that have no place in a route. */
  leftOut: z.array(z.object({ node: z.string(), reason: z.string() })),
  notes: z.array(z.string()),
  yaml: z.string(),
  /** Where it was written; absent = nowhere. */
  out: z.string().optional(),
});
export type ImportedRoutes = z.output<typeof importedRoutesSchema>;

/** A Node-RED flow, or a preset with its two addresses. */
export type ImportOptions = { out?: string } & (
  | { flow: string }
  | { preset: PresetName; from: string; to: string }
);

/**
 * Makes a file of routes. @throws AIOT_FILE_NOT_FOUND, AIOT_FILE_MALFORMED (no flow, or nothing in it that is a route),
 * AIOT_ROUTE_INVALID, AIOT_FILE_NOT_WRITABLE
 */
export async function importRoutes(options: ImportOptions): Promise<ImportedRoutes> {
  const { out } = options;
  const { routes, leftOut, notes } =
    'flow' in options
      ? importFlow(parseFlow(await readText(options.flow), options.flow))
      : {
          routes: { [options.preset]: { preset: options.preset, from: options.from, to: options.to } },
          leftOut: [],
          notes: [],
        };
  if (Object.keys(routes).length === 0) {
    const reasons = leftOut.map(({ node, reason }) => `${node}: ${reason}`).join('; ');
    throw new AiotError(
      'AIOT_FILE_MALFORMED',
      `no way from an input to an output was found${reasons === '' ? '' : `: ${reasons}`}`,
    );
  }
  const yaml = stringify({ routes }, { lineWidth: 0 });
  // It says at once whether what was made is a route.
  parseRoutes(yaml, out ?? 'routes.yaml', { environment: process.env });
  if (out !== undefined) await writeFileAtomic(out, yaml);
  return {
    routes: Object.entries(routes).map(([name, { from, to }]) => ({
      name,
      from,
      to: [to].flat().join(', '),
    })),
    leftOut,
    notes,
    yaml,
    ...(out === undefined ? {} : { out }),
  };
}

import * as z from 'zod';
import { plural } from '../core/figures.js';
import { time } from './fields.js';
import { everyPage, pageSchema } from './page.js';
import type { Transport } from './transport.js';

/** Telemetry that cannot be read any more, as far as it is known. Times in ISO 8601. */
export const lostSchema = z.object({
  stream: z.string().optional(),
  device: z.string().optional(),
  from: z.string().optional(),
  to: z.string().optional(),
  rows: z.int().optional(),
});
export type LostTelemetry = z.output<typeof lostSchema>;

export const damagedParts = ['database', 'journal', 'index', 'broker', 'blob', 'key', 'reference'] as const;

/** GET /damage → {damage, next}: damage at rest that is not repaired, the oldest first. */
export const damageSchema = z.object({
  id: z.string(),
  part: z.enum(damagedParts),
  /** A file of the data folder, or the name of an object. */
  place: z.string(),
  problem: z.string(),
  lost: lostSchema.optional(),
  /** Whether it can be brought back from other files of the folder, or from a backup. */
  repairable: z.boolean(),
  found: time,
  /** Since when an operator knows of it, and who; null = status warns of it. */
  acknowledged: time.nullable(),
  who: z.string().nullable(),
});
export type Damage = z.output<typeof damageSchema>;
export const damagesSchema = pageSchema('damage', damageSchema);

/** POST /damage/acknowledge: all that is not acknowledged, or these. */
export const acknowledgeRequestSchema = z.strictObject({
  ids: z.array(z.string()).min(1).max(1000).optional(),
});
export const acknowledgedSchema = z.object({ acknowledged: z.array(damageSchema) });
export type Acknowledged = z.output<typeof acknowledgedSchema>;

export function damageCalls(transport: Transport) {
  return {
    list: (): Promise<Damage[]> =>
      everyPage(async (query) => {
        const { damage, next } = await transport.json('GET', `/damage?${query}`, damagesSchema);
        return { entries: damage, next };
      }),
    /** @throws AIOT_NOT_FOUND (an id) */
    acknowledge: (ids?: readonly string[]): Promise<Acknowledged> =>
      transport.json('POST', '/damage/acknowledge', acknowledgedSchema, ids === undefined ? {} : { ids }),
  };
}

/** `500 rows of motion from motor-1 between … and …`; as much as is known. */
export function lostText({ stream, device, from, to, rows }: LostTelemetry): string {
  const what = rows === undefined ? 'rows' : plural(rows, 'row');
  const whose = `${stream === undefined ? '' : ` of ${stream}`}${device === undefined ? '' : ` from ${device}`}`;
  const when =
    from === undefined ? '' : from === to || to === undefined ? ` at ${from}` : ` between ${from} and ${to}`;
  return `${what}${whose}${when}`;
}

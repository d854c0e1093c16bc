import * as z from 'zod';
import { plural } from '../core/figures.js';
import { time } from './fields.js';
import { pageSchema } from './page.js';

/** The known extent of unreadable telemetry. Times are in ISO 8601. */
export const lostSchema = z.object({
  stream: z.string().optional(),
  device: z.string().optional(),
  from: z.string().optional(),
  to: z.string().optional(),
  rows: z.int().optional(),
});
export type LostTelemetry = z.output<typeof lostSchema>;

export const damagedParts = ['database', 'journal', 'index', 'broker', 'blob', 'key', 'reference'] as const;

/** GET /damage → {damage, next}: unrepaired damage to stored data, oldest first. */
export const damageSchema = z.object({
  id: z.string(),
  part: z.enum(damagedParts),
  /** The file in the data folder, or the name of an object. */
  place: z.string(),
  problem: z.string(),
  lost: lostSchema.optional(),
  /** Whether the place can be restored from other files in the folder, or from a backup. */
  repairable: z.boolean(),
  found: time,
  /**
   * Time of an operator's acknowledgment, and the operator's name; null = not acknowledged, so `aiot status` shows
   * a warning.
   */
  acknowledged: time.nullable(),
  who: z.string().nullable(),
});
export type Damage = z.output<typeof damageSchema>;
export const damagesSchema = pageSchema('damage', damageSchema);

/** POST /damage/acknowledge: acknowledges all damage, or only the entries with these ids. */
export const acknowledgeRequestSchema = z.strictObject({
  ids: z.array(z.string()).min(1).max(1000).optional(),
});
export const acknowledgedSchema = z.object({ acknowledged: z.array(damageSchema) });
export type Acknowledged = z.output<typeof acknowledgedSchema>;

/** Text such as `500 rows of motion from motor-1 between … and …`, containing only the known parts. */
export function lostText({ stream, device, from, to, rows }: LostTelemetry): string {
  const what = rows === undefined ? 'rows' : plural(rows, 'row');
  const whose = `${stream === undefined ? '' : ` of ${stream}`}${device === undefined ? '' : ` from ${device}`}`;
  const when =
    from === undefined ? '' : from === to || to === undefined ? ` at ${from}` : ` between ${from} and ${to}`;
  return `${what}${whose}${when}`;
}

import * as z from 'zod';
import { plural } from '../core/figures.js';
import { time } from './fields.js';
import { pageSchema } from './page.js';

/** Telemetry that can no longer be read, as far as it is known. Times in ISO 8601. */
export const lostSchema = z.object({
  stream: z.string().optional(),
  device: z.string().optional(),
  from: z.string().optional(),
  to: z.string().optional(),
  rows: z.int().optional(),
});
export type LostTelemetry = z.output<typeof lostSchema>;

export const damagedParts = ['database', 'journal', 'index', 'broker', 'blob', 'key', 'reference'] as const;

/** GET /damage → {damage, next}: unrepaired damage at rest, the oldest first. */
export const damageSchema = z.object({
  id: z.string(),
  part: z.enum(damagedParts),
  /** The file in the data folder, or the name of an object. */
  place: z.string(),
  problem: z.string(),
  lost: lostSchema.optional(),
  /** Whether it can be restored from other files of the folder, or from a backup. */
  repairable: z.boolean(),
  found: time,
  /** Time at which it was acknowledged, and by which operator; null = status still warns of it. */
  acknowledged: time.nullable(),
  who: z.string().nullable(),
});
export type Damage = z.output<typeof damageSchema>;
export const damagesSchema = pageSchema('damage', damageSchema);

/** POST /damage/acknowledge: all unacknowledged damage, or that with these ids. */
export const acknowledgeRequestSchema = z.strictObject({
  ids: z.array(z.string()).min(1).max(1000).optional(),
});
export const acknowledgedSchema = z.object({ acknowledged: z.array(damageSchema) });
export type Acknowledged = z.output<typeof acknowledgedSchema>;

/** `500 rows of motion from motor-1 between … and …`; as much as is known. */
export function lostText({ stream, device, from, to, rows }: LostTelemetry): string {
  const what = rows === undefined ? 'rows' : plural(rows, 'row');
  const whose = `${stream === undefined ? '' : ` of ${stream}`}${device === undefined ? '' : ` from ${device}`}`;
  const when =
    from === undefined ? '' : from === to || to === undefined ? ` at ${from}` : ` between ${from} and ${to}`;
  return `${what}${whose}${when}`;
}

import * as z from 'zod';
import { damageSchema } from './damage.js';
import { time } from './fields.js';

/** What `aiot status` warns of. */
export const warningTopics = [
  'database',
  'damage',
  'blobs',
  'disk',
  'certificate',
  'listener',
  'devices',
  'lag',
] as const;

/** How the platform is, as part of GET /status. */
export const conditionSchema = z.object({
  /** Whether it can do what it is asked for just now. */
  ready: z.boolean(),
  warnings: z.array(z.object({ about: z.enum(warningTopics), message: z.string() })),
  /** Damage at rest that nobody has acknowledged, the oldest first, at most a hundred. */
  damage: z.array(damageSchema),
  /** What keeps what; without addresses, which may have passwords in them. */
  engines: z.object({
    database: z.enum(['sqlite', 'postgres']),
    blobs: z.enum(['folder', 's3']),
    events: z.enum(['kafka', 'nats']).nullable(),
    broker: z.enum(['embedded', 'external']),
  }),
  /** Of the file system that its folder is on; null where the system does not say. */
  disk: z.object({ freeBytes: z.int(), totalBytes: z.int() }).nullable(),
  /** The last time that all blobs and the database were read and checked, and what was damaged; null = they were not yet. */
  scrub: z.object({ ended: time, blobs: z.int(), bytes: z.int(), damaged: z.int() }).nullable().default(null),
  /** Resident, of this process. */
  memoryBytes: z.int(),
  /** When they end. */
  certificates: z.object({ ca: time, server: time }),
  /** Events that a webhook or the relay has still to be told, by its name; what has none is not in it. */
  lag: z.record(z.string(), z.int()),
});
export type Condition = z.output<typeof conditionSchema>;

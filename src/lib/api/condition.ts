import * as z from 'zod';
import { damageSchema } from './damage.js';
import { time } from './fields.js';

/** Subjects of the warnings in `aiot status`. */
export const warningTopics = [
  'database',
  'damage',
  'blobs',
  'disk',
  'certificate',
  'listener',
  'devices',
  'approval',
  'lag',
  'otlp',
] as const;

/** Condition of the platform, as part of GET /status. */
export const conditionSchema = z.object({
  /** Whether the platform can serve requests now. */
  ready: z.boolean(),
  warnings: z.array(z.object({ about: z.enum(warningTopics), message: z.string() })),
  /** Unacknowledged damage to stored data, oldest first, at most a hundred entries. */
  damage: z.array(damageSchema),
  /** Storage engines, without their addresses, which may contain passwords. */
  engines: z.object({
    database: z.enum(['sqlite', 'postgres']),
    blobs: z.enum(['folder', 's3']),
    events: z.enum(['kafka', 'nats']).nullable(),
    broker: z.enum(['embedded', 'external']),
    /** How devices' messages reach the replicas: through the embedded broker, the leader's MQTT session, a shared JetStream consumer, or a Kafka group. */
    ingest: z.enum(['embedded', 'mqtt', 'jetstream', 'kafka']).default('embedded'),
  }),
  /** File system of the platform's folder; null if the operating system does not report it. */
  disk: z.object({ freeBytes: z.int(), totalBytes: z.int() }).nullable(),
  /** The last complete check of all blobs and the database, and the damage found; null = none yet. */
  scrub: z.object({ ended: time, blobs: z.int(), bytes: z.int(), damaged: z.int() }).nullable().default(null),
  /** Resident memory of the platform's process, bytes. */
  memoryBytes: z.int(),
  /** Expiry times of the certificates, ms since 1970. */
  certificates: z.object({ ca: time, server: time }),
  /**
   * Number of undelivered events, by name of the webhook or relay. Webhooks and relays without undelivered events are
   * absent.
   */
  lag: z.record(z.string(), z.int()),
});
export type Condition = z.output<typeof conditionSchema>;

/** A service level objective, as part of GET /status. */
export const objectiveSchema = z.object({
  /** `ingest`: messages stored within 250 ms; `presence`: devices online, by minute; `updates`: devices that committed an update. */
  name: z.enum(['ingest', 'presence', 'updates']),
  /** Share of good outcomes that is demanded. */
  target: z.number(),
  /** Share of good outcomes; null = there were no outcomes. */
  share: z.number().nullable(),
  good: z.int(),
  total: z.int(),
  /** Period of the outcomes before now, ms. The platform counts messages and presence since its start. */
  windowMs: z.int(),
  /** Whether the share reaches the target; null = there were no outcomes. */
  met: z.boolean().nullable(),
});
export type Objective = z.output<typeof objectiveSchema>;

/** A process that shares the platform's database. */
export const replicaSchema = z.object({
  id: z.string(),
  /** Address of its API. */
  url: z.string(),
  version: z.string(),
  started: time,
  /** Time when the process last shared its state. A killed replica is listed for half a minute. */
  seen: time,
  /** Whether it is the replica that responds. */
  self: z.boolean(),
  /** Roles in which it leads. Each background task is a role, such as `webhooks`; `broker` reads the external broker's messages. */
  leads: z.array(z.string()),
  /** Number of messages that it has received since its start. */
  received: z.int(),
});
export type Replica = z.output<typeof replicaSchema>;

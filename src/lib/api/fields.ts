import * as z from 'zod';
import { digestPattern } from '../core/crypto.js';
import { AiotError } from '../core/errors.js';
import { namePattern } from '../core/names.js';
import { envelopeSchema, trustRootSchema } from '../formats/manifest/envelope.js';
import { heapSchema, vitalsSchema } from '../formats/vitals.js';

/** Fields shared by several bodies of the API. Times are milliseconds since 1970. */
export const name = z.string().regex(namePattern);
export const time = z.int();
/** Chooses devices: a name, names, or an expression. Names may also name loops, and devices that no longer exist. */
export const selectorSchema = z.string().min(1).max(4000);
export const digest = z.string().regex(digestPattern);
/** Result of applying a project's definitions: their names, by outcome. With `dryRun`, nothing was changed. */
export const appliedSchema = z.object({
  project: z.string(),
  dryRun: z.boolean(),
  created: z.array(z.string()),
  changed: z.array(z.string()),
  removed: z.array(z.string()),
  unchanged: z.array(z.string()),
});

/** MAC address in lower case with colons; a chip's factory base address. */
export const macSchema = z.string().regex(/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/);

export const deviceStates = ['registered', 'provisioned', 'active', 'suspended', 'revoked'] as const;

/** Whether a device runs its settings; see contract/settings.ts. */
export const settingsStates = ['same', 'pending', 'rejected', 'unsupported', 'drifted'] as const;

/** GET /devices → {devices}, GET /devices/{name} */
const runningSchema = z.object({ name, version: z.int(), sequence: z.int(), digest });

export const deviceSchema = z.object({
  name,
  id: z.string(),
  type: z.string(),
  state: z.enum(deviceStates),
  /** SHA-256 of the certificate's DER, 64 hex digits; null without a certificate. */
  fingerprint: z.string().nullable(),
  expires: time.nullable(),
  /**
   * A certificate that was issued to the device but has not been used yet. Its first use ends the previous certificate.
   */
  next: z.object({ fingerprint: z.string(), expires: time }).nullable(),
  mac: z.string().nullable(),
  /** Decimal chip id used by the guide's firmware: an alias of the device. */
  chipId: z.string().nullable(),
  created: time,
  online: z.boolean(),
  /** Time of the last connection, disconnection or report. A device that is `online` may have been connected since. */
  lastSeen: time.nullable(),
  /** The active model, as last reported by the device. */
  model: runningSchema.nullable(),
  /** The active configuration, as last reported; null = the default one, or none can be set over the air. */
  config: runningSchema.nullable().optional(),
  /** Version of the firmware, as last reported. */
  firmware: z.string().nullable(),
  /** The update state of protocol v1, null before the first report. */
  updateState: z.string().nullable(),
  /**
   * The samples that the device takes, as last reported, and the reason why its model makes no predictions on them (`unfit`). Null if it
   * reports none; absent from platforms before 0.1.
   */
  sensor: z
    .object({
      stream: z.string(),
      fields: z.array(z.string()),
      /** Hz. */
      rate: z.number(),
      unfit: z.string().nullable(),
    })
    .nullable()
    .optional(),
  /** Whether it runs its settings, and the paths that differ. Null if no project defines settings for its type. */
  settings: z
    .object({ state: z.enum(settingsStates), differing: z.array(z.string()) })
    .nullable()
    .optional(),
  /** The device's health readings and heap statistics, as last reported. Null if the device reports none. */
  vitals: vitalsSchema.nullable().optional(),
  /**
   * The least severe level of the device's log, as last reported, and how long it was to remain in use then, ms (absent = until the next
   * start). Null if the device does not support other levels.
   */
  log: z.object({ level: z.string(), forMs: z.int().optional() }).nullable().optional(),
  heap: heapSchema.nullable().optional(),
  tags: z.record(z.string(), z.string()),
  /** Names of the groups, sorted. */
  groups: z.array(z.string()),
  /** Increases with each change, except by the device's own reports; used as the ETag. */
  revision: z.int(),
});
export type DeviceInfo = z.output<typeof deviceSchema>;

/** Validates a MAC as typed, with colons or dashes. @throws AIOT_USAGE */
export function checkMac(text: string): string {
  const mac = text.trim().toLowerCase().replaceAll('-', ':');
  if (macSchema.safeParse(mac).success) return mac;
  throw new AiotError('AIOT_USAGE', `expected a MAC such as 24:0a:c4:12:34:56, got ${text}`);
}

/** Validates a chip id: 24 bits in decimal, without leading zeros. @throws AIOT_USAGE */
export function checkChipId(text: string): string {
  if (isChipId(text)) return text;
  throw new AiotError('AIOT_USAGE', `expected a decimal chip id of 0 to 16777215, got ${text}`);
}

export function isChipId(text: string): boolean {
  return /^(0|[1-9]\d{0,7})$/.test(text) && Number(text) < 2 ** 24;
}

export const chipIdSchema = z.string().refine(isChipId, 'expected a number of 0 to 16777215');

/** POST /devices: the private key stays with the caller. */
export const provisionRequestSchema = z.strictObject({
  name,
  type: name,
  csr: z.string().max(8192),
  mac: macSchema.optional(),
  chipId: chipIdSchema.optional(),
});
export const provisionReplySchema = z.object({
  device: deviceSchema,
  /** The certificate and the CA, PEM. */
  certificate: z.string(),
  ca: z.string(),
  urls: z.object({ http: z.string(), mqtts: z.string() }),
  trust: trustRootSchema.nullable(),
  /** The root that contains these keys. A device that stores it can verify later roots by the chain. */
  root: envelopeSchema.nullable().optional(),
  /** Lowest sequence number of a release for a device with this name; written to the device's flash. */
  release: z.object({ sequence: z.int(), floor: z.int() }),
});
export type ProvisionReply = z.output<typeof provisionReplySchema>;

/**
 * The decimal id that the guide's firmware uses: the lower three octets of the factory MAC, big endian, as one number (`…:da:b6:b0` is
 * 14333616).
 */
export function chipIdOf(mac: string): string {
  return String(Number.parseInt(mac.split(':').slice(3).join(''), 16));
}

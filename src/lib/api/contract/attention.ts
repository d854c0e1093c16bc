import * as z from 'zod';
import { name, time } from '../fields.js';
import { pageQuerySchema, queryFlagSchema } from '../page.js';
import { endpoint } from './endpoint.js';

/** Health of a device, from the most to the least urgent. `unknown`: it has never connected. */
export const healthStates = ['failing', 'silent', 'degraded', 'ok', 'unknown'] as const;
export type HealthState = (typeof healthStates)[number];

/** Reasons why a device is unwell, in the order in which they are shown: a cause comes before its effects. */
export const causeCodes = [
  'certificate-expired',
  'update-failed',
  'sensor-unfit',
  'battery-empty',
  'disk-full',
  'silent',
  'restarting',
  'battery-low',
  'disk-low',
  'memory-low',
  'messages-lost',
  'messages-rejected',
  'clock-wrong',
  'drift',
  'settings-drift',
  'certificate-expiring',
] as const;
export type CauseCode = (typeof causeCodes)[number];

export const causeSchema = z.object({
  code: z.enum(causeCodes),
  state: z.enum(['failing', 'silent', 'degraded']),
  /** The problem in words, without the device's name. */
  message: z.string(),
  since: time,
  /** The next step for an operator: a sentence, or a command in backticks within one. */
  next: z.string(),
});
export type Cause = z.output<typeof causeSchema>;

/** A user's decision about a device: its causes were noted, or the device is hidden until a time. */
const decision = z.object({ who: z.string(), at: time, note: z.string().nullable() });

export const unwellDeviceSchema = z.object({
  name,
  type: z.string(),
  state: z.enum(['failing', 'silent', 'degraded']),
  causes: z.array(causeSchema).min(1),
  /** Valid until the device has a cause that is not in `codes`. */
  acknowledged: decision.extend({ codes: z.array(z.enum(causeCodes)) }).nullable(),
  snoozed: decision.extend({ until: time }).nullable(),
});
export type UnwellDevice = z.output<typeof unwellDeviceSchema>;

/** A device of a batch that waits for approval. */
export const waitingDeviceSchema = z.object({
  name,
  batch: z.string(),
  type: z.string(),
  /** Why the device waits, without its name; it includes any contradiction with other devices. */
  message: z.string(),
  /** Whether the device contradicts others, and should not be approved without a check. */
  suspicious: z.boolean(),
  /** First request of the device. */
  since: time,
  next: z.string(),
});
export type WaitingDevice = z.output<typeof waitingDeviceSchema>;

/** GET /attention: the unwell devices, the most urgent first. */
export const attentionSchema = z.object({
  /** Number of devices in each state, without suspended and revoked ones. */
  counts: z.object({ failing: z.int(), silent: z.int(), degraded: z.int(), ok: z.int(), unknown: z.int() }),
  /** Number of unwell devices that are acknowledged or snoozed. They are listed only with `all`. */
  quiet: z.int(),
  /** Alarms whose expressions cannot be evaluated on the telemetry that arrives. */
  alarms: z.array(
    z.object({ alarm: z.string(), message: z.string(), since: time, count: z.int(), next: z.string() }),
  ),
  /**
   * Devices of batches that wait for approval: their number, when the first one asked (null = none), and a list. Suspicious ones come first,
   * then those that have waited longest. Empty for users whose rights are limited to some devices.
   */
  waiting: z.object({ count: z.int(), since: time.nullable(), devices: z.array(waitingDeviceSchema) }),
  devices: z.array(unwellDeviceSchema),
  next: z.string().nullable(),
});
export type Attention = z.output<typeof attentionSchema>;

export const attentionQuerySchema = z.object({
  ...pageQuerySchema.shape,
  /** Whether acknowledged and snoozed devices are listed too. */
  all: queryFlagSchema.optional(),
});

const note = z.string().trim().min(1).max(500);

/** Longest snooze, ms. */
export const longestSnoozeMs = 90 * 86_400_000;

/** POST /devices/{name}/attention. `reopen` ends an acknowledgment or a snooze. */
export const attentionRequestSchema = z.discriminatedUnion('action', [
  z.strictObject({ action: z.literal('acknowledge'), note: note.optional() }),
  z.strictObject({
    action: z.literal('snooze'),
    forMs: z.int().min(1000).max(longestSnoozeMs),
    note: note.optional(),
  }),
  z.strictObject({ action: z.literal('reopen') }),
]);
export type AttentionRequest = z.output<typeof attentionRequestSchema>;

/**
 * How a device's telemetry compares with the training data of its model. A window is a number of successive samples; the newest 144 are
 * kept.
 */
export const signalDriftSchema = z.object({
  model: z.object({ name, version: z.int() }),
  /** The stream that is compared. */
  stream: z.string(),
  /** Names of the compared fields. */
  fields: z.array(z.string()),
  /** Samples in the open window, and the number that closes it. */
  samples: z.int(),
  windowSamples: z.int(),
  /** Closed windows, oldest first: arrival of the first and last message, PSI of each field, and the names of the drifted fields. */
  windows: z.array(
    z.object({ from: time, to: time, psi: z.array(z.number()), drifted: z.array(z.string()) }),
  ),
});
export type DeviceDrift = z.output<typeof signalDriftSchema>;

/** Health of one device, regardless of its state. */
export const deviceHealthSchema = z.object({
  name,
  type: z.string(),
  state: z.enum(healthStates),
  causes: z.array(causeSchema),
  acknowledged: unwellDeviceSchema.shape.acknowledged,
  snoozed: unwellDeviceSchema.shape.snoozed,
  /** Null if the release of its model has no statistics of its training data, or the device has sent no telemetry since it runs the model. */
  drift: signalDriftSchema.nullable(),
});
export type DeviceHealthShown = z.output<typeof deviceHealthSchema>;
/** Health without the windows of the signal, which are read for a single device only. */
export type DeviceHealth = Omit<DeviceHealthShown, 'drift'>;

export const attention = {
  list: endpoint('GET /attention', {
    reach: 'filtered',
    summary: 'Devices that need attention, with causes and next steps, most urgent first',
    query: attentionQuerySchema,
    result: attentionSchema,
  }),
  get: endpoint('GET /devices/:name/attention', {
    reach: 'named',
    summary: "A device's health and its causes",
    result: deviceHealthSchema,
  }),
  change: endpoint('POST /devices/:name/attention', {
    reach: 'named',
    summary: "Acknowledge a device's problems, snooze it, or list it again",
    body: attentionRequestSchema,
    result: deviceHealthSchema,
  }),
};

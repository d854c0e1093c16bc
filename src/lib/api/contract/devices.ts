import * as z from 'zod';
import { envelopeSchema } from '../../formats/manifest/envelope.js';
import { deviceActionSchema } from '../api.js';
import {
  chipIdSchema,
  deviceSchema,
  deviceStates,
  macSchema,
  name,
  provisionReplySchema,
  provisionRequestSchema,
  selectorSchema,
  time,
} from '../fields.js';
import { pageQuerySchema, pageSchema } from '../page.js';
import { endpoint } from './endpoint.js';

export const tagName = z
  .string()
  .regex(/^[A-Za-z][A-Za-z0-9_.-]{0,62}$/, 'expected a letter, then letters, digits, _ . -');
export const groupName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/, 'expected letters, digits, _ . -');
/** Values of tags. Tables print these values, so control characters are not allowed. */
export const tagValue = z
  .string()
  .regex(/^[^\p{Cc}\p{Cf}]{1,128}$/u, 'expected 1 to 128 printable characters');
const tags = z.record(tagName, tagValue);

/** Maximum number of tags, and of groups, on one device. */
export const mostTags = 64;
/** Maximum number of devices changed in one request. */
export const mostChanges = 1000;

/** GET /devices → {devices, next}, by name. `selector`: only matching devices. */
export const deviceListQuerySchema = pageQuerySchema.extend({ selector: selectorSchema.optional() });
export type DeviceListQuery = z.output<typeof deviceListQuerySchema>;
export const deviceListSchema = pageSchema('devices', deviceSchema);

export const deviceActions = ['suspend', 'resume', 'revoke', 'remove'] as const;
export type DeviceAction = (typeof deviceActions)[number];

/** A change to devices. */
export const deviceChangeSchema = z.discriminatedUnion('action', [
  z.strictObject({ action: z.enum(deviceActions) }),
  z.strictObject({
    action: z.literal('tag'),
    set: tags.default({}),
    remove: z.array(tagName).max(mostTags).default([]),
  }),
  z.strictObject({
    action: z.literal('group'),
    add: z.array(groupName).max(mostTags).default([]),
    remove: z.array(groupName).max(mostTags).default([]),
  }),
]);
export type DeviceChange = z.output<typeof deviceChangeSchema>;

/** POST /devices/actions: each device is changed separately. An error for one device does not affect the others. */
export const deviceChangeRequestSchema = z.strictObject({
  change: deviceChangeSchema,
  names: z.array(name).min(1).max(mostChanges),
  /** Whether only to return the planned changes, without applying them. */
  dryRun: z.boolean().default(false),
});

/** Properties that changes can affect. */
export const changeableSchema = z.object({
  state: z.enum(deviceStates),
  tags: z.record(z.string(), z.string()),
  groups: z.array(z.string()),
});
export type Changeable = z.output<typeof changeableSchema>;

export const changedDeviceSchema = z.object({
  name,
  /** Type of the device; null if no device has the name. */
  type: z.string().nullable(),
  outcome: z.enum(['changed', 'same', 'refused']),
  before: changeableSchema.nullable(),
  /** State after the change; with `dryRun`, after the planned change; null = removed. */
  after: changeableSchema.nullable(),
  error: z.object({ code: z.string(), message: z.string() }).nullable(),
});
export type ChangedDevice = z.output<typeof changedDeviceSchema>;
export const changedDevicesSchema = z.object({ devices: z.array(changedDeviceSchema) });

/** PATCH /devices/{name}: absent members are unchanged; a tag of null is deleted. */
export const devicePatchSchema = z.strictObject({
  tags: z.record(tagName, tagValue.nullable()).optional(),
  groups: z.array(groupName).max(mostTags).optional(),
});

export type DevicePatch = z.output<typeof devicePatchSchema>;

/** GET /devices/{name}/state: the device's desired and reported state. */
export const deviceTwinSchema = z.object({
  /** The state messages of protocol v1; null = none. */
  desired: z.looseObject({}).nullable(),
  reported: z.looseObject({}).nullable(),
  lastSeen: time.nullable(),
});
export type DeviceTwin = z.output<typeof deviceTwinSchema>;

/** GET /devices/{name}/history → {entries, next}, newest first: all changes to devices with this name. */
export const deviceHistoryEntrySchema = z.object({
  id: z.int(),
  at: time,
  /** Type of the event, such as `device.tag`. */
  type: z.string(),
  who: z.string(),
  data: z.record(z.string(), z.unknown()),
});
export type DeviceHistoryEntry = z.output<typeof deviceHistoryEntrySchema>;
export const deviceHistorySchema = pageSchema('entries', deviceHistoryEntrySchema);

/** Bodies of requests that create and change devices' identities, below /api/v1. Private keys always stay with the caller. */
const csr = z.string().max(8192);
/**
 * Fingerprint of the device's newest certificate known to the caller; null = none. If a newer certificate exists, the
 * request changes nothing.
 */
const latest = z.string().nullable().optional();
export type Latest = z.output<typeof latest>;

/**
 * POST /devices/{name}/certificate, by an operator or the device itself. With `now`, the previous certificate becomes
 * invalid immediately; otherwise, when the new certificate is first used.
 */
export const certificateRequestSchema = z.strictObject({ csr, now: z.boolean().default(false), latest });

/** POST /devices/{name}/certificate/current: replaces the current certificate with the device's next one, which has this fingerprint. */
export const settleRequestSchema = z.strictObject({ fingerprint: z.string().max(64) });

/** POST /devices/{name}/replace: another board replaces a broken one. */
export const replaceRequestSchema = z.strictObject({ csr, mac: macSchema.optional(), latest });

/** Validity of a claim token: a minute to 90 days. */
export const claimLifetimeMs = { min: 60_000, max: 90 * 86_400_000 };

/** POST /claims: reserves a name for a device that will request its certificate with the token. */
export const claimRequestSchema = z.strictObject({
  name,
  type: name,
  mac: macSchema.optional(),
  chipId: chipIdSchema.optional(),
  validMs: z.int().min(claimLifetimeMs.min).max(claimLifetimeMs.max).default(86_400_000),
});
export type ClaimRequest = z.input<typeof claimRequestSchema>;
export const claimSchema = z.object({
  device: deviceSchema,
  /** Claim token, valid for one certificate; this is the only response that contains it. */
  token: z.string(),
  expires: time,
  /** https URL of the platform for devices, and the PEM of the CA that issued its certificate. */
  url: z.string(),
  ca: z.string(),
});
export type Claim = z.output<typeof claimSchema>;

/**
 * POST /claims/redeem, by anyone who has the token. A repeated request with the same key returns the same certificate, because a response
 * may be lost.
 */
export const redeemRequestSchema = z.strictObject({
  token: z.string().max(200),
  csr,
  mac: macSchema.optional(),
});

/** POST /activation, by the device with its certificate. */
export const activationSchema = provisionReplySchema.omit({ certificate: true, ca: true });
export type Activation = z.output<typeof activationSchema>;

/** PUT and GET /devices/{name}/birth */
export const birthRequestSchema = z.strictObject({ envelope: envelopeSchema });
export const birthReplySchema = z.object({ envelope: envelopeSchema, stored: time });
export type StoredBirth = z.output<typeof birthReplySchema>;

/** Maximum number of simulated devices in one request. */
export const mostSimulated = 1000;

/**
 * PUT /devices/simulated: creates simulated devices, each with its own secret, or replaces their secrets. `digest` is
 * the SHA-256 of the secret in hex. No slower hash is needed, because secrets are 256 random bits, and ten thousand
 * secrets must be verified quickly.
 */
export const simulatedRequestSchema = z.strictObject({
  type: name,
  tags: z.record(tagName, tagValue).default({}),
  devices: z
    .array(z.strictObject({ name, digest: z.string().regex(/^[0-9a-f]{64}$/) }))
    .min(1)
    .max(mostSimulated)
    .superRefine((devices, context) => {
      const seen = new Set<string>();
      devices.forEach(({ name }, index) => {
        if (seen.has(name))
          context.addIssue({ code: 'custom', path: [index, 'name'], message: `${name} is listed twice` });
        seen.add(name);
      });
    }),
});
export type SimulatedRequest = z.input<typeof simulatedRequestSchema>;
export const simulatedReplySchema = z.object({ made: z.int(), kept: z.int() });
export type SimulatedReply = z.output<typeof simulatedReplySchema>;

/** Tag of simulated devices. A simulation can only take over devices with this tag. */
export const simulatedTag = 'simulated';

/** Channels of device messages, by the last part of the topic. */
export const deviceChannels = ['telemetry', 'inference', 'reply', 'log'] as const;

/** GET /devices/{name}/messages: the newest messages of a channel, oldest first. */
export const deviceMessagesQuerySchema = z.object({
  channel: z.enum(deviceChannels),
  /** Earliest arrival time, ms since 1970; an hour ago if absent. */
  since: z.coerce.number().int().min(0).optional(),
  limit: z.coerce.number().int().min(1).max(5000).default(500),
});
export type DeviceMessagesQuery = z.output<typeof deviceMessagesQuerySchema>;

export const deviceMessageSchema = z.object({
  /** Arrival time, by the platform's clock. */
  at: time,
  /** Stream of a telemetry message. */
  stream: z.string().optional(),
  /** Payload of the message, as in protocol v1. */
  payload: z.record(z.string(), z.unknown()),
});
export type DeviceMessage = z.output<typeof deviceMessageSchema>;
export const deviceMessagesSchema = z.object({ messages: z.array(deviceMessageSchema) });

/** Longest and usual range of a device's series, ms, and the maximum numbers of buckets and of fields. */
export const [longestSeriesMs, usualSeriesMs] = [31 * 86_400_000, 86_400_000];
export const [mostSeriesBuckets, mostSeriesFields] = [500, 50];
/** Widths of buckets, ms. A bucket begins at a multiple of its width since 1970. */
export const seriesWidthsMs = [
  ...[1, 2, 5, 10, 30].map((seconds) => seconds * 1000),
  ...[1, 2, 5, 10, 20, 30, 60, 120].map((minutes) => minutes * 60_000),
] as const;

/** GET /devices/{name}/series: telemetry in buckets of time. */
export const deviceSeriesQuerySchema = z.object({
  /** Beginning of the range, ms since 1970; a day before its end if absent. At most 31 days before the end. */
  from: z.coerce.number().int().min(0).optional(),
  /** End of the range, ms since 1970; now if absent. */
  to: z.coerce.number().int().min(0).optional(),
  /** Width of the buckets, ms; if absent, the narrowest that gives fewer than 500 buckets. */
  bucketMs: z.coerce
    .number()
    .refine((ms) => seriesWidthsMs.includes(ms), `expected one of ${seriesWidthsMs.join(', ')}`)
    .optional(),
});
export type DeviceSeriesQuery = z.output<typeof deviceSeriesQuerySchema>;

export const deviceSeriesSchema = z.object({
  /** Beginning of the first bucket, and end of the last one, by the device's clock. */
  from: time,
  to: time,
  bucketMs: z.int().min(1),
  /** Buckets from this time on are complete. If it is later than `from`, ask for the rest with it as `to`. */
  readFrom: time,
  /** Number of fields beyond the first 50, which are left out. */
  fieldsLeftOut: z.int().min(0),
  series: z.array(
    z.object({
      stream: z.string(),
      field: z.string(),
      /** In ascending order. Buckets without samples are left out. */
      buckets: z.array(
        z.object({ at: time, count: z.int().min(1), min: z.number(), mean: z.number(), max: z.number() }),
      ),
    }),
  ),
});
export type DeviceSeries = z.output<typeof deviceSeriesSchema>;

export const logLevels = ['debug', 'info', 'warn', 'error'] as const;

/** GET /logs: log lines of many devices in order of arrival, newest first. A page may be shorter than `limit` although more follow. */
export const logQuerySchema = z.object({
  ...pageQuerySchema.shape,
  selector: selectorSchema.optional(),
  /** Least severe level. */
  level: z.enum(logLevels).default('debug'),
  /** Text in the message or code, in upper or lower case. */
  contains: z.string().min(1).max(200).optional(),
  /** Earliest arrival time, ms since 1970; an hour ago if absent. */
  since: z.coerce.number().int().min(0).optional(),
  /** Latest arrival time, ms since 1970; now if absent. */
  until: z.coerce.number().int().min(0).optional(),
});
export type LogQuery = z.output<typeof logQuerySchema>;

export const logLineSchema = z.object({
  /** Arrival time, by the platform's clock. */
  at: time,
  device: z.string(),
  level: z.enum(logLevels),
  message: z.string(),
  /** Error code, if the line reports an error. */
  code: z.string().optional(),
  /** Further fields of the line. */
  fields: z.record(z.string(), z.unknown()),
});
export type LogLine = z.output<typeof logLineSchema>;
export const logPageSchema = pageSchema('lines', logLineSchema);
export type LogPage = z.output<typeof logPageSchema>;

/** GET /logs/live: which new log lines are sent. */
export const logFollowSchema = logQuerySchema.pick({ selector: true, level: true, contains: true });
export type LogFollow = z.input<typeof logFollowSchema>;

/**
 * An event of GET /logs/live: a new line; that sending has begun; or that lines were left out, because the client was too slow. Left-out
 * lines are stored, and a search finds them.
 */
export const logNewsSchema = z.union([
  z.object({ line: logLineSchema }),
  z.object({ begun: z.literal(true) }),
  z.object({ missed: z.int().min(1) }),
]);
export type LogNews = z.output<typeof logNewsSchema>;

/** A device's secret; `secret` is present only when it was just created. */
export const deviceSecretSchema = z.object({
  device: z.string().describe('Also the MQTT user name.'),
  secret: z.string().nullable().describe('The MQTT password, over TLS only; null if it was removed.'),
  removed: z.boolean().describe('Whether an existing secret was removed.'),
});
export type DeviceSecret = z.infer<typeof deviceSecretSchema>;

export const devices = {
  /** Lists devices by name: all, or those that a selector matches. */
  list: endpoint('GET /devices', {
    reach: 'filtered',
    summary: 'The devices that a selector matches, by name',
    query: deviceListQuerySchema,
    takes: ['selector'],
    result: deviceListSchema,
    list: 'devices',
    errors: ['AIOT_SELECTOR_INVALID', 'AIOT_NOT_FOUND'],
  }),
  /** Changes devices one by one, at most `mostChanges`. With `dryRun`, nothing is changed. */
  change: endpoint('POST /devices/actions', {
    reach: 'filtered',
    summary: 'Change many devices, or preview the change with dryRun',
    body: deviceChangeRequestSchema,
    takes: ['names', 'change', 'dryRun'],
    result: changedDevicesSchema,
    list: 'devices',
  }),
  /** Creates simulated devices, or gives existing ones new secrets. */
  simulate: endpoint('PUT /devices/simulated', {
    summary: 'Create simulated devices, or give them new secrets',
    body: simulatedRequestSchema,
    result: simulatedReplySchema,
    errors: ['AIOT_ALREADY_EXISTS', 'AIOT_DEVICE_ONLINE'],
  }),
  get: endpoint('GET /devices/:name', { reach: 'named', summary: 'One device', result: deviceSchema }),
  patch: endpoint('PATCH /devices/:name', {
    reach: 'named',
    summary: "Change a device's tags and groups",
    body: devicePatchSchema,
    result: deviceSchema,
    errors: ['AIOT_PRECONDITION_FAILED'],
  }),
  remove: endpoint('DELETE /devices/:name', {
    reach: 'named',
    summary: 'Remove a device that is registered or revoked',
    result: deviceSchema,
    errors: ['AIOT_DEVICE_STATE', 'AIOT_PRECONDITION_FAILED'],
  }),
  act: endpoint('POST /devices/:name/state', {
    reach: 'named',
    summary: 'Suspend, resume or revoke a device',
    body: deviceActionSchema,
    takes: ['action'],
    result: deviceSchema,
    errors: ['AIOT_DEVICE_STATE'],
  }),
  /** Desired and reported state of a device. */
  state: endpoint('GET /devices/:name/state', {
    reach: 'named',
    summary: "A device's assigned and reported state",
    result: deviceTwinSchema,
  }),
  /** Returns the history, newest first, up to a limit. */
  history: endpoint('GET /devices/:name/history', {
    reach: 'named',
    summary: "A device's history, newest first",
    query: pageQuerySchema,
    takes: ['limit'],
    result: deviceHistorySchema,
    list: 'entries',
  }),
};

/** Issuing of device certificates, and signed birth certificates. Private keys stay with the caller. */
export const enrolment = {
  /** Registers a device and signs its certificate request (PEM). */
  provision: endpoint('POST /devices', {
    summary: 'Register a device and sign its certificate request',
    body: provisionRequestSchema,
    takes: ['name', 'type', 'csr', 'mac', 'chipId'],
    result: provisionReplySchema,
    location: ({ device }) => ['devices', device.name],
    errors: ['AIOT_ALREADY_EXISTS', 'AIOT_CSR_INVALID'],
  }),
  /**
   * Issues a new certificate. The previous one becomes invalid at the first use of the new certificate, or immediately
   * with `now`.
   */
  rotate: endpoint('POST /devices/:name/certificate', {
    reach: 'named',
    summary: "Issue a device's next certificate",
    access: 'devices',
    body: certificateRequestSchema,
    takes: ['csr', 'now', 'latest'],
    result: provisionReplySchema,
    location: ({ device }) => ['devices', device.name],
    errors: ['AIOT_DEVICE_CHANGED', 'AIOT_CSR_INVALID'],
  }),
  /** Makes the newest certificate the current one, and invalidates the previous certificate. Idempotent. */
  settle: endpoint('POST /devices/:name/certificate/current', {
    reach: 'named',
    summary: 'Revoke the current certificate: the next certificate replaces it',
    body: settleRequestSchema,
    takes: ['fingerprint'],
    result: deviceSchema,
  }),
  /** Assigns the name to another board. The previous board's certificate becomes invalid immediately. */
  replace: endpoint('POST /devices/:name/replace', {
    reach: 'named',
    summary: 'Replace a board with another one',
    body: replaceRequestSchema,
    takes: ['csr', 'mac', 'latest'],
    result: provisionReplySchema,
    location: ({ device }) => ['devices', device.name],
    errors: ['AIOT_DEVICE_CHANGED', 'AIOT_CSR_INVALID'],
  }),
  /** Called by a device that reports that it is in operation. */
  activate: endpoint('POST /activation', {
    summary: 'Activate a device',
    access: 'devices',
    result: activationSchema,
  }),
};

export const claims = {
  make: endpoint('POST /claims', {
    summary: 'Register a device that will claim its certificate with a one-time token',
    body: claimRequestSchema,
    result: claimSchema,
    location: ({ device }) => ['devices', device.name],
    errors: ['AIOT_ALREADY_EXISTS'],
  }),
  /** Requires no operator, because the token is sufficient. */
  redeem: endpoint('POST /claims/redeem', {
    summary: 'Exchange a one-time token for a certificate',
    access: 'everybody',
    body: redeemRequestSchema,
    takes: ['token', 'csr', 'mac'],
    result: provisionReplySchema,
    location: ({ device }) => ['devices', device.name],
    errors: ['AIOT_CLAIM_INVALID', 'AIOT_CSR_INVALID'],
  }),
};

export const births = {
  put: endpoint('PUT /devices/:name/birth', {
    reach: 'named',
    summary: "Store a device's signed birth certificate",
    body: birthRequestSchema,
    takes: ['envelope'],
    result: birthReplySchema,
  }),
  get: endpoint('GET /devices/:name/birth', {
    reach: 'named',
    summary: 'The newest birth certificate',
    result: birthReplySchema,
    errors: ['AIOT_BIRTH_MISSING'],
  }),
};

export const secrets = {
  /** Creates a secret, which replaces the previous one. */
  make: endpoint('POST /devices/:name/secret', {
    reach: 'named',
    summary: 'Create a secret for a device without a certificate; replaces the previous one',
    result: deviceSecretSchema,
    location: ({ device }) => ['devices', device],
    errors: ['AIOT_DEVICE_STATE'],
  }),
  remove: endpoint('DELETE /devices/:name/secret', {
    reach: 'named',
    summary: "Remove a device's secret",
    result: deviceSecretSchema,
  }),
};

/** An open remote session of the replica that handles the request. */
export const remoteSessionSchema = z.object({
  id: z.string(),
  device: z.string(),
  who: z.string(),
  kind: z.enum(['shell', 'forward', 'copy']),
  /** The purpose, such as `127.0.0.1:80` or `from /var/log/syslog`. */
  target: z.string(),
  opened: time,
  until: time,
  /** Bytes received from the device, and sent to it. */
  bytesFrom: z.int(),
  bytesTo: z.int(),
});
export type RemoteSession = z.output<typeof remoteSessionSchema>;

export const remoteSessionListSchema = z.object({
  sessions: z.array(remoteSessionSchema),
  /** Ids of the replicas that did not respond, whose sessions are therefore missing. */
  missing: z.array(z.string()).default([]),
});

/** The recording of a shell. */
export const remoteRecordingSchema = z.object({
  id: z.string(),
  device: z.string(),
  who: z.string(),
  target: z.string(),
  opened: time,
  bytes: z.int(),
  sha256: z.string(),
  /** In the asciicast format, version 2: lines of JSON. */
  cast: z.string(),
});

/** A recording that a command has saved. */
export const savedRecordingSchema = remoteRecordingSchema.omit({ cast: true }).extend({ file: z.string() });
export type SavedRecording = z.output<typeof savedRecordingSchema>;

/** Open shells, forwarded ports and copies. They are opened with a WebSocket, GET /devices/{name}/remote. */
export const remoteSessions = {
  list: endpoint('GET /remote-sessions', {
    reach: 'filtered',
    summary: 'Open remote sessions, oldest first',
    query: z.object({ device: name.optional() }),
    result: remoteSessionListSchema,
    list: 'sessions',
  }),
  close: endpoint('DELETE /remote-sessions/:id', {
    reach: 'filtered',
    summary: 'End a remote session',
    result: remoteSessionSchema,
  }),
  recording: endpoint('GET /remote-sessions/:id/recording', {
    reach: 'filtered',
    access: 'operator',
    params: z.object({ id: z.uuid() }),
    summary: 'The recording of a shell that has ended or is still open',
    result: remoteRecordingSchema,
  }),
};

/** Devices' live and past messages. */
export const talk = {
  messages: endpoint('GET /devices/:name/messages', {
    reach: 'named',
    summary: "A device's newest messages on one channel, oldest first",
    query: deviceMessagesQuerySchema,
    result: deviceMessagesSchema,
    list: 'messages',
  }),
  series: endpoint('GET /devices/:name/series', {
    reach: 'named',
    summary: "A device's telemetry over time: minimum, mean and maximum of each field in buckets",
    query: deviceSeriesQuerySchema,
    result: deviceSeriesSchema,
  }),
  logs: endpoint('GET /logs', {
    reach: 'filtered',
    summary: 'Log lines of many devices, newest first',
    query: logQuerySchema,
    result: logPageSchema,
    errors: ['AIOT_SELECTOR_INVALID'],
  }),
  follow: endpoint('GET /logs/live', {
    reach: 'filtered',
    summary: 'New log lines of many devices as server-sent events',
    query: logFollowSchema,
    sends: 'events',
    errors: ['AIOT_SELECTOR_INVALID'],
  }),
  live: endpoint('GET /devices/:name/live', {
    reach: 'named',
    summary: "A device's new messages as server-sent events: telemetry, inference, reply, log",
    sends: 'events',
  }),
};

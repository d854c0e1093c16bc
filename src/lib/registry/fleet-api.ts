import * as z from 'zod';
import { deviceSchema, deviceStates, name, time } from './fields.js';
import { pageQuerySchema, pageSchema } from './page.js';

/** Names of tags and groups, and what a tag may say. */
export const tagName = z
  .string()
  .regex(/^[A-Za-z][A-Za-z0-9_.-]{0,62}$/, 'expected a letter, then letters, digits, _ . -');
export const groupName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/, 'expected letters, digits, _ . -');
/** No control characters: it is printed in tables. */
export const tagValue = z
  .string()
  .regex(/^[^\p{Cc}\p{Cf}]{1,128}$/u, 'expected 1 to 128 printable characters');
const tags = z.record(tagName, tagValue);

/** How many tags, and how many groups, one device may have. */
export const mostTags = 64;
/** How many devices one request changes. */
export const mostChanges = 1000;

/** GET /devices → {devices, next}, by name. `selector`: those that it matches. */
export const deviceListQuerySchema = pageQuerySchema.extend({ selector: z.string().max(4000).optional() });
export type DeviceListQuery = z.output<typeof deviceListQuerySchema>;
export const deviceListSchema = pageSchema('devices', deviceSchema);

export const deviceActions = ['suspend', 'resume', 'revoke', 'remove'] as const;
export type DeviceAction = (typeof deviceActions)[number];

/** What is to become of devices. */
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

/** POST /devices/actions: each device by itself; one that refuses keeps no other from it. */
export const deviceChangeRequestSchema = z.strictObject({
  change: deviceChangeSchema,
  names: z.array(name).min(1).max(mostChanges),
  /** Nothing is changed: what would be is told. */
  dryRun: z.boolean().default(false),
});

/** What changes can change of a device. */
export const changeableSchema = z.object({
  state: z.enum(deviceStates),
  tags: z.record(z.string(), z.string()),
  groups: z.array(z.string()),
});
export type Changeable = z.output<typeof changeableSchema>;

export const changedDeviceSchema = z.object({
  name,
  /** null where no device has the name. */
  type: z.string().nullable(),
  outcome: z.enum(['changed', 'same', 'refused']),
  before: changeableSchema.nullable(),
  /** As it is, or with `dryRun` would be, afterwards; null = removed. */
  after: changeableSchema.nullable(),
  error: z.object({ code: z.string(), message: z.string() }).nullable(),
});
export type ChangedDevice = z.output<typeof changedDeviceSchema>;
export const changedDevicesSchema = z.object({ devices: z.array(changedDeviceSchema) });

/** PATCH /devices/{name}: what is not named stays; a tag that is null goes. */
export const devicePatchSchema = z.strictObject({
  tags: z.record(tagName, tagValue.nullable()).optional(),
  groups: z.array(groupName).max(mostTags).optional(),
});

export type DevicePatch = z.output<typeof devicePatchSchema>;

/** GET /devices/{name}/state: what it is to run, and what it says that it does. */
export const deviceTwinSchema = z.object({
  /** The messages of protocol v1; null = none. */
  desired: z.looseObject({}).nullable(),
  reported: z.looseObject({}).nullable(),
  lastSeen: time.nullable(),
});
export type DeviceTwin = z.output<typeof deviceTwinSchema>;

/** GET /devices/{name}/history → {entries, next}, newest first: all that was changed of a device of this name. */
export const deviceHistoryEntrySchema = z.object({
  id: z.int(),
  at: time,
  /** `device.tag`, … */
  type: z.string(),
  who: z.string(),
  data: z.record(z.string(), z.unknown()),
});
export type DeviceHistoryEntry = z.output<typeof deviceHistoryEntrySchema>;
export const deviceHistorySchema = pageSchema('entries', deviceHistoryEntrySchema);

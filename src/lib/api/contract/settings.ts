import * as z from 'zod';
import { appliedSchema, digest, name, settingsStates, time } from '../fields.js';
import { groupName } from './devices.js';
import { endpoint } from './endpoint.js';

/** Maximum size of a JSON Schema of settings in bytes, maximum number of types in one project, and limits for priorities of groups. */
const mostSchemaBytes = 16_384;
const mostTypes = 100;
const mostPriority = 1000;

const values = z.record(z.string().max(100), z.unknown());

/** The settings of devices of one type, as a JSON Schema (draft 2020-12) with defaults. */
export const newSettingsSchema = z.strictObject({
  /** Type of the devices. */
  type: name,
  schema: z
    .record(z.string(), z.unknown())
    .refine(({ type }) => type === 'object', 'expected a JSON Schema with type: object')
    .refine(
      (schema) => JSON.stringify(schema).length <= mostSchemaBytes,
      `expected at most ${mostSchemaBytes} bytes`,
    ),
});
export type NewSettings = z.output<typeof newSettingsSchema>;

export const settingsInfoSchema = z.object({
  ...newSettingsSchema.shape,
  /** Project whose aiot.yaml defines the settings. */
  project: z.string(),
  /** Overrides for groups. A group with a higher priority overrides the others; groups of equal priority apply in the order of their names. */
  groups: z.array(z.object({ group: z.string(), priority: z.int(), values })),
});
export type SettingsInfo = z.output<typeof settingsInfoSchema>;
export const settingsListSchema = z.object({ settings: z.array(settingsInfoSchema) });

/** PUT /settings: replaces the platform's settings of one project with this list. A type of another project is an error. */
const applySettingsSchema = z.strictObject({
  project: name,
  settings: z.array(newSettingsSchema).max(mostTypes),
  dryRun: z.boolean().default(false),
});
export type ApplySettings = z.input<typeof applySettingsSchema>;

/** The types whose settings were created, changed, removed or left unchanged. With `dryRun`, the planned outcome. */
export const settingsAppliedSchema = appliedSchema;
export type SettingsApplied = z.output<typeof settingsAppliedSchema>;

/** How a project's definition changed an integration, such as the one with Home Assistant. */
export const integrationAppliedSchema = z.object({
  project: name,
  change: z.enum(['created', 'changed', 'removed', 'unchanged']),
  /** Address without credentials; `own` = the platform's broker; null = nothing is published. */
  broker: z.string().nullable(),
});
export type IntegrationApplied = z.output<typeof integrationAppliedSchema>;

const change = {
  /** Values to set: objects are merged, lists and other values are replaced. */
  set: values.default({}),
  /** Paths of overrides to remove, such as `report.everyS`. */
  unset: z.array(z.string().min(1).max(200)).max(100).default([]),
};
const changeSettingsSchema = z.strictObject(change);
const changeGroupSettingsSchema = z.strictObject({
  ...change,
  /** Absent = unchanged; initially 0. */
  priority: z.int().min(0).max(mostPriority).optional(),
});

export const deviceSettingsSchema = z.object({
  device: z.string(),
  type: z.string(),
  /** The settings that the device should have, and their digest. */
  values,
  digest: digest.nullable(),
  /** The source of each value, by its path: `default`, `group lab`, or the device's name. */
  origins: z.record(z.string(), z.string()),
  /** The device's own overrides. */
  own: values,
  /**
   * `same`: the device runs them. `pending`: it is offline, or has had less than 30 s to apply them. `rejected`: it reported an error for
   * them. `unsupported`: it has never reported settings. `drifted`: it runs other settings.
   */
  state: z.enum(settingsStates),
  /** Since when the device should have these values. */
  since: time.nullable(),
  /** Values that the device reports differently from the desired ones. `desired` or `reported` is absent if there is no such value. */
  differences: z.array(
    z.object({ path: z.string(), desired: z.unknown().optional(), reported: z.unknown().optional() }),
  ),
  /** The device's own error for these settings. */
  error: z.object({ code: z.string(), message: z.string() }).nullable(),
  /** Why the overrides of the device and its groups cannot be combined: the device keeps the earlier settings. */
  problem: z.string().nullable(),
});
export type DeviceSettings = z.output<typeof deviceSettingsSchema>;

export const settings = {
  list: endpoint('GET /settings', {
    reach: 'filtered',
    summary: 'Settings that projects define for device types, and overrides for groups',
    result: settingsListSchema,
    list: 'settings',
  }),
  apply: endpoint('PUT /settings', {
    summary: "Create, change and remove settings so that they match a project's",
    body: applySettingsSchema,
    result: settingsAppliedSchema,
    errors: ['AIOT_ALREADY_EXISTS', 'AIOT_SETTINGS_SCHEMA', 'AIOT_SETTINGS_INVALID'],
  }),
  of: endpoint('GET /devices/:name/settings', {
    reach: 'named',
    summary: "A device's settings: the values with their sources, and whether the device has applied them",
    result: deviceSettingsSchema,
    errors: ['AIOT_SETTINGS_UNKNOWN'],
  }),
  change: endpoint('PATCH /devices/:name/settings', {
    reach: 'named',
    summary: "Set or remove a device's own overrides; offline devices receive them when they connect",
    body: changeSettingsSchema,
    result: deviceSettingsSchema,
    errors: ['AIOT_SETTINGS_UNKNOWN', 'AIOT_SETTINGS_INVALID'],
  }),
  changeGroup: endpoint('PATCH /settings/:type/groups/:group', {
    summary: 'Set or remove overrides for the devices of a type in a group',
    params: z.object({ type: name, group: groupName }),
    body: changeGroupSettingsSchema,
    result: settingsInfoSchema,
    errors: ['AIOT_SETTINGS_UNKNOWN', 'AIOT_SETTINGS_INVALID'],
  }),
};

import { setTimeout as delay } from 'node:timers/promises';
import * as z from 'zod';
import { catalogue, type ErrorCode } from '../core/catalogue.js';
import { AiotError } from '../core/errors.js';
import { parsedJson } from '../core/text.js';
import { formatDuration } from '../core/time.js';
import type { RegistryClient } from './client.js';
import {
  type ChangedDevice,
  changedDeviceSchema,
  type DeviceChange,
  type DeviceMessage,
  type LogLine,
  type LogPage,
  mostChanges,
} from './contract/devices.js';
import type { HistoryQuery, LatencyHistory, PredictionHistory, PresenceHistory } from './contract/history.js';
import type { DeviceSettings, SettingsInfo } from './contract/settings.js';
import { type FollowRolloutOptions, followRollout, reportOffline } from './rollouts/deploy.js';
import type { Rollout, RolloutPlan, RolloutPolicyInput } from './rollouts/schema.js';

export const devicesChangedSchema = z.object({
  action: z.string(),
  /** Whether this was a dry run. */
  dryRun: z.boolean(),
  /** The selector; null if a single device was given by name. */
  selector: z.string().nullable(),
  matched: z.int(),
  /**
   * Number of devices that were changed, and number of devices that rejected the change. Devices that were already in the requested state
   * count as neither.
   */
  changed: z.int(),
  refused: z.int(),
  /** The devices, sorted by name. */
  devices: z.array(changedDeviceSchema),
});
export type DevicesChanged = z.output<typeof devicesChangedSchema>;

export interface ChangeDevices {
  client: Pick<RegistryClient, 'devices'>;
  /** A device's name, or a selector for several devices. */
  target: { name: string } | { selector: string };
  change: DeviceChange;
  dryRun: boolean;
  /** Asks the user to confirm the planned changes. If the user declines, nothing is changed. */
  agree?: ((planned: DevicesChanged) => Promise<boolean>) | undefined;
  /** Called after each request if more than one is needed. */
  onProgress?: ((done: number, total: number) => void) | undefined;
}

/**
 * Changes devices and returns the outcome of each. The devices are selected once: exactly those shown to `agree` are changed, even if other
 * devices match later.
 * @throws AIOT_NOT_FOUND if no device matches, AIOT_SELECTOR_INVALID, the error for a named device, AIOT_INTERRUPTED if the user declines
 */
export async function changeDevices(options: ChangeDevices): Promise<DevicesChanged> {
  const { client, target, change, dryRun, agree, onProgress } = options;
  const selector = 'selector' in target ? target.selector : null;
  const names = 'name' in target ? [target.name] : await matching(client, target.selector);
  const run = async (dry: boolean): Promise<DevicesChanged> => {
    const devices: ChangedDevice[] = [];
    for (let i = 0; i < names.length; i += mostChanges) {
      devices.push(...(await client.devices.change(names.slice(i, i + mostChanges), change, dry)));
      if (!dry && names.length > mostChanges) onProgress?.(devices.length, names.length);
    }
    return { ...counted(devices), action: change.action, dryRun: dry, selector };
  };
  if (dryRun) return named(target, await run(true));
  if (agree) {
    const planned = named(target, await run(true));
    if (planned.changed === 0) return { ...planned, dryRun: false };
    if (!(await agree(planned))) throw new AiotError('AIOT_INTERRUPTED', 'canceled: nothing was changed');
  }
  return named(target, await run(false));
}

/** Exit code: 3 if some devices rejected the change, 1 if all did; undefined = success. */
export function changeExit({ matched, refused }: DevicesChanged): 1 | 3 | undefined {
  if (refused === 0) return undefined;
  return refused === matched ? 1 : 3;
}

async function matching(client: ChangeDevices['client'], selector: string): Promise<string[]> {
  const names = (await client.devices.list(selector)).map(({ name }) => name);
  if (names.length > 0) return names;
  throw new AiotError('AIOT_NOT_FOUND', `no device matches ${selector}`, {
    next: 'To see the devices and their types, run `aiot device list`.',
  });
}

function counted(devices: ChangedDevice[]) {
  const count = (wanted: ChangedDevice['outcome']) =>
    devices.filter(({ outcome }) => outcome === wanted).length;
  return { matched: devices.length, changed: count('changed'), refused: count('refused'), devices };
}

/** If a single device was given by name and rejected the change, throws its error. */
function named(target: ChangeDevices['target'], result: DevicesChanged): DevicesChanged {
  const error = 'name' in target ? result.devices[0]?.error : null;
  if (!error) return result;
  const code = Object.hasOwn(catalogue, error.code) ? (error.code as ErrorCode) : 'AIOT_PLATFORM_FAILED';
  throw new AiotError(code, error.message);
}

export interface ChangeSettings {
  client: Pick<RegistryClient, 'settings'>;
  /** A device, or the devices of one type in a group. If no type is given, settings must be defined for exactly one type. */
  target: { name: string } | { group: string; type?: string | undefined; priority?: number | undefined };
  /** Paths of settings such as `report.everyS`, and their values as text. */
  set: readonly (readonly [path: string, text: string])[];
  unset: readonly string[];
  /** Whether to wait until the device has applied the settings, and for how long, ms. */
  waits: boolean;
  timeoutMs: number;
  signal: AbortSignal;
}

/** How often a waiting caller looks at the device, ms. */
const lookMs = 200;

/**
 * Changes the settings of a device or of a group. A value is JSON, or text if it is not JSON, or if the schema expects text.
 * @throws AIOT_NOT_FOUND, AIOT_USAGE, AIOT_SETTINGS_UNKNOWN, AIOT_SETTINGS_INVALID; if it waits, AIOT_SETTINGS_REJECTED, AIOT_SETTINGS_UNCONFIRMED
 */
export async function changeSettings(options: ChangeSettings): Promise<DeviceSettings | SettingsInfo> {
  const { client, target, waits, timeoutMs, signal } = options;
  const all = await client.settings.list();
  const type = 'name' in target ? (await client.settings.of(target.name)).type : typeOf(target.type, all);
  const change = settingsChangeOf(options, type, all);
  if ('group' in target) {
    const { group, priority } = target;
    return client.settings.changeGroup(type, group, {
      ...change,
      ...(priority === undefined ? {} : { priority }),
    });
  }
  let settings = await client.settings.change(target.name, change);
  for (const until = Date.now() + timeoutMs; waits && settings.state !== 'same'; ) {
    const { device, state, error } = settings;
    if (state === 'rejected')
      throw new AiotError('AIOT_SETTINGS_REJECTED', `${device}: ${error?.code} ${error?.message}`);
    if (Date.now() > until) {
      const message = `${device} has not applied its settings within ${formatDuration(timeoutMs)} (${state})`;
      throw new AiotError('AIOT_SETTINGS_UNCONFIRMED', message);
    }
    await delay(lookMs, undefined, { signal });
    settings = await client.settings.of(target.name);
  }
  return settings;
}

export interface DeploySettings
  extends Pick<ChangeSettings, 'set' | 'unset'>,
    Omit<FollowRolloutOptions, 'onStarted'> {
  /** Type of the devices; absent = the only type with settings. */
  type?: string | undefined;
  selector: string;
  policy: RolloutPolicyInput;
  /** Whether to wait until the rollout ends or is stopped. */
  waits: boolean;
  /** Whether to return the plan, and start nothing. */
  dryRun: boolean;
  /** Called for each reason why some devices may not apply the settings. */
  onWarning?: (warning: string) => void;
}

/**
 * Starts a rollout of settings.
 * @throws AIOT_USAGE, AIOT_SETTINGS_UNKNOWN, AIOT_SETTINGS_INVALID, AIOT_ROLLOUT_EMPTY, AIOT_SELECTOR_INVALID; AIOT_INTERRUPTED while waiting
 */
export async function deploySettings(options: DeploySettings): Promise<Rollout | RolloutPlan> {
  const { client, selector, policy } = options;
  if (options.set.length + options.unset.length === 0)
    throw new AiotError('AIOT_USAGE', 'expected a setting such as rpm=900, or rpm- to remove its override');
  const all = await client.settings.list();
  const name = typeOf(options.type, all);
  const change = settingsChangeOf(options, name, all);
  const asked = { releases: [{ kind: 'settings' as const, name, change }], selector, policy };
  if (options.dryRun) return client.rollouts.plan(asked);
  const started = await client.rollouts.start(asked);
  for (const warning of started.warnings ?? []) options.onWarning?.(warning);
  if (options.waits) return followRollout(started, options);
  // The token may lack the permission to list devices. The rollout has started nevertheless.
  await reportOffline(started, options).catch(() => {});
  return started;
}

function settingsChangeOf(
  { set: texts, unset }: Pick<ChangeSettings, 'set' | 'unset'>,
  type: string,
  all: readonly SettingsInfo[],
) {
  const schema = all.find((each) => each.type === type)?.schema;
  const set: Record<string, unknown> = {};
  for (const [path, text] of texts) setAt(set, path, settingValueOf(text, schemaAt(schema, path)));
  return { set, unset: [...unset] };
}

function typeOf(asked: string | undefined, all: readonly SettingsInfo[]): string {
  const [only, ...others] = all;
  if (asked !== undefined) return asked;
  if (only && others.length === 0) return only.type;
  if (!only) throw new AiotError('AIOT_SETTINGS_UNKNOWN', 'no project defines settings');
  const known = all.map(({ type }) => type).join(', ');
  throw new AiotError('AIOT_USAGE', `expected --type with one of ${known}`);
}

type Schema = Record<string, unknown>;

/** The schema of a setting; undefined if it is not found under `properties`. */
function schemaAt(schema: Schema | undefined, path: string): Schema | undefined {
  return path.split('.').reduce<Schema | undefined>((at, name) => {
    const properties = (at?.properties ?? {}) as Record<string, Schema>;
    return Object.hasOwn(properties, name) ? properties[name] : undefined;
  }, schema);
}

function settingValueOf(text: string, schema: Schema | undefined): unknown {
  const value = schema?.type === 'string' ? undefined : parsedJson(text);
  return value === undefined ? text : value;
}

/** Sets a value within nested objects. @throws AIOT_USAGE if another change has set it, or a value around it */
function setAt(values: Record<string, unknown>, path: string, value: unknown): void {
  const names = path.split('.');
  const last = names.pop() ?? '';
  let at = values;
  for (const name of names) {
    if (!Object.hasOwn(at, name)) define(at, name, {});
    const inner = at[name];
    if (typeof inner !== 'object' || inner === null || Array.isArray(inner)) throw twice(path);
    at = inner as Record<string, unknown>;
  }
  if (Object.hasOwn(at, last)) throw twice(path);
  define(at, last, value);
}

/** A name such as __proto__ becomes an ordinary member, which does not match the platform's schema and is rejected there. */
function define(at: object, name: string, value: unknown): void {
  Object.defineProperty(at, name, { value, configurable: true, enumerable: true, writable: true });
}

const twice = (path: string) => new AiotError('AIOT_USAGE', `${path} is given twice`);

/** Messages of one device, or log lines of many. */
export interface LogsWanted {
  /** Absent = search the log lines of many devices. */
  name: string | undefined;
  channel: 'log' | 'inference' | 'reply';
  selector?: string | undefined;
  level?: LogLine['level'] | undefined;
  contains?: string | undefined;
  /** Earliest time of arrival, ms since 1970. */
  since: number;
  /** Latest time of arrival; absent = now. */
  until?: number | undefined;
  limit: number;
  after?: string | undefined;
}

/** @throws AIOT_NOT_FOUND, AIOT_SELECTOR_INVALID, AIOT_NOT_ALLOWED */
export async function readLogs(
  { devices }: Pick<RegistryClient, 'devices'>,
  { name, channel, since, limit, ...search }: LogsWanted,
): Promise<DeviceMessage[] | LogPage> {
  if (name !== undefined) return devices.messages(name, { channel, since, limit });
  return devices.logs({ ...search, since, limit });
}

/** @throws AIOT_REQUEST_INVALID, AIOT_SELECTOR_INVALID, AIOT_NOT_ALLOWED */
export async function readHistory(
  { history }: Pick<RegistryClient, 'history'>,
  show: 'presence' | 'predictions' | 'latency',
  { model, ...query }: HistoryQuery & { model?: string | undefined },
): Promise<PresenceHistory | PredictionHistory | LatencyHistory> {
  if (show === 'presence') return history.presence(query);
  return history[show]({ ...query, model });
}

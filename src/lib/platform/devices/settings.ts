import {
  type ApplySettings,
  type DeviceSettings,
  newSettingsSchema,
  type SettingsApplied,
  type SettingsInfo,
} from '../../api/contract/settings.js';
import { AiotError } from '../../core/errors.js';
import {
  type CompiledSettings,
  changedSettings,
  compileProjectSettings,
  pathsOf,
  type SettingsChange,
  type SettingsLayer,
} from '../../fleet/settings.js';
import { type Reach, requireInReach } from '../access/reach.js';
import type { Events } from '../events/events.js';
import type { Store } from '../store/database.js';
import { every, type Worker } from '../workers.js';
import type { DesiredStates } from './desired.js';
import type { DeviceRecord, Devices, DeviceUpdate } from './devices.js';
import type { StoredSettings } from './records.js';

interface Parts {
  store: Store;
  events: Events;
  devices: Devices;
  desired: DesiredStates;
  /** ms since 1970 */
  now: () => number;
}

type Values = Record<string, unknown>;

/** A type's settings, ready to resolve those of devices. */
export interface SettingsDefinition extends SettingsInfo {
  compiled: CompiledSettings;
}
type Definition = SettingsDefinition;

type Definitions = Pick<ReadonlyMap<string, Definition | undefined>, 'has' | 'get'>;

/** A change of definitions: the changed ones by type, undefined = removed. */
interface DefinitionChange {
  after: Definitions;
  /** Whether a device is an error if its overrides do not fit. */
  isStrict: (device: DeviceRecord) => boolean;
  /** Writes the change; null = nothing is to be written. */
  save: ((store: Store) => Promise<void>) | null;
}

/** Maximum number of settings per device whose last change by a user is kept. */
const mostEdits = 100;
/** How often the settings of new devices, and of devices whose groups have changed, are updated, ms. */
const passEveryMs = 1000;
/** Number of devices whose settings are written in one transaction. */
const devicesAtOnce = 500;

/**
 * Device settings that projects define: a schema with defaults for each type, and overrides for groups and single devices. Each device's
 * result is stored with the device, so that every replica has it in memory, and published as a retained message.
 */
export class DeviceSettingsService {
  constructor(private readonly parts: Parts) {}

  /** For limited users: the types of their devices, with the overrides of groups that contain one of these devices. */
  async list(reach: Reach | null = null): Promise<SettingsInfo[]> {
    const all = (await this.definitions()).map(({ compiled: _, ...info }) => info);
    if (reach === null) return all;
    const groupsOf = new Map<string, Set<string>>();
    await this.parts.devices.visit((device) => {
      if (!reach.has(device.name)) return;
      const groups = groupsOf.get(device.type) ?? new Set();
      for (const group of device.groups) groups.add(group);
      groupsOf.set(device.type, groups);
    });
    return all.flatMap((info) => {
      const own = groupsOf.get(info.type);
      return own ? [{ ...info, groups: info.groups.filter(({ group }) => own.has(group)) }] : [];
    });
  }

  /** @throws AIOT_NOT_FOUND, AIOT_SETTINGS_UNKNOWN */
  async of(name: string): Promise<DeviceSettings> {
    const { devices } = this.parts;
    const device = devices.record(name);
    const definition = await this.definitionOf(device.type, name);
    const { own = {}, wanted = null } = device.settings ?? {};
    const resolved = definition.compiled.resolve(layersOf(definition, device, own));
    const isInvalid = 'problem' in resolved;
    const drift = devices.settingsDrift(name) ?? { state: 'pending', differences: [] };
    const error = drift.state === 'rejected' ? (device.reported?.settings?.error ?? null) : null;
    return {
      ...{ device: name, type: device.type, own },
      values: wanted?.values ?? (isInvalid ? {} : resolved.values),
      digest: wanted?.digest ?? null,
      origins: isInvalid ? {} : resolved.origins,
      ...{ state: drift.state, differences: drift.differences, since: wanted?.at ?? null },
      error: error && { code: error.code, message: error.message },
      problem: isInvalid ? settingsInvalid(name, resolved.problem).message : null,
    };
  }

  /**
   * Replaces the settings of a project with a list. Overrides are kept, and must fit the new schemas.
   * @throws AIOT_ALREADY_EXISTS (a type of another project, or the same type twice), AIOT_SETTINGS_SCHEMA, AIOT_SETTINGS_INVALID
   */
  async apply({ project, settings, dryRun = false }: ApplySettings, who: string): Promise<SettingsApplied> {
    const { events, now } = this.parts;
    const lists: Pick<SettingsApplied, 'created' | 'changed' | 'removed' | 'unchanged'> = {
      ...{ created: [], changed: [], removed: [], unchanged: [] },
    };
    const result = { project, dryRun, ...lists };
    await this.changeDefinitions(async (all) => {
      for (const list of Object.values(lists)) list.length = 0;
      const before = new Map(all.map((each) => [each.type, each]));
      const wanted = new Map<string, Definition>();
      for (const each of settings) {
        const { type, schema } = newSettingsSchema.parse(each);
        const old = before.get(type);
        if (wanted.has(type)) throw new AiotError('AIOT_ALREADY_EXISTS', `${type} is defined twice`);
        if (old && old.project !== project)
          throw new AiotError(
            'AIOT_ALREADY_EXISTS',
            `the settings of ${type} are already defined by the project ${old.project}`,
          );
        const compiled = await compileProjectSettings(type, schema);
        wanted.set(type, { type, schema, project, groups: old?.groups ?? [], compiled });
        const isSame = old && JSON.stringify(old.schema) === JSON.stringify(schema);
        lists[old === undefined ? 'created' : isSame ? 'unchanged' : 'changed'].push(type);
      }
      for (const { type, project: owner } of before.values())
        if (owner === project && !wanted.has(type)) lists.removed.push(type);
      for (const list of Object.values(lists)) list.sort();
      const types = [...lists.created, ...lists.changed, ...lists.removed];
      const { unchanged: _, ...data } = lists;
      const save = async (store: Store) => {
        for (const type of lists.removed)
          await store.deleteFrom('settings').where('type', '=', type).execute();
        for (const type of [...lists.created, ...lists.changed]) {
          const definition = JSON.stringify(wanted.get(type)?.schema);
          await store
            .insertInto('settings')
            .values({ type, project, definition, created: now(), who })
            .onConflict((conflict) => conflict.column('type').doUpdateSet({ definition, who }))
            .execute();
        }
        await events.record({ who, type: 'settings.apply', subject: project, data }, store);
      };
      const after = new Map(types.map((type) => [type, wanted.get(type)]));
      return { after, isStrict: () => true, save: dryRun || types.length === 0 ? null : save };
    });
    return result;
  }

  /**
   * Changes a device's own overrides.
   * @throws AIOT_NOT_FOUND, AIOT_SETTINGS_UNKNOWN, AIOT_SETTINGS_INVALID, AIOT_NOT_ALLOWED (the device has left the reach)
   */
  async change(
    name: string,
    change: SettingsChange,
    who: string,
    reach: Reach | null = null,
  ): Promise<DeviceSettings> {
    const { devices, events } = this.parts;
    await devices.inTurnOf([name], async () => {
      requireInReach(reach, [name]);
      const device = devices.record(name);
      const definition = await this.definitionOf(device.type, name);
      const before = device.settings ?? { own: {}, wanted: null };
      const own = changedSettings(before.own, change);
      const resolved = this.resolved(device, { ...before, own }, definition, true);
      if (JSON.stringify(resolved) === JSON.stringify(before)) return;
      const settings = { ...resolved, edits: editsAfter(before, change, { at: this.parts.now(), who }) };
      const data = { set: change.set ?? {}, unset: [...(change.unset ?? [])] };
      await this.write([{ device, change: { settings } }], (store) =>
        events.record({ who, type: 'device.settings', subject: name, data }, store),
      );
    });
    return this.of(name);
  }

  /**
   * Changes the overrides for the devices of a type in a group.
   * @throws AIOT_SETTINGS_UNKNOWN, AIOT_SETTINGS_INVALID if they do not fit a device, or the defaults if the group has no device of this type
   */
  async changeGroup(
    type: string,
    group: string,
    { priority: asked, ...change }: SettingsChange & { priority?: number | undefined },
    who: string,
  ): Promise<SettingsInfo> {
    const { devices, events } = this.parts;
    await this.changeDefinitions(async (all) => {
      const definition = this.definitionIn(all, type);
      const before = definition.groups.find((each) => each.group === group);
      const values = changedSettings(before?.values ?? {}, change);
      const priority = asked ?? before?.priority ?? 0;
      const others = definition.groups.filter((each) => each !== before);
      const isEmpty = Object.keys(values).length === 0;
      const groups = isEmpty ? others : [...others, { group, priority, values }];
      const isMember = (device: DeviceRecord) => device.groups.includes(group);
      let hasMembers = false;
      await devices.visit((device) => {
        hasMembers ||= device.type === type && isMember(device);
      });
      if (!hasMembers) {
        const resolved = definition.compiled.resolve([{ from: group, priority, values }]);
        if ('problem' in resolved) throw settingsInvalid(`group ${group}`, resolved.problem);
      }
      const save = async (store: Store) => {
        const row = { type, groupName: group, priority, overrides: JSON.stringify(values), who };
        await store
          .deleteFrom('groupSettings')
          .where('type', '=', type)
          .where('groupName', '=', group)
          .execute();
        if (!isEmpty) await store.insertInto('groupSettings').values(row).execute();
        const data = { group, priority, set: change.set ?? {}, unset: [...(change.unset ?? [])] };
        await events.record({ who, type: 'settings.group', subject: type, data }, store);
      };
      return { after: new Map([[type, { ...definition, groups }]]), isStrict: isMember, save };
    });
    return (await this.list()).find((each) => each.type === type) as SettingsInfo;
  }

  /**
   * Changes definitions. All devices are compared with the new ones before the turn, so that other changes of devices do not wait for it.
   * The settings of a few devices are written in the same transaction; the worker writes those of many, some at a time.
   * @param plan called again if another change of the definitions came first
   */
  private async changeDefinitions(plan: (all: Definition[]) => Promise<DefinitionChange>): Promise<void> {
    const { devices } = this.parts;
    for (let isDone = false; !isDone; ) {
      const before = await this.definitions();
      const { after, isStrict, save } = await plan(before);
      const stale = await this.stale(after, isStrict, devicesAtOnce + 1);
      if (save === null) return;
      isDone = await devices.inTurn(async () => {
        if (textOf(await this.definitions()) !== textOf(before)) return false;
        const few = stale.length <= devicesAtOnce ? stale : [];
        await this.write(this.updatesOf(few, after), save);
        return true;
      });
    }
  }

  /** Updates the settings of new devices, and of devices whose groups have changed. */
  worker(): Worker {
    return { name: 'settings', run: (signal) => every(passEveryMs, signal, () => this.pass()) };
  }

  async pass(): Promise<void> {
    const { devices } = this.parts;
    const stale = await this.stale(await this.allTypes(), () => false);
    for (let i = 0; i < stale.length; i += devicesAtOnce) {
      const part = stale.slice(i, i + devicesAtOnce);
      await devices.inTurn(async () => this.write(this.updatesOf(part, await this.allTypes())));
    }
  }

  /** The definitions of all types; of a type without one, undefined, so that its devices lose their settings. */
  private async allTypes(): Promise<Definitions> {
    const known = byType(await this.definitions());
    return { has: () => true, get: (type) => known.get(type) };
  }

  /**
   * Names of the devices whose settings differ from those that they should have.
   * @param definitions those of the types to look at; undefined = the type no longer has settings
   * @param isStrict whether a device is an error if its overrides are invalid; otherwise, it keeps its settings
   * @param most further names are left out, but all devices are checked
   * @throws AIOT_SETTINGS_INVALID
   */
  private async stale(
    definitions: Definitions,
    isStrict: (device: DeviceRecord) => boolean,
    most = Number.POSITIVE_INFINITY,
  ): Promise<string[]> {
    const names: string[] = [];
    await this.parts.devices.visit((device) => {
      if (this.updateOf(device, definitions, isStrict(device)) && names.length < most)
        names.push(device.name);
    });
    return names;
  }

  private updatesOf(names: readonly string[], definitions: Definitions): DeviceUpdate[] {
    return names.flatMap((name) => {
      const device = this.parts.devices.find(name);
      return (device && this.updateOf(device, definitions, false)) ?? [];
    });
  }

  private updateOf(device: DeviceRecord, definitions: Definitions, isStrict: boolean): DeviceUpdate | null {
    if (device.state === 'revoked' || !definitions.has(device.type)) return null;
    const definition = definitions.get(device.type);
    if (!definition && !device.settings?.wanted) return null;
    const before = device.settings ?? { own: {}, wanted: null };
    const settings = this.resolved(device, before, definition, isStrict);
    return settings.wanted?.digest === before.wanted?.digest ? null : { device, change: { settings } };
  }

  /** @throws AIOT_SETTINGS_INVALID if `isStrict` */
  private resolved(
    device: DeviceRecord,
    stored: StoredSettings,
    definition: Definition | undefined,
    isStrict: boolean,
  ): StoredSettings {
    const { own, wanted: before } = stored;
    if (definition === undefined) return { ...stored, wanted: null };
    const wanted = definition.compiled.resolve(layersOf(definition, device, own));
    if ('problem' in wanted) {
      if (isStrict) throw settingsInvalid(device.name, wanted.problem);
      return stored;
    }
    const { digest, values } = wanted;
    if (digest === before?.digest) return stored;
    return { ...stored, wanted: { digest, values, at: this.parts.now() } };
  }

  /** Writes settings, and publishes them. Call only from a task passed to `Devices.inTurn`. */
  private async write(updates: DeviceUpdate[], along?: (store: Store) => Promise<unknown>): Promise<void> {
    const { devices, desired } = this.parts;
    await devices.updateAll(updates, along);
    await desired.tellSettings(updates.map(({ device }) => device));
  }

  private definitions(): Promise<Definition[]> {
    return readSettings(this.parts.store);
  }

  private async definitionOf(type: string, device?: string): Promise<Definition> {
    return this.definitionIn(await this.definitions(), type, device);
  }

  private definitionIn(all: readonly Definition[], type: string, device?: string): Definition {
    const definition = all.find((each) => each.type === type);
    if (definition) return definition;
    const known = all.length === 0 ? 'no type' : all.map((each) => each.type).join(', ');
    const what = device === undefined ? `the type ${type}` : `${device} (type ${type})`;
    throw new AiotError('AIOT_SETTINGS_UNKNOWN', `${what} has no settings; known: ${known}`);
  }
}

/** The settings of all types. */
export async function readSettings(store: Store): Promise<SettingsDefinition[]> {
  const rows = await store.selectFrom('settings').selectAll().orderBy('type').execute();
  if (rows.length === 0) return [];
  const overrides = await store.selectFrom('groupSettings').selectAll().orderBy('groupName').execute();
  const found = rows.map(async ({ type, project, definition }) => {
    const schema = JSON.parse(definition) as Values;
    const groups = overrides
      .filter((row) => row.type === type)
      .map(({ groupName: group, priority, overrides: values }) => ({
        ...{ group, priority, values: JSON.parse(values) as Values },
      }));
    return { type, project, schema, groups, compiled: await compileProjectSettings(type, schema) };
  });
  return Promise.all(found);
}

const byType = (all: readonly Definition[]): Definitions => new Map(all.map((each) => [each.type, each]));

/** The stored parts of definitions, to notice changes. */
const textOf = (all: readonly Definition[]) =>
  JSON.stringify(all.map(({ compiled: _, ...definition }) => definition));

/**
 * A device's own overrides come after those of all its groups. Devices without own overrides have the same layers if they are in the
 * same groups.
 */
export function layersOf({ groups }: SettingsInfo, device: DeviceRecord, own: Values): SettingsLayer[] {
  const ofGroups = groups
    .filter(({ group }) => device.groups.includes(group))
    .map(({ group, priority, values }) => ({ from: `group ${group}`, priority, values }));
  if (Object.keys(own).length === 0) return ofGroups;
  return [...ofGroups, { from: device.name, priority: Number.POSITIVE_INFINITY, values: own }];
}

/** When each setting was last changed by a user; the oldest changes are left out. */
function editsAfter(
  { edits = {} }: StoredSettings,
  change: SettingsChange,
  edit: { at: number; who: string },
): NonNullable<StoredSettings['edits']> {
  const all = { ...edits, ...Object.fromEntries(pathsOf(change).map((path) => [path, edit])) };
  const newest = Object.entries(all).sort(([, a], [, b]) => b.at - a.at);
  return Object.fromEntries(newest.slice(0, mostEdits));
}

/** The error for an invalid value in the settings of a device or a group. */
export function settingsInvalid(name: string, { text, path }: { text: string; path: string }): AiotError {
  return new AiotError('AIOT_SETTINGS_INVALID', `${name}: settings${text}`, { field: path || undefined });
}

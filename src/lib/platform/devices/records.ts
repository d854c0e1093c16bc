import type { Selectable } from 'kysely';
import { AiotError } from '../../core/errors.js';
import type { Reported } from '../../device/protocol/messages.js';
import type { DeviceState } from '../../fleet/device.js';
import type { SettingsChange } from '../../fleet/settings.js';
import type { Store } from '../store/database.js';
import type { Schema } from '../store/schema.js';

export interface DeviceRecord {
  name: string;
  id: string;
  type: string;
  state: DeviceState;
  /** Fingerprint of the current certificate; null = the device has no certificate yet. */
  fingerprint: string | null;
  expires: number | null;
  /** Fingerprint of a certificate that was issued to the device but has not been used yet. */
  nextFingerprint: string | null;
  nextExpires: number | null;
  mac: string | null;
  /** The guide's decimal chip id. */
  chipId: string | null;
  created: number;
  lastSeen: number | null;
  reported: Reported | null;
  /** Null = it has neither settings nor overrides. */
  settings: StoredSettings | null;
  tags: Record<string, string>;
  /** Sorted. */
  groups: string[];
  /** Increases with each change except the device's own reports. */
  revision: number;
}

/** A device's own overrides, the settings that it should use, and since when (ms since 1970); null = its type has no settings. */
export interface StoredSettings {
  own: Record<string, unknown>;
  wanted: { digest: string; values: Record<string, unknown>; at: number } | null;
  /** When users last changed the device's overrides, by the setting's path, so that rollouts do not undo it. */
  edits?: Record<string, { at: number; who: string }>;
  /** The change by the last rollout of settings. */
  deployed?: DeployedSettings;
}

/** The change of a device's overrides by a rollout. */
export interface DeployedSettings {
  /** The rollout's id, and the name of its offer. */
  rollout: string;
  wish: string;
  /** Restores the former overrides. */
  back: SettingsChange;
  /** Whether they have been restored by a rollback. */
  isBack?: boolean;
  /** Why the change is invalid for the device, so that nothing was changed. */
  problem?: string;
}

/** Identifiers of a board. */
export type Board = Pick<DeviceRecord, 'mac' | 'chipId'>;

/** Properties of a device before it is registered. */
export type NewDevice = Omit<
  DeviceRecord,
  'lastSeen' | 'reported' | 'settings' | 'nextFingerprint' | 'nextExpires' | 'tags' | 'groups' | 'revision'
>;

export interface DeviceUpdate {
  device: DeviceRecord;
  change: Partial<DeviceRecord> | null;
}

/** Columns that a device reports or the platform observes; users do not change them. */
const told: ReadonlySet<string> = new Set(['reported', 'lastSeen'] satisfies (keyof DeviceRecord)[]);

/** Reads all devices in parts, because the rows need more memory than the records made from them. */
export async function* readAllDevices(store: Store, atOnce = 5000): AsyncGenerator<DeviceRecord[]> {
  for (let last = ''; ; ) {
    const page = store.selectFrom('devices').selectAll().where('id', '>', last).orderBy('id').limit(atOnce);
    const rows = await page.execute();
    yield rows.map(recordOf);
    if (rows.length < atOnce) return;
    last = rows.at(-1)!.id;
  }
}

/** Reads the devices with these names from the database. */
export async function readDevices(store: Store, names: readonly string[]): Promise<DeviceRecord[]> {
  const all = store.selectFrom('devices').selectAll();
  const records: DeviceRecord[] = [];
  // A statement has a limited number of parameters.
  for (let i = 0; i < names.length; i += 1000) {
    const rows = await all.where('name', 'in', names.slice(i, i + 1000)).execute();
    records.push(...rows.map(recordOf));
  }
  return records;
}

function recordOf(row: Selectable<Schema['devices']>): DeviceRecord {
  return compact({
    ...row,
    state: row.state as DeviceState,
    tags: JSON.parse(row.tags) as DeviceRecord['tags'],
    groups: JSON.parse(row.groups) as string[],
    reported: row.reported === null ? null : (JSON.parse(row.reported) as Reported),
    settings: row.settings === null ? null : (JSON.parse(row.settings) as StoredSettings),
  });
}

/** Copies a record. All fields are listed, because an object that is made at once needs less than half the memory of one that grows. */
export function compact(device: DeviceRecord): DeviceRecord {
  return {
    name: device.name,
    id: device.id,
    type: device.type,
    state: device.state,
    fingerprint: device.fingerprint,
    expires: device.expires,
    nextFingerprint: device.nextFingerprint,
    nextExpires: device.nextExpires,
    mac: device.mac,
    chipId: device.chipId,
    created: device.created,
    lastSeen: device.lastSeen,
    reported: device.reported,
    settings: device.settings,
    tags: device.tags,
    groups: device.groups,
    revision: device.revision,
  };
}

/** Values of a device that has never connected. */
export const unseen = { lastSeen: null, nextFingerprint: null, nextExpires: null, settings: null };

/** Inserts devices. Call in a transaction. */
export async function insertDevices(
  store: Store,
  devices: readonly (NewDevice & Pick<DeviceRecord, 'tags'>)[],
): Promise<void> {
  for (let i = 0; i < devices.length; i += 100) {
    const rows = devices.slice(i, i + 100).map(({ tags, ...device }) => ({
      ...{ ...device, ...unseen, tags: JSON.stringify(tags) },
      ...{ reported: null, desired: null, secret: null },
    }));
    await store.insertInto('devices').values(rows).execute();
  }
}

/** Increments the revision if a user made the change. */
export function raised({ device, change }: DeviceUpdate): DeviceUpdate {
  const made = Object.keys(change ?? {}).some((key) => !told.has(key));
  return { device, change: change && { ...change, ...(made ? { revision: device.revision + 1 } : {}) } };
}

/**
 * Sorts changes by device. Every transaction that locks rows of several devices locks them in this order, because PostgreSQL would otherwise
 * end one of two such transactions as a deadlock. Changes to one device keep their order.
 */
export function inLockOrder<Change>(
  changes: readonly Change[],
  nameOf: (change: Change) => string,
): Change[] {
  return changes.toSorted((a, b) => (nameOf(a) < nameOf(b) ? -1 : nameOf(a) > nameOf(b) ? 1 : 0));
}

/** Writes changes; null removes the device. Call in a transaction. @throws AIOT_DEVICE_CHANGED */
export async function writeDevices(store: Store, changes: readonly DeviceUpdate[]): Promise<void> {
  for (const { device, change } of inLockOrder(changes, ({ device }) => device.name)) {
    if (change === null) {
      await store.deleteFrom('claims').where('device', '=', device.id).execute();
      await store.deleteFrom('ddiActions').where('device', '=', device.id).execute();
      await store.deleteFrom('ddiDevices').where('device', '=', device.id).execute();
      await store.deleteFrom('devices').where('id', '=', device.id).execute();
      continue;
    }
    const made = change.revision !== undefined;
    const { numUpdatedRows } = await store
      .updateTable('devices')
      .set(columnsOf(change))
      .where('id', '=', device.id)
      .$if(made, (query) => query.where('revision', '=', device.revision))
      .executeTakeFirst();
    if (made && numUpdatedRows === 0n) throw changedMeanwhile(device.name);
  }
}

/** A change in the table's format, in which objects are JSON. */
function columnsOf({ reported, settings, tags, groups, ...columns }: Partial<DeviceRecord>) {
  return {
    ...columns,
    ...(reported === undefined ? {} : { reported: reported && JSON.stringify(reported) }),
    ...(settings === undefined ? {} : { settings: settings && JSON.stringify(settings) }),
    ...(tags === undefined ? {} : { tags: JSON.stringify(tags) }),
    ...(groups === undefined ? {} : { groups: JSON.stringify(groups) }),
  };
}

/**
 * Error for a change to a device that has changed since it was read. Changes are serialized, so this means that the lock was lost together
 * with the database connection.
 */
function changedMeanwhile(name: string): AiotError {
  return new AiotError('AIOT_DEVICE_CHANGED', `${name} was changed by another user at the same time`, {
    retryable: true,
    next: `Look at it with \`aiot device show ${name}\`, then repeat the command if the change is still needed.`,
  });
}

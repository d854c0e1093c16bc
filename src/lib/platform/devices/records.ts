import type { Selectable } from 'kysely';
import { AiotError } from '../../core/errors.js';
import { didYouMean } from '../../core/text.js';
import type { Reported } from '../../device/protocol/messages.js';
import { type DeviceState, mayConnect } from '../../fleet/device.js';
import { chipOfType } from '../../provision/chip-options.js';
import type { Store } from '../store/database.js';
import type { Schema } from '../store/schema.js';

/** Receives a device's report before and after a change; null = no report, or no such device. */
export type OnReported = (name: string, before: Reported | null, after: Reported | null) => void;

/** The database's devices, indexed for lookup. */
export class DeviceMemory {
  private readonly byName = new Map<string, DeviceRecord>();
  private readonly byFingerprint = new Map<string, DeviceRecord>();
  /** All devices in order; reset when a device is added or removed. */
  private sorted: readonly DeviceRecord[] | undefined;
  private readonly listeners: OnReported[] = [];

  find(name: string): DeviceRecord | undefined {
    return this.byName.get(name);
  }

  withCertificate(fingerprint: string): DeviceRecord | undefined {
    return this.byFingerprint.get(fingerprint);
  }

  /** Devices sorted by name, in code unit order. */
  records(): readonly DeviceRecord[] {
    this.sorted ??= [...this.byName.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
    return this.sorted;
  }

  onReported(listener: OnReported): void {
    this.listeners.push(listener);
  }

  /** Changes a cached device. */
  assign(device: DeviceRecord, change: Partial<DeviceRecord>): void {
    const before = device.reported;
    Object.assign(device, change);
    this.tell(device.name, before, device.reported);
  }

  remember(device: DeviceRecord): void {
    const before = this.byName.get(device.name);
    if (before !== device) {
      this.sorted = undefined;
      this.tell(device.name, before?.reported ?? null, device.reported);
    }
    this.byName.set(device.name, device);
    for (const fingerprint of [device.fingerprint, device.nextFingerprint])
      if (fingerprint !== null) this.byFingerprint.set(fingerprint, device);
  }

  forget(device: DeviceRecord): void {
    this.forgetCertificates(device);
    this.byName.delete(device.name);
    this.sorted = undefined;
    this.tell(device.name, device.reported, null);
  }

  forgetCertificates({
    fingerprint,
    nextFingerprint,
  }: Pick<DeviceRecord, 'fingerprint' | 'nextFingerprint'>) {
    for (const old of [fingerprint, nextFingerprint]) if (old !== null) this.byFingerprint.delete(old);
  }

  /** @throws AIOT_ALREADY_EXISTS */
  requireFree({ name, ...board }: Pick<NewDevice, 'name' | 'mac' | 'chipId'>): void {
    const before = this.byName.get(name);
    if (before && before.state !== 'revoked') throw nameTaken(before);
    this.requireFreeBoard(board, name);
  }

  /**
   * Requires that no other device has this board. Call only from a task passed to `Devices.inTurn`.
   * @param name name of the device that may already have the board
   * @throws AIOT_ALREADY_EXISTS
   */
  requireFreeBoard({ mac, chipId }: Pick<DeviceRecord, 'mac' | 'chipId'>, name: string): void {
    if (mac === null && chipId === null) return;
    const others = [...this.byName.values()].filter(
      (device) => device.state !== 'revoked' && device.name !== name,
    );
    const same = mac === null ? undefined : others.find((device) => device.mac === mac);
    if (same) throw boardTaken(`the board ${mac} is already registered as ${same.name}`, same.name);
    const alike = chipId === null ? undefined : others.find((device) => device.chipId === chipId);
    if (alike) throw boardTaken(`the chip id ${chipId} already belongs to ${alike.name}`, alike.name);
  }

  /**
   * Applies the database's state of the named devices. Returns the names whose open connections are no longer valid:
   * devices that may no longer connect, or only with another certificate, and replaced boards.
   */
  follow(names: readonly string[], records: readonly DeviceRecord[]): string[] {
    const found = new Map(records.map((record) => [record.name, record]));
    const ended: string[] = [];
    for (const name of new Set(names)) {
      const before = this.byName.get(name);
      const now = found.get(name);
      if (before && (!now || endsConnections(before, now))) ended.push(name);
      if (before && !now) this.forget(before);
      if (!now) continue;
      const same = before?.id === now.id;
      // Ignores a record that was read before this process's last change became visible.
      if (same && now.revision < before.revision) continue;
      if (before) this.forgetCertificates(before);
      if (same) this.assign(before, now);
      this.remember(same ? before : now);
    }
    return ended;
  }

  private tell(name: string, before: Reported | null, after: Reported | null): void {
    if (before === after) return;
    for (const listener of this.listeners) listener(name, before, after);
  }
}

function endsConnections(before: DeviceRecord, now: DeviceRecord): boolean {
  if (before.id !== now.id || (mayConnect(before.state) && !mayConnect(now.state))) return true;
  return (
    now.revision >= before.revision &&
    before.fingerprint !== null &&
    before.fingerprint !== now.fingerprint &&
    mayConnect(now.state)
  );
}

/**
 * Suggests `rotate` for a computer, which can get a new key. A chip's key is in its image or on its board, so `replace` is suggested
 * instead.
 */
function nameTaken({ name, type }: DeviceRecord): AiotError {
  const renew = chipOfType(type) === null ? 'rotate' : 'replace';
  return new AiotError('AIOT_ALREADY_EXISTS', `the device ${name} is already registered`, {
    subject: 'device',
    next: `Use the identity that was made for it. If that is lost, run \`aiot device ${renew} ${name} --out DIR\`. To start over, run \`aiot device revoke ${name}\`, then repeat the command. For another device, choose another name.`,
  });
}

function boardTaken(message: string, name: string): AiotError {
  return new AiotError('AIOT_ALREADY_EXISTS', message, {
    subject: 'device',
    next: `To renew its certificate, run \`aiot device rotate ${name} --port PORT\`. To rename it, run \`aiot device revoke ${name}\`, then repeat the command.`,
  });
}

/** Error message for an unknown name, with the closest match as a suggestion. */
export function unknownDevice(name: string, known: readonly { name: string }[]): string {
  const names = known.map((device) => device.name);
  return `no device is named ${name}${didYouMean(name, names)}`;
}

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
}

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

/** Reads devices from the database: all, or only those with the given names. */
export async function readDevices(store: Store, names?: readonly string[]): Promise<DeviceRecord[]> {
  const all = store.selectFrom('devices').selectAll();
  if (names === undefined) return (await all.execute()).map(recordOf);
  const records: DeviceRecord[] = [];
  // A statement has a limited number of parameters.
  for (let i = 0; i < names.length; i += 1000) {
    const rows = await all.where('name', 'in', names.slice(i, i + 1000)).execute();
    records.push(...rows.map(recordOf));
  }
  return records;
}

function recordOf(row: Selectable<Schema['devices']>): DeviceRecord {
  const { desired: _, secret: __, reported, settings, tags, groups, state, ...rest } = row;
  return {
    ...rest,
    state: state as DeviceState,
    tags: JSON.parse(tags) as DeviceRecord['tags'],
    groups: JSON.parse(groups) as string[],
    reported: reported === null ? null : (JSON.parse(reported) as Reported),
    settings: settings === null ? null : (JSON.parse(settings) as StoredSettings),
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

import { AiotError } from '../../core/index.js';
import type { Reported } from '../../device/index.js';
import { type DeviceEvent, type DeviceState, deviceStep, mayConnect } from '../../fleet/index.js';
import type { DeviceInfo } from '../../registry/index.js';
import { serially } from '../serially.js';
import type { Store } from '../store/database.js';

export interface DeviceRecord {
  name: string;
  id: string;
  type: string;
  state: DeviceState;
  /** null = registered, and without a certificate yet. */
  fingerprint: string | null;
  expires: number | null;
  /** A certificate that it was given and has not used yet. */
  nextFingerprint: string | null;
  nextExpires: number | null;
  mac: string | null;
  /** The guide's decimal chip id. */
  chipId: string | null;
  created: number;
  lastSeen: number | null;
  reported: Reported | null;
}

/** What is known of a device before it is registered. */
export type NewDevice = Omit<DeviceRecord, 'lastSeen' | 'reported' | 'nextFingerprint' | 'nextExpires'>;

/**
 * The registered devices. Kept in memory beside the database, for every connection and message asks: what is read
 * comes from memory, what is written is on disk before the call resolves.
 */
export class Devices {
  private readonly byName = new Map<string, DeviceRecord>();
  private readonly byFingerprint = new Map<string, DeviceRecord>();
  /** Open connections a device. */
  private readonly connections = new Map<string, number>();
  /** For whatever reads and then changes devices. */
  readonly inTurn = serially();

  private constructor(
    private readonly store: Store,
    private readonly now: () => number,
  ) {}

  static async open(store: Store, now: () => number): Promise<Devices> {
    const devices = new Devices(store, now);
    for (const row of await store.selectFrom('devices').selectAll().execute()) {
      const { desired: _, reported, state, ...rest } = row;
      devices.remember({
        ...rest,
        state: state as DeviceState,
        reported: reported === null ? null : (JSON.parse(reported) as Reported),
      });
    }
    return devices;
  }

  /**
   * To be called in turn. Returns whether a revoked device had the name before: that one is free.
   * @throws AIOT_DEVICE_EXISTS (the name, or the board)
   */
  async insert(device: NewDevice): Promise<{ replaced: boolean }> {
    this.requireFree(device);
    const before = this.byName.get(device.name);
    const row = { ...device, lastSeen: null, nextFingerprint: null, nextExpires: null };
    await this.store.transaction().execute(async (store) => {
      await store
        .deleteFrom('devices')
        .where('name', '=', device.name)
        .where('state', '=', 'revoked')
        .execute();
      await store
        .insertInto('devices')
        .values({ ...row, reported: null, desired: null })
        .execute();
    });
    if (before) this.forgetCertificates(before);
    this.remember({ ...row, reported: null });
    return { replaced: before !== undefined };
  }

  find(name: string): DeviceRecord | null {
    return this.byName.get(name) ?? null;
  }

  /** @throws AIOT_DEVICE_EXISTS */
  requireFree({ name, ...board }: Pick<NewDevice, 'name' | 'mac' | 'chipId'>): void {
    const before = this.byName.get(name);
    if (before && before.state !== 'revoked') {
      throw new AiotError('AIOT_DEVICE_EXISTS', `the device ${name} is registered already`);
    }
    this.requireFreeBoard(board, name);
  }

  /** One board is one device. To be called in turn; `name`: whose it may be already. @throws AIOT_DEVICE_EXISTS */
  requireFreeBoard({ mac, chipId }: Pick<DeviceRecord, 'mac' | 'chipId'>, name: string): void {
    const others = this.records().filter((device) => device.state !== 'revoked' && device.name !== name);
    const same = mac === null ? undefined : others.find((device) => device.mac === mac);
    if (same) throw boardTaken(`the board ${mac} is registered already, as ${same.name}`, same.name);
    const alike = chipId === null ? undefined : others.find((device) => device.chipId === chipId);
    if (alike) throw boardTaken(`the chip id ${chipId} is that of ${alike.name} already`, alike.name);
  }

  /** Whether firmware of the guide that calls itself so is one of ours. */
  knows(chipId: string): boolean {
    return this.records().some(
      (device) => device.chipId === chipId && (device.state === 'registered' || mayConnect(device.state)),
    );
  }

  list(): DeviceInfo[] {
    return [...this.byName.keys()].sort().map((name) => this.info(name));
  }

  records(): DeviceRecord[] {
    return [...this.byName.values()];
  }

  /** @throws AIOT_NOT_FOUND */
  info(name: string): DeviceInfo {
    const { reported, nextFingerprint, nextExpires, ...device } = this.record(name);
    const next =
      nextFingerprint === null || nextExpires === null
        ? null
        : { fingerprint: nextFingerprint, expires: nextExpires };
    return {
      ...device,
      next,
      online: this.online(name),
      model: reported?.model ?? null,
      updateState: reported?.state ?? null,
    };
  }

  online(name: string): boolean {
    return (this.connections.get(name) ?? 0) > 0;
  }

  /** The device with this certificate, if it may connect now. A new one that is used takes the place of the one before. */
  authenticated(fingerprint: string): DeviceRecord | null {
    const device = this.byFingerprint.get(fingerprint);
    if (!device || !mayConnect(device.state)) return null;
    const isNext = fingerprint === device.nextFingerprint;
    const expires = isNext ? device.nextExpires : device.expires;
    if (expires === null || expires <= this.now()) return null;
    // What cannot be written down now is at its next use.
    if (isNext) this.inTurn(() => this.promote(device, fingerprint)).catch(() => {});
    return device;
  }

  private async promote(device: DeviceRecord, fingerprint: string): Promise<void> {
    if (device.nextFingerprint !== fingerprint) return;
    await this.certify(device, { fingerprint, expires: device.nextExpires ?? 0 });
  }

  /** To be called in turn: this certificate, and no other, from now on. `along`: what is on disk with it, or not at all. */
  async certify(
    device: DeviceRecord,
    { fingerprint, expires }: { fingerprint: string; expires: number },
    more: Partial<DeviceRecord> = {},
    along?: (store: Store) => Promise<unknown>,
  ): Promise<void> {
    const state = deviceStep(device.state, 'certified');
    const certificate = { fingerprint, expires, nextFingerprint: null, nextExpires: null };
    const old = { ...device };
    await this.update(device, { ...certificate, ...more, state }, along);
    this.forgetCertificates(old);
    this.remember(device);
  }

  /** To be called in turn: a certificate beside the one in use, which ends when this one is used. */
  async offer(device: DeviceRecord, next: { fingerprint: string; expires: number }): Promise<void> {
    const old = { ...device };
    await this.update(device, { nextFingerprint: next.fingerprint, nextExpires: next.expires });
    this.forgetCertificates(old);
    this.remember(device);
  }

  mayConnect(name: string): boolean {
    const device = this.byName.get(name);
    return device !== undefined && mayConnect(device.state);
  }

  /** @throws AIOT_NOT_FOUND, AIOT_REQUEST_INVALID for what cannot happen in the device's state */
  async act(name: string, event: DeviceEvent): Promise<DeviceInfo> {
    await this.inTurn(async () => {
      const device = this.record(name);
      await this.update(device, { state: deviceStep(device.state, event) });
    });
    return this.info(name);
  }

  async connected(name: string): Promise<void> {
    this.connections.set(name, (this.connections.get(name) ?? 0) + 1);
    await this.seen(name);
  }

  async disconnected(name: string): Promise<void> {
    this.connections.set(name, Math.max(0, (this.connections.get(name) ?? 0) - 1));
    if (this.byName.has(name)) await this.seen(name);
  }

  /** Resolves when the report is on disk. */
  async report(name: string, reported: Reported): Promise<void> {
    const device = this.record(name);
    await this.update(device, { reported, lastSeen: this.now() });
  }

  /** Nothing is reported any more: another board has the name. */
  async unreport(name: string): Promise<void> {
    await this.inTurn(() => this.update(this.record(name), { reported: null, lastSeen: null }));
  }

  /** In turn with `act`: a device that is seen while it is revoked stays revoked. */
  private seen(name: string): Promise<void> {
    return this.inTurn(async () => {
      const device = this.record(name);
      const state = mayConnect(device.state) ? deviceStep(device.state, 'seen') : device.state;
      await this.update(device, { state, lastSeen: this.now() });
    });
  }

  /** To be called in turn. */
  async update(
    device: DeviceRecord,
    change: Partial<DeviceRecord>,
    along?: (store: Store) => Promise<unknown>,
  ): Promise<void> {
    const { reported, ...columns } = change;
    const write = (store: Store) =>
      store
        .updateTable('devices')
        .set({
          ...columns,
          ...(reported === undefined ? {} : { reported: reported && JSON.stringify(reported) }),
        })
        .where('id', '=', device.id)
        .execute();
    if (along) {
      await this.store.transaction().execute(async (transaction) => {
        await write(transaction);
        await along(transaction);
      });
    } else await write(this.store);
    Object.assign(device, change);
  }

  /** @throws AIOT_NOT_FOUND */
  record(name: string): DeviceRecord {
    const device = this.byName.get(name);
    if (device) return device;
    throw new AiotError('AIOT_NOT_FOUND', `no device is named ${name}`, { next: 'aiot device list' });
  }

  private remember(device: DeviceRecord): void {
    this.byName.set(device.name, device);
    for (const fingerprint of [device.fingerprint, device.nextFingerprint])
      if (fingerprint !== null) this.byFingerprint.set(fingerprint, device);
  }

  private forgetCertificates({ fingerprint, nextFingerprint }: DeviceRecord): void {
    for (const old of [fingerprint, nextFingerprint]) if (old !== null) this.byFingerprint.delete(old);
  }
}

function boardTaken(message: string, name: string): AiotError {
  return new AiotError('AIOT_DEVICE_EXISTS', message, {
    next: `A new certificate for it: aiot device rotate ${name} --port PORT. Under another name: aiot device revoke ${name}, then repeat.`,
  });
}

import { AiotError, newId } from '../../core/index.js';
import type { Reported } from '../../device/index.js';
import { type DeviceEvent, type DeviceState, deviceStep, mayConnect } from '../../fleet/index.js';
import type { Authority } from '../../provision/index.js';
import type { DeviceInfo } from '../../registry/index.js';
import { serially } from '../serially.js';
import type { Store } from '../store/database.js';

export interface DeviceRecord {
  name: string;
  id: string;
  type: string;
  state: DeviceState;
  fingerprint: string;
  expires: number;
  created: number;
  lastSeen: number | null;
  reported: Reported | null;
}

export interface Provisioned {
  device: DeviceInfo;
  /** PEM */
  certificate: string;
  /** Whether a revoked device had the name before. */
  replaced: boolean;
}

/**
 * The registered devices. Kept in memory beside the database, for every connection and message asks: what is read
 * comes from memory, what is written is on disk before the call resolves.
 */
export class Devices {
  private readonly byName = new Map<string, DeviceRecord>();
  private readonly byFingerprint = new Map<string, DeviceRecord>();
  /** Open connections a device. */
  private readonly connections = new Map<string, number>();
  private readonly inTurn = serially();

  private constructor(
    private readonly store: Store,
    private readonly authority: Authority,
    private readonly now: () => number,
  ) {}

  static async open(store: Store, authority: Authority, now: () => number): Promise<Devices> {
    const devices = new Devices(store, authority, now);
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

  /** Signs the request and registers the device; the name of a revoked one is free. @throws AIOT_DEVICE_EXISTS, AIOT_CSR_INVALID */
  provision(name: string, type: string, csr: string): Promise<Provisioned> {
    return this.inTurn(() => this.register(name, type, csr));
  }

  private async register(name: string, type: string, csr: string): Promise<Provisioned> {
    const before = this.byName.get(name);
    if (before && before.state !== 'revoked') {
      throw new AiotError('AIOT_DEVICE_EXISTS', `the device ${name} is registered already`);
    }
    const created = this.now();
    const id = newId('dev', created);
    const { certificate, fingerprint, expires } = await this.authority.device({ csr, name, id });
    const state = deviceStep('registered', 'certified');
    const row = { name, id, type, state, fingerprint, expires, created, lastSeen: null };
    await this.store.transaction().execute(async (store) => {
      await store.deleteFrom('devices').where('name', '=', name).where('state', '=', 'revoked').execute();
      await store
        .insertInto('devices')
        .values({ ...row, reported: null, desired: null })
        .execute();
    });
    if (before) this.byFingerprint.delete(before.fingerprint);
    this.remember({ ...row, reported: null });
    return { device: this.info(name), certificate, replaced: before !== undefined };
  }

  list(): DeviceInfo[] {
    return [...this.byName.keys()].sort().map((name) => this.info(name));
  }

  records(): DeviceRecord[] {
    return [...this.byName.values()];
  }

  /** @throws AIOT_NOT_FOUND */
  info(name: string): DeviceInfo {
    const { reported, ...device } = this.record(name);
    return {
      ...device,
      online: this.online(name),
      model: reported?.model ?? null,
      updateState: reported?.state ?? null,
    };
  }

  online(name: string): boolean {
    return (this.connections.get(name) ?? 0) > 0;
  }

  /** The device with this certificate, if it may connect now. */
  authenticated(fingerprint: string): DeviceRecord | null {
    const device = this.byFingerprint.get(fingerprint);
    return device && mayConnect(device.state) && device.expires > this.now() ? device : null;
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

  /** In turn with `act`: a device that is seen while it is revoked stays revoked. */
  private seen(name: string): Promise<void> {
    return this.inTurn(async () => {
      const device = this.record(name);
      const state = mayConnect(device.state) ? deviceStep(device.state, 'seen') : device.state;
      await this.update(device, { state, lastSeen: this.now() });
    });
  }

  private async update(device: DeviceRecord, change: Partial<DeviceRecord>): Promise<void> {
    const { reported, ...columns } = change;
    await this.store
      .updateTable('devices')
      .set({ ...columns, ...(reported === undefined ? {} : { reported: JSON.stringify(reported) }) })
      .where('id', '=', device.id)
      .execute();
    Object.assign(device, change);
  }

  private record(name: string): DeviceRecord {
    const device = this.byName.get(name);
    if (device) return device;
    throw new AiotError('AIOT_NOT_FOUND', `no device is named ${name}`, { next: 'aiot device list' });
  }

  private remember(device: DeviceRecord): void {
    this.byName.set(device.name, device);
    this.byFingerprint.set(device.fingerprint, device);
  }
}

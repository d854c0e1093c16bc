import { newId } from '../../core/index.js';
import { type DeviceState, deviceStep } from '../../fleet/index.js';
import type { Authority } from '../../provision/index.js';
import { chipIdOf, type DeviceInfo } from '../../registry/index.js';
import type { Audit } from './audit.js';
import type { DeviceRecord, Devices, NewDevice } from './devices.js';

/** A device to be registered. */
export interface Newcomer {
  name: string;
  type: string;
  mac?: string | undefined;
  chipId?: string | undefined;
}

export interface Enrolled {
  device: DeviceInfo;
  /** PEM */
  certificate: string;
  /** Whether nothing that was told to an earlier device of this name counts for it. */
  fresh: boolean;
}

interface Parts {
  devices: Devices;
  authority: Authority;
  audit: Audit;
  /** ms since 1970 */
  now: () => number;
}

/** Gives devices their certificates: the first one, the next one, and that of the board that takes another's place. */
export class Enrolment {
  constructor(private readonly parts: Parts) {}

  /** Signs the request and registers the device. @throws AIOT_DEVICE_EXISTS, AIOT_CSR_INVALID */
  provision(newcomer: Newcomer, csr: string, who: string): Promise<Enrolled> {
    const { devices, authority, audit } = this.parts;
    return devices.inTurn(async () => {
      const device = this.plan(newcomer, 'provisioned');
      const { name } = device;
      devices.requireFree(device);
      const { certificate, fingerprint, expires } = await authority.device({ csr, name, id: device.id });
      const { replaced } = await devices.insert({ ...device, fingerprint, expires });
      await audit.note({ who, action: 'device.provision', subject: name, detail: { fingerprint } });
      return { device: devices.info(name), certificate, fresh: replaced };
    });
  }

  /** Keeps a name for a device that has no certificate yet. One that is kept already stays as it is. @throws AIOT_DEVICE_EXISTS */
  register(newcomer: Newcomer, who: string): Promise<DeviceInfo> {
    const { devices, audit } = this.parts;
    return devices.inTurn(async () => {
      const { name, type } = newcomer;
      const there = devices.find(name);
      if (there?.state !== 'registered' || there.type !== type) {
        await devices.insert(this.plan(newcomer, 'registered'));
        await audit.note({ who, action: 'device.register', subject: name });
      } else {
        const { mac, chipId } = this.plan(newcomer, 'registered');
        if (mac !== null) devices.requireFreeBoard(mac, name);
        await devices.update(there, { mac: mac ?? there.mac, chipId: chipId ?? there.chipId });
      }
      return devices.info(name);
    });
  }

  /** The first certificate of a device that was registered. @throws AIOT_CSR_INVALID, AIOT_DEVICE_EXISTS (the board is another device) */
  certify(device: DeviceRecord, csr: string, mac: string | undefined, who: string): Promise<Enrolled> {
    const { devices, authority, audit } = this.parts;
    return devices.inTurn(async () => {
      const { name, id } = device;
      const board = mac === undefined ? {} : { mac, chipId: device.chipId ?? chipIdOf(mac) };
      if (mac !== undefined) devices.requireFreeBoard(mac, name);
      const signed = await authority.device({ csr, name, id });
      await devices.certify(device, signed, board);
      await audit.note({
        who,
        action: 'device.claim',
        subject: name,
        detail: { fingerprint: signed.fingerprint },
      });
      return { device: devices.info(name), certificate: signed.certificate, fresh: false };
    });
  }

  /** A new certificate for the same device. `now`: the one in use ends at once. @throws AIOT_NOT_FOUND, AIOT_REQUEST_INVALID, AIOT_CSR_INVALID */
  rotate(name: string, csr: string, now: boolean, who: string): Promise<Enrolled> {
    const { devices, authority, audit } = this.parts;
    return devices.inTurn(async () => {
      const device = devices.record(name);
      deviceStep(device.state, 'certified');
      const signed = await authority.device({ csr, name, id: device.id });
      // Without one in use there is nothing to wait for.
      if (now || device.fingerprint === null) await devices.certify(device, signed);
      else await devices.offer(device, signed);
      const detail = { fingerprint: signed.fingerprint, before: device.fingerprint, now };
      await audit.note({ who, action: 'device.rotate', subject: name, detail });
      return { device: devices.info(name), certificate: signed.certificate, fresh: false };
    });
  }

  /**
   * Another board under the same name: with an id of its own, and without what the one before reported.
   * @throws AIOT_NOT_FOUND, AIOT_REQUEST_INVALID, AIOT_CSR_INVALID, AIOT_DEVICE_EXISTS (the board is another device)
   */
  replace(name: string, csr: string, mac: string | undefined, who: string): Promise<Enrolled> {
    const { devices, authority, audit, now } = this.parts;
    return devices.inTurn(async () => {
      const device = devices.record(name);
      deviceStep(device.state, 'certified');
      if (mac !== undefined) devices.requireFreeBoard(mac, name);
      const id = newId('dev', now());
      const signed = await authority.device({ csr, name, id });
      const before = device.id;
      await devices.certify(device, signed, {
        id,
        mac: mac ?? null,
        chipId: mac === undefined ? null : chipIdOf(mac),
      });
      const detail = { fingerprint: signed.fingerprint, before, id };
      await audit.note({ who, action: 'device.replace', subject: name, detail });
      return { device: devices.info(name), certificate: signed.certificate, fresh: false };
    });
  }

  private plan({ name, type, mac, chipId }: Newcomer, state: DeviceState): NewDevice {
    const created = this.parts.now();
    return {
      ...{ name, type, state, created, id: newId('dev', created) },
      ...{ fingerprint: null, expires: null, mac: mac ?? null },
      chipId: chipId ?? (mac === undefined ? null : chipIdOf(mac)),
    };
  }
}

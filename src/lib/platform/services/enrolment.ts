import { AiotError, newId } from '../../core/index.js';
import { type DeviceState, deviceStep } from '../../fleet/index.js';
import type { Authority } from '../../provision/index.js';
import { chipIdOf, type DeviceInfo } from '../../registry/index.js';
import type { Store } from '../store/database.js';
import type { DeviceRecord, Devices, NewDevice } from './devices.js';
import type { Events } from './events.js';
import { noteCertificate } from './revocations.js';

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

/** What a device that was registered shows for its first certificate. */
export interface ClaimedRequest {
  csr: string;
  mac: string | undefined;
  along: (store: Store, certificate: string) => Promise<unknown>;
}

interface Asked {
  /** PEM */
  csr: string;
  /** Fingerprint of the certificate that it was given last, as far as is known where this is asked; absent = not compared. */
  latest?: string | null | undefined;
}
export interface Rotation extends Asked {
  /** The certificate in use ends at once. */
  now: boolean;
}
export interface Replacement extends Asked {
  /** Of the board that takes the place. */
  mac?: string | undefined;
}

interface Parts {
  devices: Devices;
  authority: Authority;
  events: Events;
  /** ms since 1970 */
  now: () => number;
}

/** Gives devices their certificates: the first one, the next one, and that of the board that takes another's place. */
export class Enrolment {
  constructor(private readonly parts: Parts) {}

  /** Signs the request and registers the device. @throws AIOT_DEVICE_EXISTS, AIOT_CSR_INVALID */
  provision(newcomer: Newcomer, csr: string, who: string): Promise<Enrolled> {
    const { devices, authority, events } = this.parts;
    return devices.inTurn(async () => {
      const device = this.plan(newcomer, 'provisioned');
      const { name } = device;
      devices.requireFree(device);
      const signed = await authority.device({ csr, name, id: device.id });
      const { certificate, fingerprint, expires } = signed;
      const event = { who, type: 'device.provision' as const, subject: name, data: { fingerprint } };
      const { replaced } = await devices.insert({ ...device, fingerprint, expires }, async (store) => {
        await noteCertificate(store, name, signed);
        await events.record(event, store);
      });
      return { device: devices.info(name), certificate, fresh: replaced };
    });
  }

  /** Keeps a name for a device that has no certificate yet. One that is kept already stays as it is. @throws AIOT_DEVICE_EXISTS */
  register(newcomer: Newcomer, who: string): Promise<Pick<Enrolled, 'device' | 'fresh'>> {
    const { devices, events } = this.parts;
    return devices.inTurn(async () => {
      const { name, type } = newcomer;
      const there = devices.find(name);
      let fresh = false;
      if (there?.state !== 'registered' || there.type !== type) {
        const event = { who, type: 'device.register' as const, subject: name, data: { type } };
        const planned = this.plan(newcomer, 'registered');
        const { replaced } = await devices.insert(planned, (store) => events.record(event, store));
        fresh = replaced;
      } else {
        const { mac, chipId } = this.plan(newcomer, 'registered');
        const board = { mac: mac ?? there.mac, chipId: chipId ?? there.chipId };
        devices.requireFreeBoard(board, name);
        const same = board.mac === there.mac && board.chipId === there.chipId;
        const event = { who, type: 'device.register' as const, subject: name, data: { type, ...board } };
        if (!same) await devices.update(there, board, (store) => events.record(event, store));
      }
      return { device: devices.info(name), fresh };
    });
  }

  /**
   * To be called in turn: the first certificate of a device that was registered. `along`: what is on disk with it, or not
   * at all. @throws AIOT_CSR_INVALID, AIOT_DEVICE_EXISTS (the board is another device)
   */
  async certify(device: DeviceRecord, request: ClaimedRequest, who: string): Promise<Enrolled> {
    const { devices, authority, events } = this.parts;
    const { csr, mac, along } = request;
    const { name, id } = device;
    const chipId = device.chipId ?? (mac === undefined ? null : chipIdOf(mac));
    const board = { mac: mac ?? device.mac, chipId };
    devices.requireFreeBoard(board, name);
    const signed = await authority.device({ csr, name, id });
    const { certificate, fingerprint } = signed;
    await devices.certify(device, signed, board, async (store) => {
      await along(store, certificate);
      await noteCertificate(store, name, signed);
      await events.record({ who, type: 'device.claim', subject: name, data: { fingerprint } }, store);
    });
    return { device: devices.info(name), certificate, fresh: false };
  }

  /** A new certificate for the same device. `now`: the one in use ends at once. @throws AIOT_NOT_FOUND, AIOT_REQUEST_INVALID, AIOT_CSR_INVALID, AIOT_DEVICE_CHANGED */
  rotate(name: string, { csr, now, latest }: Rotation, who: string): Promise<Enrolled> {
    const { devices, authority, events } = this.parts;
    return devices.inTurn(async () => {
      const device = devices.record(name);
      deviceStep(device.state, 'certified');
      requireLatest(device, latest, 'rotated');
      const signed = await authority.device({ csr, name, id: device.id });
      const data = { fingerprint: signed.fingerprint, before: device.fingerprint, now };
      const along = async (store: Store) => {
        await noteCertificate(store, name, signed);
        await events.record({ who, type: 'device.rotate', subject: name, data }, store);
      };
      // Without one in use there is nothing to wait for.
      if (now || device.fingerprint === null) await devices.certify(device, signed, {}, along);
      else await devices.offer(device, signed, along);
      return { device: devices.info(name), certificate: signed.certificate, fresh: false };
    });
  }

  /** What `rotate` gave is where it belongs: the certificate before it ends. @throws AIOT_NOT_FOUND, AIOT_REQUEST_INVALID */
  settle(name: string, fingerprint: string, who: string): Promise<DeviceInfo> {
    const { devices, events } = this.parts;
    return devices.inTurn(async () => {
      const device = devices.record(name);
      if (device.fingerprint !== fingerprint) {
        if (device.nextFingerprint !== fingerprint) {
          const expected = `expected the next certificate of ${name}, ${device.nextFingerprint ?? 'which has none'}`;
          throw new AiotError('AIOT_REQUEST_INVALID', `${expected}; got ${fingerprint}`);
        }
        const data = { fingerprint, before: device.fingerprint };
        const next = { fingerprint, expires: device.nextExpires ?? 0 };
        await devices.certify(device, next, {}, (store) =>
          events.record({ who, type: 'device.settle', subject: name, data }, store),
        );
      }
      return devices.info(name);
    });
  }

  /**
   * Another board under the same name: with an id of its own, and without what the one before reported.
   * @throws AIOT_NOT_FOUND, AIOT_REQUEST_INVALID, AIOT_CSR_INVALID, AIOT_DEVICE_EXISTS (the board is another device), AIOT_DEVICE_CHANGED
   */
  replace(name: string, { csr, mac, latest }: Replacement, who: string): Promise<Enrolled> {
    const { devices, authority, events, now } = this.parts;
    return devices.inTurn(async () => {
      const device = devices.record(name);
      deviceStep(device.state, 'certified');
      requireLatest(device, latest, 'replaced');
      const board = { mac: mac ?? null, chipId: mac === undefined ? null : chipIdOf(mac) };
      devices.requireFreeBoard(board, name);
      const id = newId('dev', now());
      const signed = await authority.device({ csr, name, id });
      const data = { fingerprint: signed.fingerprint, before: device.id, id };
      await devices.certify(device, signed, { id, ...board }, async (store) => {
        await noteCertificate(store, name, signed);
        await events.record({ who, type: 'device.replace', subject: name, data }, store);
      });
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

/** Of two that change a device at once, one does: the other would void what was just given. @throws AIOT_DEVICE_CHANGED */
function requireLatest(device: DeviceRecord, latest: Asked['latest'], what: 'rotated' | 'replaced'): void {
  if (latest === undefined || latest === (device.nextFingerprint ?? device.fingerprint)) return;
  const { name } = device;
  throw new AiotError('AIOT_DEVICE_CHANGED', `${name} was ${what} by somebody else meanwhile`, {
    next: `aiot device show ${name}`,
  });
}

import { AiotError } from '../../core/index.js';
import { type Envelope, verifyBirth } from '../../formats/index.js';
import type { StoredBirth } from '../../registry/index.js';
import type { Store } from '../store/database.js';
import type { Devices } from './devices.js';
import type { Events } from './events.js';
import type { Trust } from './trust.js';

interface Parts {
  store: Store;
  devices: Devices;
  trust: Trust;
  events: Events;
  /** ms since 1970 */
  now: () => number;
}

/** Devices' birth certificates, as their operators signed them. All are kept; the newest of a device counts. */
export class Births {
  constructor(private readonly parts: Parts) {}

  /** @throws AIOT_NOT_FOUND, AIOT_TRUST_MISSING, AIOT_SIGNATURE_INVALID, AIOT_MANIFEST_MALFORMED, AIOT_REQUEST_INVALID (of another device) */
  async put(name: string, envelope: Envelope, who: string): Promise<StoredBirth> {
    const { store, devices, trust, events, now } = this.parts;
    const root = await trust.get();
    if (!root) throw new AiotError('AIOT_TRUST_MISSING', 'the platform has no trust root yet');
    const { birth } = verifyBirth(envelope, root);
    const { id, fingerprint, nextFingerprint } = devices.record(name);
    const own = [fingerprint, nextFingerprint].includes(birth.certificate.fingerprint);
    if (birth.device.name !== name || birth.device.id !== id || !own) {
      const { device, certificate } = birth;
      throw new AiotError(
        'AIOT_REQUEST_INVALID',
        `expected a birth certificate of ${name} (${id}) as it is, got one of ${device.name} (${device.id}) with ${certificate.fingerprint.slice(0, 12)}…`,
      );
    }
    const stored = now();
    await store.transaction().execute(async (transaction) => {
      const row = { device: id, name, stored, envelope: JSON.stringify(envelope) };
      await transaction.insertInto('births').values(row).execute();
      const data = { fingerprint: birth.certificate.fingerprint, mac: birth.mac };
      await events.record({ who, type: 'device.birth', subject: name, data }, transaction);
    });
    return { envelope, stored };
  }

  /** The newest. @throws AIOT_NOT_FOUND, AIOT_BIRTH_MISSING */
  async get(name: string): Promise<StoredBirth> {
    const { id } = this.parts.devices.record(name);
    const row = await this.parts.store
      .selectFrom('births')
      .selectAll()
      .where('device', '=', id)
      .orderBy('id', 'desc')
      .executeTakeFirst();
    if (row) return { envelope: JSON.parse(row.envelope) as Envelope, stored: row.stored };
    throw new AiotError('AIOT_BIRTH_MISSING', `there is no birth certificate of ${name}`);
  }
}

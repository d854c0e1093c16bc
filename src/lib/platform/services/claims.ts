import { randomBytes } from 'node:crypto';
import { AiotError, sha256Hex } from '../../core/index.js';
import { requestKey } from '../../provision/index.js';
import type { Store } from '../store/database.js';
import type { Devices } from './devices.js';
import type { Enrolled, Enrolment, Newcomer } from './enrolment.js';

interface Parts {
  store: Store;
  devices: Devices;
  enrolment: Enrolment;
  /** ms since 1970 */
  now: () => number;
}

/**
 * One-time tokens for a device's first certificate: 256 random bits, of which only the digest is kept. Whoever shows one
 * gets the certificate for a key of theirs; the answer may be lost, so the same key is given the same certificate again.
 */
export class Claims {
  constructor(private readonly parts: Parts) {}

  /** A token for a device of this name, which is registered with it; any that it had before is void. @throws AIOT_DEVICE_EXISTS */
  async make(newcomer: Newcomer, validMs: number, who: string) {
    const { store, enrolment, now } = this.parts;
    const device = await enrolment.register(newcomer, who);
    const token = `claim_${randomBytes(32).toString('base64url')}`;
    const created = now();
    const expires = created + validMs;
    const row = { digest: sha256Hex(token), device: device.id, created, expires };
    await store.transaction().execute(async (transaction) => {
      await transaction.deleteFrom('claims').where('device', '=', device.id).execute();
      await transaction
        .insertInto('claims')
        .values({ ...row, publicKey: null, certificate: null })
        .execute();
    });
    return { device, token, expires };
  }

  /** @throws AIOT_CLAIM_INVALID, AIOT_CSR_INVALID, AIOT_DEVICE_EXISTS (the board is another device) */
  async redeem(token: string, csr: string, mac: string | undefined): Promise<Enrolled> {
    const publicKey = await requestKey(csr);
    const { claim, fresh } = await this.take(token, publicKey);
    const { devices, enrolment, store } = this.parts;
    const device = devices.records().find(({ id }) => id === claim.device);
    if (!device || device.state === 'revoked') throw invalid('its device is no longer registered');
    if (fresh && device.state !== 'registered') throw invalid('its device has a certificate already');
    if (claim.certificate !== null) {
      return { device: devices.info(device.name), certificate: claim.certificate, fresh: false };
    }
    // Also where the platform was stopped between the certificate and the note of it.
    const enrolled = await enrolment.certify(device, csr, mac, `claim ${claim.digest.slice(0, 12)}`);
    const { certificate } = enrolled;
    await store.updateTable('claims').set({ certificate }).where('digest', '=', claim.digest).execute();
    return enrolled;
  }

  /** The claim of this token, taken by this key and from then on by no other. */
  private async take(token: string, publicKey: string) {
    const { store, now } = this.parts;
    const digest = sha256Hex(token);
    const free = store.updateTable('claims').set({ publicKey }).where('digest', '=', digest);
    const { numUpdatedRows } = await free
      .where('publicKey', 'is', null)
      .where('expires', '>', now())
      .executeTakeFirst();
    const claim = await store
      .selectFrom('claims')
      .selectAll()
      .where('digest', '=', digest)
      .executeTakeFirst();
    if (!claim) throw invalid('nobody made it, or a later one was made for its device');
    if (claim.publicKey === publicKey) return { claim, fresh: numUpdatedRows > 0n };
    throw invalid(claim.publicKey === null ? 'it has expired' : 'it was used by another device');
  }
}

function invalid(reason: string): AiotError {
  return new AiotError('AIOT_CLAIM_INVALID', `the token is not good for a certificate: ${reason}`);
}

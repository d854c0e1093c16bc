import { randomBytes } from 'node:crypto';
import { AiotError, sha256Hex } from '../../core/index.js';
import { describeCertificate, requestKey } from '../../provision/index.js';
import type { Store } from '../store/database.js';
import type { Devices } from './devices.js';
import type { Enrolled, Enrolment, Newcomer } from './enrolment.js';
import type { Events } from './events.js';

interface Parts {
  store: Store;
  devices: Devices;
  enrolment: Enrolment;
  events: Events;
  /** ms since 1970 */
  now: () => number;
}

/**
 * One-time tokens for a device's first certificate: 256 random bits, of which only the digest is kept. Whoever shows one
 * gets the certificate for a key of theirs; the answer may be lost, so the same key is given the same certificate again.
 */
export class Claims {
  constructor(private readonly parts: Parts) {}

  /**
   * A token for a device of this name, which is registered with it; any that it had before is void.
   * `fresh` as of `Enrolled`. @throws AIOT_DEVICE_EXISTS
   */
  async make(newcomer: Newcomer, validMs: number, who: string) {
    const { store, enrolment, events, now } = this.parts;
    const { device, fresh } = await enrolment.register(newcomer, who);
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
      const event = { who, type: 'claim.make' as const, subject: device.name, data: { expires } };
      await events.record(event, transaction);
    });
    return { claim: { device, token, expires }, fresh };
  }

  /**
   * A device is registered once, and never again after it had a certificate: whatever gives it one (a claim, `rotate`,
   * `replace`), and `revoke`, makes its open claims void. A claim that is refused is not used up.
   * @throws AIOT_CLAIM_INVALID, AIOT_CSR_INVALID, AIOT_DEVICE_EXISTS (the board is another device)
   */
  async redeem(token: string, csr: string, mac: string | undefined): Promise<Enrolled> {
    const publicKey = await requestKey(csr);
    const { devices, enrolment, now } = this.parts;
    return await devices.inTurn(async () => {
      const claim = await this.find(token);
      const device = devices.records().find(({ id }) => id === claim.device);
      if (!device || device.state === 'revoked') throw invalid('its device is no longer registered');
      if (claim.certificate !== null) {
        if (claim.publicKey !== publicKey) throw invalid('it was used by another device');
        const { fingerprint } = describeCertificate(claim.certificate);
        if (fingerprint !== device.fingerprint)
          throw invalid('its device was given another certificate since');
        return { device: devices.info(device.name), certificate: claim.certificate, fresh: false };
      }
      if (device.state !== 'registered') throw invalid('its device has a certificate already');
      if (claim.expires <= now()) throw invalid('it has expired');
      const { digest } = claim;
      const used = (store: Store, certificate: string) =>
        store.updateTable('claims').set({ publicKey, certificate }).where('digest', '=', digest).execute();
      return await enrolment.certify(device, { csr, mac, along: used }, `claim ${digest.slice(0, 12)}`);
    });
  }

  private async find(token: string) {
    const digest = sha256Hex(token);
    const claims = this.parts.store.selectFrom('claims').selectAll();
    const claim = await claims.where('digest', '=', digest).executeTakeFirst();
    if (claim) return claim;
    throw invalid('nobody made it, or a later one was made for its device');
  }
}

function invalid(reason: string): AiotError {
  return new AiotError('AIOT_CLAIM_INVALID', `the token is not good for a certificate: ${reason}`);
}

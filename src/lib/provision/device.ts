import { describeCertificate } from './authority.js';
import { type EnrolClient, type Enrolment, endOld, enroll, giveUp, requireNames } from './enroll.js';
import { identityFiles, identityOf } from './files/identity.js';
import { openPlace } from './files/place.js';
import type { ProvisionedDevice } from './result.js';

export interface ProvisionOptions {
  client: EnrolClient;
  name: string;
  /** Such as `virtual`: models are released for types. */
  type: string;
  /** Folder of the identity; made when missing. */
  out: string;
}

/**
 * Registers a device and writes its identity into `out`: key (0600, made here, never sent), certificate, CA, trust root
 * and device.json. Where it fails, `out` is as it was and the registration is taken back.
 * @throws AIOT_IDENTITY_EXISTS, AIOT_DEVICE_EXISTS, AIOT_TRUST_MISSING, AIOT_FILE_NOT_WRITABLE
 */
export async function provisionDevice({
  client,
  name,
  type,
  out,
}: ProvisionOptions): Promise<ProvisionedDevice> {
  return await writeIdentity({ client, name, out, how: { kind: 'new', type } });
}

export interface IdentityOptions {
  client: EnrolClient;
  name: string;
  how: Enrolment;
  out: string;
}

/** The same for each way to a certificate; a rotated or replaced identity is written over the one in the folder. */
export async function writeIdentity({ client, name, how, out }: IdentityOptions): Promise<ProvisionedDevice> {
  requireNames({ name, ...(how.kind === 'new' ? { type: how.type } : {}) });
  const place = await openPlace(out, identityFiles, how.kind !== 'new');
  try {
    const { key, reply } = await enroll(client, name, how);
    const files = await place.put(identityOf(key, reply)).catch(async (error: unknown) => {
      await giveUp(client, name, how);
      throw error;
    });
    await endOld(client, name, how, { key, reply });
    return { name, id: reply.device.id, certificate: describeCertificate(reply.certificate), files };
  } finally {
    await place.leave();
  }
}

import { AiotError } from '../core/index.js';
import type { RegistryClient } from '../registry/index.js';
import { describeCertificate } from './authority.js';
import type { Enrolled, Enrolment } from './enroll.js';

export type AskingClient = { devices: Pick<RegistryClient['devices'], 'get'> };

/**
 * That a certificate is still one of its device: before it takes the place of another in a folder or on a board, for
 * somebody else may have rotated or replaced the device since it was given.
 * @throws AIOT_DEVICE_CHANGED
 */
export async function requireOurs(
  client: AskingClient,
  how: Enrolment,
  { reply }: Pick<Enrolled, 'reply'>,
): Promise<void> {
  if (how.kind === 'new') return;
  const { name, id } = reply.device;
  const now = await client.devices.get(name);
  const { fingerprint } = describeCertificate(reply.certificate);
  if (now.fingerprint === fingerprint || now.next?.fingerprint === fingerprint) return;
  const what = now.id === id ? 'rotated' : 'replaced';
  throw new AiotError('AIOT_DEVICE_CHANGED', `${name} was ${what} by somebody else meanwhile`, {
    next: `aiot device show ${name}`,
  });
}

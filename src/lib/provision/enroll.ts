import type { RegistryClient } from '../api/client.js';
import type { Latest } from '../api/contract/devices.js';
import type { ProvisionReply } from '../api/fields.js';
import { generateKeyPair } from '../core/crypto.js';
import { AiotError } from '../core/errors.js';
import { namePattern } from '../core/names.js';
import { describeCertificate } from './authority.js';
import { certificateRequest } from './certificates.js';

/** How a device gets its certificate. */
export type Enrolment =
  /** A new device is registered. */
  | { kind: 'new'; type: string; mac?: string | undefined; chipId?: string | undefined }
  /**
   * The device gets its next certificate. The old one becomes invalid when the new one is first used or, with `now`, as soon as the new
   * one is installed.
   */
  | { kind: 'rotate'; now: boolean; latest?: Latest }
  /** Another board replaces the device's board. */
  | { kind: 'replace'; mac?: string | undefined; latest?: Latest };

/** The registry calls used here. */
export type EnrolClient = {
  devices: Pick<RegistryClient['devices'], 'provision' | 'rotate' | 'settle' | 'replace' | 'act'>;
  trust: Pick<RegistryClient['trust'], 'get'>;
};

export interface Enrolled {
  /** Private key, PKCS#8 PEM. It is created on this machine and never sent. */
  key: string;
  reply: ProvisionReply;
}

/**
 * Creates a key and requests a certificate for it.
 * @throws AIOT_USAGE (no name), AIOT_TRUST_MISSING, AIOT_ALREADY_EXISTS, AIOT_NOT_FOUND, AIOT_DEVICE_CHANGED, and the platform's errors
 */
export async function enroll(client: EnrolClient, name: string, how: Enrolment): Promise<Enrolled> {
  requireNames({ name, ...(how.kind === 'new' ? { type: how.type } : {}) });
  if ((await client.trust.get()) === null) {
    throw new AiotError('AIOT_TRUST_MISSING', 'the platform has no trust root yet');
  }
  const key = generateKeyPair().privatePem;
  const csr = await certificateRequest(key, name);
  return { key, reply: await asked(client, name, how, csr) };
}

function asked(client: EnrolClient, name: string, how: Enrolment, csr: string): Promise<ProvisionReply> {
  const { devices } = client;
  switch (how.kind) {
    case 'new': {
      const { type, mac, chipId } = how;
      return devices.provision(name, type, csr, mac, chipId);
    }
    case 'rotate':
      return devices.rotate(name, csr, false, how.latest);
    case 'replace':
      return devices.replace(name, csr, how.mac, how.latest);
  }
}

/** Invalidates the old certificate of an immediate rotation, once the new one is installed. */
export async function endOld(client: EnrolClient, name: string, how: Enrolment, { reply }: Enrolled) {
  if (how.kind !== 'rotate' || !how.now) return;
  await client.devices.settle(name, describeCertificate(reply.certificate).fingerprint);
}

/** @throws AIOT_USAGE */
export function requireNames(names: Record<string, string>): void {
  for (const [what, value] of Object.entries(names)) {
    if (namePattern.test(value)) continue;
    const rule = 'letters, digits, dot, dash or underscore, at most 64';
    throw new AiotError('AIOT_USAGE', `invalid ${what} of the device: expected ${rule}, got "${value}"`);
  }
}

/**
 * Undoes a failed registration. A rotation or replacement is not undone, because it can be repeated. Never throws, because the original
 * error must be reported.
 */
export async function giveUp(client: EnrolClient, name: string, how: Enrolment): Promise<void> {
  if (how.kind === 'new') await client.devices.act(name, 'revoke').catch(() => {});
}

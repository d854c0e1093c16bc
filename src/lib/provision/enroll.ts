import { generateKeyPair } from '../core/crypto.js';
import { AiotError } from '../core/errors.js';
import { namePattern } from '../core/names.js';
import type { RegistryClient } from '../registry/client.js';
import type { Latest } from '../registry/devices.js';
import type { ProvisionReply } from '../registry/fields.js';
import { describeCertificate } from './authority.js';
import { certificateRequest } from './certificates.js';

/** How a device comes by its certificate. */
export type Enrolment =
  /** It is registered. */
  | { kind: 'new'; type: string; mac?: string | undefined; chipId?: string | undefined }
  /** It gets its next one; the one before ends at its first use, or with `now` as soon as the next one is where it belongs. */
  | { kind: 'rotate'; now: boolean; latest?: Latest }
  /** Another board takes its place. */
  | { kind: 'replace'; mac?: string | undefined; latest?: Latest };

/** The calls of the registry's client that this needs. */
export type EnrolClient = {
  devices: Pick<RegistryClient['devices'], 'provision' | 'rotate' | 'settle' | 'replace' | 'act'>;
  trust: Pick<RegistryClient['trust'], 'get'>;
};

export interface Enrolled {
  /** Private key, PKCS#8 PEM: made here, never sent. */
  key: string;
  reply: ProvisionReply;
}

/**
 * Makes a key and gets a certificate for it.
 * @throws AIOT_USAGE (no name), AIOT_TRUST_MISSING, AIOT_DEVICE_EXISTS, AIOT_NOT_FOUND, AIOT_DEVICE_CHANGED, and what the platform says
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
      return devices.provision(name, type, csr, {
        ...(mac === undefined ? {} : { mac }),
        ...(chipId === undefined ? {} : { chipId }),
      });
    }
    case 'rotate':
      return devices.rotate(name, csr, false, how.latest);
    case 'replace':
      return devices.replace(name, csr, how.mac, how.latest);
  }
}

/** Of a rotation at once: ends the certificate before, after the new one was written to where it belongs. */
export async function endOld(client: EnrolClient, name: string, how: Enrolment, { reply }: Enrolled) {
  if (how.kind !== 'rotate' || !how.now) return;
  await client.devices.settle(name, describeCertificate(reply.certificate).fingerprint);
}

/** @throws AIOT_USAGE */
export function requireNames(names: Record<string, string>): void {
  for (const [what, value] of Object.entries(names)) {
    if (namePattern.test(value)) continue;
    const rule = 'letters, digits, dot, dash or underscore, at most 64';
    throw new AiotError('AIOT_USAGE', `expected the device's ${what} to be ${rule}, got "${value}"`);
  }
}

/**
 * Takes back a registration that came to nothing. One that was rotated or replaced stays: it is repeated.
 * Never fails: the reason for it is what is told.
 */
export async function giveUp(client: EnrolClient, name: string, how: Enrolment): Promise<void> {
  if (how.kind === 'new') await client.devices.act(name, 'revoke').catch(() => {});
}

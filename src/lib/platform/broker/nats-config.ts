import { join } from 'node:path';
import { unless } from '../../core/errors.js';
import { readText, writeFileAtomic } from '../../core/files.js';
import { curveNkey, nkeySeed, type SigningNkey, signingNkey } from '../../formats/nkey.js';
import type { Authority } from '../../provision/authority.js';

/** The keys with which the platform answers NATS servers. They are derived from the CA's key, so that all replicas have the same keys. */
export interface CalloutKeys {
  /** Signs the responses. */
  issuer: SigningNkey;
  /** The key that decrypts the requests: its public part, and its seed. */
  curve: { publicKey: string; seed: string };
}

export function calloutKeys(authority: Pick<Authority, 'derive'>): CalloutKeys {
  const curve = authority.derive('nats callout xkey');
  return {
    issuer: signingNkey('account', authority.derive('nats callout issuer')),
    curve: { publicKey: curveNkey(curve), seed: nkeySeed('curve', curve) },
  };
}

/** Name of the account that holds the devices, unless the address of `--broker-control` names another. */
export const usualAccount = 'AIOT';

export const natsAuthFile = 'nats-auth.conf';

/**
 * Writes the part of a NATS server's configuration that lets it ask the platform about its clients. It contains no
 * secrets: the server reads the passwords from its environment. The file is left alone if it is current.
 * @throws AIOT_FILE_NOT_WRITABLE
 */
export async function writeNatsAuth(folder: string, keys: CalloutKeys): Promise<void> {
  const file = join(folder, natsAuthFile);
  const text = natsAuthText(keys);
  if ((await unless('AIOT_FILE_NOT_FOUND', readText(file))) === text) return;
  await writeFileAtomic(file, text, 0o644);
}

function natsAuthText({ issuer, curve }: CalloutKeys): string {
  return `# Written by aiot: lets a NATS server (2.15 or newer) ask the platform who may connect.
# Include this file in the configuration of each server, and set both passwords in the server's environment.
# For the other steps, run: aiot docs external-broker
system_account: SYS
accounts {
  SYS { users: [ { user: system, password: $AIOT_NATS_SYSTEM_PASSWORD } ] }
  ${usualAccount} { jetstream: enabled, users: [ { user: platform, password: $AIOT_NATS_PASSWORD } ] }
}
authorization {
  # Verifying a device's secret can take a moment while many devices connect.
  timeout: 10
  auth_callout {
    issuer: ${issuer.publicKey}
    xkey: ${curve.publicKey}
    account: SYS
    auth_users: [ platform, system ]
  }
}
`;
}

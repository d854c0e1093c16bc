import type { DeviceSecret } from '../../registry/index.js';

export function deviceSecretText({ device, secret, removed }: DeviceSecret): string {
  if (secret !== null) {
    return `Secret of ${device}, shown this once; over TLS, with ${device} as the user name:\n${secret}`;
  }
  return removed ? `${device} has no secret any more.` : `${device} had no secret.`;
}

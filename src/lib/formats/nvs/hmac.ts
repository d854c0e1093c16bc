import { createHmac } from 'node:crypto';
import { AiotError } from '../../core/errors.js';

/** Size of the HMAC key from which a chip can derive the keys of its NVS, bytes. */
const nvsHmacKeyBytes = 32;

/**
 * The keys that a chip derives from an HMAC key in its fuses: HMAC-SHA-256 of a constant for each of the two. Source: ESP-IDF, "NVS
 * Encryption: HMAC Peripheral-Based Scheme", and nvs_sec_provider.c.
 * @returns 64 bytes @throws AIOT_FILE_MALFORMED
 */
export function nvsKeysOfHmac(key: Uint8Array): Uint8Array {
  if (key.length !== nvsHmacKeyBytes)
    throw new AiotError(
      'AIOT_FILE_MALFORMED',
      `expected an HMAC key of ${nvsHmacKeyBytes} bytes, got ${key.length}`,
      { subject: 'nvs', next: 'Create one: `openssl rand -out nvs.key 32`' },
    );
  const derived = [0xaebe5a5a, 0xcedea5a5].map((word) => {
    const seed = Buffer.alloc(nvsHmacKeyBytes);
    for (let at = 0; at < seed.length; at += 4) seed.writeUInt32LE(word, at);
    return createHmac('sha256', key).update(seed).digest();
  });
  return Buffer.concat(derived);
}

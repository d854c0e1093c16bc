import { createCipheriv, createDecipheriv, createHash } from 'node:crypto';
import { AiotError } from '../core/errors.js';
import { hex } from '../core/figures.js';

/** Flash is encrypted in units of this many bytes. Each unit's tweak is its address. */
const unitBytes = 0x80;

const blockBytes = 16;

/**
 * Encrypts or decrypts flash as all chips since the ESP32-S2 do: AES-XTS with units of 128 bytes, each in reverse byte order. Incomplete
 * units are padded with zeros, as in the hardware. Source: ESP32-S3 Technical Reference Manual, "External Memory Encryption and
 * Decryption".
 * @param secret contents of the key blocks: 32 bytes (XTS-AES-128), 64 bytes (XTS-AES-256), or 16 bytes on an ESP32-C2, whose hardware uses
 * the SHA-256 of these bytes
 * @param address the first byte's address in flash, a multiple of 16
 * @throws AIOT_USAGE for an unsuitable key, address or length
 */
export function cryptFlash(
  data: Uint8Array,
  { secret, address, decrypt }: { secret: Uint8Array; address: number; decrypt: boolean },
): Uint8Array {
  const key = secret.length === 16 ? createHash('sha256').update(secret).digest() : secret;
  const algorithm = key.length === 32 ? 'aes-128-xts' : key.length === 64 ? 'aes-256-xts' : null;
  if (algorithm === null)
    throw new AiotError('AIOT_USAGE', `a key for flash encryption has 16, 32 or 64 bytes, got ${key.length}`);
  if (address % blockBytes !== 0)
    throw new AiotError('AIOT_USAGE', `the address must be a multiple of 16, got ${hex(address)}`);
  if (data.length === 0 || data.length % blockBytes !== 0) {
    throw new AiotError('AIOT_USAGE', `the data must have a multiple of 16 bytes, got ${data.length}`);
  }
  const before = address % unitBytes;
  const whole = Buffer.alloc(Math.ceil((before + data.length) / unitBytes) * unitBytes);
  whole.set(data, before);
  const make = decrypt ? createDecipheriv : createCipheriv;
  const usable = xtsKey(key);
  for (let at = 0; at < whole.length; at += unitBytes) {
    const tweak = Buffer.alloc(blockBytes);
    tweak.writeUInt32LE(address - before + at);
    const unit = whole.subarray(at, at + unitBytes);
    const cipher = make(algorithm, usable, tweak);
    Buffer.concat([cipher.update(unit.reverse()), cipher.final()])
      .reverse()
      .copy(unit);
  }
  return whole.subarray(before, before + data.length);
}

/** OpenSSL rejects a key whose halves are identical, because XTS would not be secure with such a key. @throws AIOT_USAGE */
function xtsKey(key: Uint8Array): Uint8Array {
  const half = key.length / 2;
  if (Buffer.compare(key.subarray(0, half), key.subarray(half)) !== 0) return key;
  throw new AiotError('AIOT_USAGE', 'both halves of the key are equal, which makes XTS insecure', {
    next: 'Use random bytes: `openssl rand -out key.bin 64`.',
  });
}

import { createCipheriv, createDecipheriv } from 'node:crypto';
import { AiotError } from '../../core/errors.js';
import { hex } from '../../core/figures.js';
import { pagesOf, readNvs } from './read.js';
import {
  entryStates,
  nvsCrc,
  nvsEntries,
  nvsEntryBytes,
  nvsFirstEntry,
  nvsPageBytes,
  nvsPageStates,
} from './types.js';

/** Size of the two AES-256 keys, for data and for the tweak, bytes. */
export const nvsKeyBytes = 64;

/** Size of the nvs_keys partition, bytes. It contains the keys and their CRC, padded with 0xff. */
export const nvsKeysPartitionBytes = 4096;

/**
 * Encrypts every used entry separately with XTS-AES-256; headers and state maps stay readable. The tweak is the entry's
 * offset in the partition, little-endian. Source: ESP-IDF, "NVS Encryption", and nvs_encrypted_partition.cpp.
 * @param keys 64 bytes
 */
export function encryptNvs(bytes: Uint8Array, keys: Uint8Array): Uint8Array {
  return everyEntry(bytes, (entry, tweak) => {
    const cipher = createCipheriv('aes-256-xts', requireKeys(keys), tweak);
    return Buffer.concat([cipher.update(entry), cipher.final()]);
  });
}

/** Reverses `encryptNvs`. With wrong keys, the entries' CRCs do not match. */
export function decryptNvs(bytes: Uint8Array, keys: Uint8Array): Uint8Array {
  return everyEntry(bytes, (entry, tweak) => {
    const cipher = createDecipheriv('aes-256-xts', requireKeys(keys), tweak);
    return Buffer.concat([cipher.update(entry), cipher.final()]);
  });
}

/** Creates the flash partition that contains the keys. */
export function writeNvsKeys(keys: Uint8Array): Uint8Array {
  const bytes = Buffer.alloc(nvsKeysPartitionBytes, 0xff);
  bytes.set(requireKeys(keys));
  bytes.writeUInt32LE(nvsCrc(keys), nvsKeyBytes);
  return bytes;
}

/** Reads the 64 bytes of keys in an nvs_keys partition. @throws AIOT_FILE_MALFORMED */
export function readNvsKeys(bytes: Uint8Array): Uint8Array {
  const data = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  if (data.length < nvsKeyBytes + 4) {
    throw malformed(data.length, `expected ${hex(nvsKeysPartitionBytes)} bytes, but the file ends here`);
  }
  const keys = data.subarray(0, nvsKeyBytes);
  if (data.readUInt32LE(nvsKeyBytes) !== nvsCrc(keys))
    throw malformed(nvsKeyBytes, 'the CRC of the keys is wrong');
  const odd = data.subarray(nvsKeyBytes + 4).findIndex((byte) => byte !== 0xff);
  if (odd >= 0) throw malformed(nvsKeyBytes + 4 + odd, 'expected 0xff after the keys');
  return requireKeys(keys);
}

function everyEntry(bytes: Uint8Array, change: (entry: Uint8Array, tweak: Buffer) => Uint8Array): Uint8Array {
  const changed = Buffer.from(bytes);
  for (const [p, page] of pagesOf(bytes).entries()) {
    if (page.readUInt32LE(0) === nvsPageStates.empty) continue;
    for (let i = 0; i < nvsEntries; i++) {
      if (((page[32 + (i >> 2)]! >> ((i & 3) * 2)) & 3) !== entryStates.written) continue;
      const at = p * nvsPageBytes + nvsFirstEntry + i * nvsEntryBytes;
      const tweak = Buffer.alloc(16);
      tweak.writeUInt32LE(at);
      changed.set(change(changed.subarray(at, at + nvsEntryBytes), tweak), at);
    }
  }
  return changed;
}

/** Identical keys make XTS insecure, and OpenSSL rejects them. */
function requireKeys(keys: Uint8Array): Uint8Array {
  const same = Buffer.compare(keys.subarray(0, 32), keys.subarray(32)) === 0;
  if (keys.length === nvsKeyBytes && !same) return keys;
  throw malformed(
    0,
    same ? 'expected two different keys' : `expected ${nvsKeyBytes} bytes of keys, got ${keys.length}`,
  );
}

function malformed(at: number, what: string): AiotError {
  return new AiotError('AIOT_FILE_MALFORMED', `nvs_keys, offset ${hex(at)}: ${what}`, {
    subject: 'nvs',
    next: 'Use the nvs_keys partition that belongs to this image.',
  });
}

/**
 * The keys that encrypt an NVS; null if the NVS is not encrypted. Keys from an earlier, encrypted NVS may remain, so an NVS that is
 * readable without keys counts as not encrypted.
 * @param keys the nvs_keys partition, or its first page; null = no such partition
 * @throws AIOT_FILE_MALFORMED if the keys are damaged and the NVS is unreadable without keys
 */
export function nvsKeysInUse(nvs: Uint8Array, keys: Uint8Array | null): Uint8Array | null {
  if (keys === null || keys.every((byte) => byte === 0xff)) return null;
  return readNvs(nvs, { salvage: true }).entries.length > 0 ? null : readNvsKeys(keys);
}

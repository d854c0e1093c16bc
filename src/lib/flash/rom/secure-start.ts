import { AiotError } from '../../core/errors.js';
import { securityFuses } from '../../formats/efuse.js';
import { signedImage } from '../../formats/esp-image/secure-boot.js';
import { cryptFlash } from '../../formats/flash-encryption.js';
import { encryptedRanges } from '../lock/contents.js';
import { NorFlash } from './flash-memory.js';
import type { FuseArray } from './fuse-array.js';
import type { ChipIdentity } from './identity.js';

/**
 * The flash as the processor sees it. With flash encryption, the hardware decrypts bootloader, partition table and encrypted partitions
 * with the key in the fuses.
 */
export function bootFlash(flash: NorFlash, fuses: FuseArray | null, identity: ChipIdentity): NorFlash {
  if (!fuses?.burned) return flash;
  const { encryption, keys } = securityFuses(identity.name, fuses.words);
  const found = keys.find(({ purpose }) => purpose === 'xts-aes-128');
  if (!encryption.enabled) return flash;
  // Without a key, the hardware decrypts with zeros, and the result is unusable.
  const secret = found === undefined ? new Uint8Array(32).fill(1, 16) : fuses.key(found.block).reverse();
  const plain = (offset: number, length: number) =>
    cryptFlash(flash.bytes.subarray(offset, offset + length), { secret, address: offset, decrypt: true });
  const seen = new NorFlash(flash.size, flash.bytes);
  for (const { offset, length } of encryptedRanges(identity.bootloaderOffset, flash.size, plain))
    seen.bytes.set(plain(offset, length), offset);
  return seen;
}

/** The check of images by secure boot: a valid signature by a key whose digest is in the fuses, and that is not revoked. */
export function imageCheck(fuses: FuseArray | null): (bytes: Uint8Array) => boolean {
  if (!fuses?.burned) return () => true;
  const { secureBoot, keys, revoked } = securityFuses(fuses.chip, fuses.words);
  if (secureBoot !== 2) return () => true;
  const trusted = keys.flatMap(({ block, purpose }) => {
    const index = /^secure-boot-(\d)$/.exec(purpose)?.[1];
    if (index === undefined || revoked[Number(index)]) return [];
    return [Buffer.from(fuses.key(block)).toString('hex')];
  });
  return (bytes) => {
    try {
      const { signatures } = signedImage(bytes, 'image');
      return signatures.some(({ valid, keyDigest }) => valid && trusted.includes(keyDigest));
    } catch (error) {
      if (error instanceof AiotError) return false;
      throw error;
    }
  };
}

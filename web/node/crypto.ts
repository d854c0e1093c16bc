import { Buffer } from 'buffer';
import { md5 } from '../board/md5.js';

// In place of node:crypto in browsers, with the functions that a device's NVS and partition table need.

/** The MD5 of a partition table; browsers need no other hash. */
export function createHash(algorithm: string) {
  if (algorithm !== 'md5') throw new Error(`${algorithm} is not available in browsers`);
  const parts: Uint8Array[] = [];
  const hash = {
    update(bytes: Uint8Array) {
      parts.push(bytes);
      return hash;
    },
    digest(encoding?: 'hex') {
      const hex = md5(Buffer.concat(parts));
      return encoding === 'hex' ? hex : Buffer.from(hex, 'hex');
    },
  };
  return hash;
}

export function randomBytes(count: number): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(count));
}

const unavailable = (): never => {
  throw new Error('NVS cannot be encrypted in browsers');
};
export const createCipheriv = unavailable;
export const createDecipheriv = unavailable;

/** Pages sign and verify nothing, but import modules that also can. */
const unsigned = (): never => {
  throw new Error('signatures are not available in browsers');
};
export const createPrivateKey = unsigned;
export const createPublicKey = unsigned;
export const generateKeyPairSync = unsigned;
export const sign = unsigned;
export const verify = unsigned;

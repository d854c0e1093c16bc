import type { ChipSecurity } from './efuse.js';
import type { ChipIdentity } from './identity.js';
import { putWord } from './protocol.js';

const apiVersion = 3;

/**
 * The answer to GET_SECURITY_INFO: flags, the encryption counter, seven key purposes, chip id, API version; 20 bytes.
 * Source: esptool's protocol documentation, "Get Security Info"; the last purpose is what an unburnt C3 has.
 */
export function securityInfo(identity: ChipIdentity, security: ChipSecurity): Uint8Array {
  const info = new Uint8Array(20);
  putWord(info, 0, (security.secureBoot ? 1 : 0) | (security.secureDownload ? 4 : 0));
  info[4] = security.flashEncryption ? 1 : 0;
  info[11] = 0x0c;
  putWord(info, 12, identity.securityId ?? 0);
  putWord(info, 16, apiVersion);
  return info;
}

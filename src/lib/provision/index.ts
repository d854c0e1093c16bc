/**
 * Identities: the platform's certificate authority, devices' keys and certificates, and the operator's signing key.
 * Private keys are made where they stay; only requests and certificates travel.
 */
export { type Authority, openAuthority } from './authority.js';
export { requestKey } from './certificates.js';
export {
  type Identity,
  identitySchema,
  provisionDevice,
  provisionedDeviceSchema,
} from './device.js';
export { ensureOperatorKey, operatorKey } from './operator-key.js';
export { certificateRequest } from './request.js';

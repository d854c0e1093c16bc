/**
 * Identities: the platform's certificate authority, devices' keys, certificates and images, claims, birth certificates, and the
 * operator's signing key. Private keys never leave the machine on which they are created; only requests and certificates are sent.
 */
export { type Authority, describeCertificate, type IssuedCertificate, openAuthority } from './authority.js';
export { createBatch, createdBatchSchema, enrollDevice } from './batch.js';
export {
  batchImageFile,
  batchImageSchema,
  type ProvisionedBatch,
  provisionBatch,
  provisionedBatchSchema,
} from './batch-image.js';
export { type Found, type VerifiedDevice, verifiedDeviceSchema, verifyDevice } from './birth.js';
export { certificateRequest, requestKey } from './certificates.js';
export { imageNames, type OldNvs, partsOf as imageParts } from './chip-image.js';
export {
  type ChipOptions,
  type CommonImage,
  checkWifi,
  chipOfType,
  deviceType,
  type ImageRequest,
  imageRequest,
  similarType,
  type Wifi,
  type WifiLogin,
  wifiLoginMethods,
} from './chip-options.js';
export { activateDevice, activatedSchema, madeClaimSchema, makeClaim } from './claim.js';
export { type DeviceImage, defaultTable, imageTable } from './device-image.js';
export type { Enrolment } from './enroll.js';
export { type HeldIdentity, nameInImage, readIdentity } from './held-identity.js';
export { identityFiles, identitySchema } from './identity-folder.js';
export { labelDevices, labelOf, requireLabelFile, writeLabels } from './labels.js';
export { ensureOperatorKey, operatorKey } from './operator-key.js';
export {
  type MakeOptions,
  makeDevice,
  type ProvisionedDevice,
  provisionDevice,
  provisionedDeviceSchema,
} from './provision.js';
export { type FleetResult, fleetResultSchema, provisionFleet } from './provision-fleet.js';
export {
  findKey,
  initTrust,
  rotateTrust,
  type TrustChange,
  type TrustStatus,
  trustChangeSchema,
  trustStatus,
  trustStatusSchema,
} from './trust.js';

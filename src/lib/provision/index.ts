/**
 * Identities: the platform's certificate authority, devices' keys, certificates and images, claims, birth certificates, and
 * the operator's signing key. Private keys are made where they stay; only requests and certificates travel.
 */
export {
  type Authority,
  describeCertificate,
  type IssuedCertificate,
  openAuthority,
} from './authority.js';
export {
  type Check,
  checkSchema,
  type Found,
  type VerifiedDevice,
  verifiedDeviceSchema,
  verifyDevice,
} from './birth/verify.js';
export { requestKey } from './certificates.js';
export { imageNames, partsOf as imageParts } from './chip/image.js';
export type { OldNvs } from './chip/keep.js';
export {
  type ChipOptions,
  checkWifi,
  chipOfType,
  usualFlashBytes,
  type Wifi,
} from './chip/options.js';
export { type HeldIdentity, nameInImage } from './chip/read-image.js';
export {
  type CommonImage,
  type ImageRequest,
  imageRequest,
} from './chip/request.js';
export { deviceType } from './chip/type-name.js';
export { activateDevice, activatedSchema } from './claim/activate.js';
export { claimFileSchema, type MadeClaim, madeClaimSchema, makeClaim } from './claim/claim-file.js';
export { provisionDevice } from './device.js';
export type { Enrolment } from './enroll.js';
export { type Identity, identityFiles, identitySchema } from './files/identity.js';
export { readIdentity } from './files/read-identity.js';
export {
  type FleetDevice,
  type FleetOptions,
  type FleetResult,
  fleetResultSchema,
  provisionFleet,
} from './fleet/provision-fleet.js';
export { defaultTable } from './image/default-table.js';
export { imageTable } from './image/image.js';
export type { DeviceImage, ImagePart } from './image/types.js';
export { labelDevices, labelOf, requireLabelFile, writeLabels } from './labels/write.js';
export { ensureOperatorKey, operatorKey } from './operator-key.js';
export { type MakeOptions, makeDevice } from './provision.js';
export { certificateRequest } from './request.js';
export { type ProvisionedDevice, provisionedDeviceSchema } from './result.js';
export {
  findKey,
  initTrust,
  rotateTrust,
  type TrustChange,
  trustChangeSchema,
} from './trust/change.js';
export { type TrustStatus, trustStatus, trustStatusSchema } from './trust/status.js';

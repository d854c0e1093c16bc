/** The client's side of the platform's API: its bodies, the client that speaks it, and what is done with it in turn. */
export * from './access.js';
export * from './api.js';
export {
  type ChangeDevices,
  changeDevices,
  changeExit,
  type DevicesChanged,
  devicesChangedSchema,
} from './change-devices.js';
export { createClient, type RegistryClient } from './client.js';
export { type Condition, conditionSchema, warningTopics } from './condition.js';
export { pushConfig, pushedConfigSchema, resolveConfig } from './config/push.js';
export * from './config-api.js';
export {
  adviceFor,
  clientFor,
  contextFor,
  type DataStores,
  tryToken,
  withClient,
  withGuide,
  withStores,
} from './context.js';
export * from './damage.js';
export * from './datasets/bodies.js';
export { parseRecordingPlace, parseRecordings, type RecordingPlace } from './datasets/place.js';
export { changeRetention } from './datasets/retention.js';
export {
  type Exported,
  exportDataset,
  exportedSchema,
  giveLabels,
  givenLabelsSchema,
  readLabels,
} from './datasets/save.js';
export * from './device-api.js';
export type { Latest } from './devices.js';
export * from './events/index.js';
export {
  checkChipId,
  checkMac,
  chipIdOf,
  type DeviceInfo,
  deviceSchema,
  deviceStates,
  isChipId,
  macSchema,
  type ProvisionReply,
  provisionReplySchema,
  provisionRequestSchema,
} from './fields.js';
export {
  type FetchedFirmware,
  type FirmwareClient,
  fetchFirmware,
  pulledFirmwareSchema,
  pullFirmware,
  resolveFirmware,
} from './firmware/fetch.js';
export { readFirmware } from './firmware/image.js';
export { pushedFirmwareSchema, pushFirmware } from './firmware/push.js';
export * from './firmware-api.js';
export * from './fleet-api.js';
export * from './guide/index.js';
export * from './jobs/index.js';
export * from './oci/index.js';
export { everyPage, numberOf, type PageQuery, pageOfRows, pageQuerySchema, pageSchema } from './page.js';
export { type Problem, problemOf, problemSchema, problemType } from './problem.js';
export { type ModelId, parseModelReference, parseVersion, promoteModel, resolveModel } from './reference.js';
export { type RelayStatus, relayStatusSchema } from './relay-api.js';
export * from './rollouts/index.js';
export * from './runs-api.js';
export { type DeviceSecret, deviceSecretSchema } from './secrets.js';
export * from './session-api.js';
export { showModel, shownModelSchema } from './show.js';
export {
  addSignature,
  isSignedEnough,
  pushAttempts,
  type SignatureResult,
  signatureResultSchema,
  signedRelease,
  type TrustReader,
  waitForTurn,
} from './signatures.js';
export * from './simulated-api.js';
export { type StoredData, storedState } from './stored.js';
export * from './talk-api.js';
export { type Agree, type ToSign, toSign } from './to-sign.js';
export { type PublicKey, publicKeySchema, type TrustChain, trustChainSchema } from './trust.js';
export { requireTrusted } from './trusted.js';
export { manifestAsked, signedBy } from './vouched.js';
export * from './webhooks/index.js';

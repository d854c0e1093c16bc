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
export {
  type EventFilter,
  type EventPage,
  type EventQuery,
  eventPageSchema,
  eventQuerySchema,
  eventSchema,
  eventTypeSchema,
  type PlatformEvent,
} from './events/api.js';
export { type EventsQuery, eventCalls, type FollowOptions } from './events/calls.js';
export { type TailOptions, tailEvents } from './events/tail.js';
export { type EventKind, type EventType, eventTypes } from './events/types.js';
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
export { createGuideClient, type GuideClient } from './guide/client.js';
export type { GuideListing } from './guide/listing.js';
export { type GuideProvisioned, guideProvisionedSchema, provisionAtGuide } from './guide/provision.js';
export {
  externalRequestSchema,
  hasJobEnded,
  type Job,
  type JobEnd,
  type JobProgress,
  type JobQuery,
  type JobState,
  jobEndSchema,
  jobProgressSchema,
  jobQuerySchema,
  jobSchema,
  jobStates,
  jobsSchema,
  type NewJob,
  newJobSchema,
} from './jobs/api.js';
export { jobCalls, type WaitOptions } from './jobs/calls.js';
export { type StartJobOptions, startJob } from './jobs/start.js';
export { OciRepository } from './oci/client.js';
export {
  type Artifact,
  artifactSchema,
  artifactText,
  type Descriptor,
  emptyContent,
  largestBlob,
  manifestType,
} from './oci/manifest.js';
export { isOciReference, type OciReference, ociText, parseOciReference } from './oci/reference.js';
export { everyPage, numberOf, type PageQuery, pageOfRows, pageQuerySchema, pageSchema } from './page.js';
export { type Problem, problemOf, problemSchema, problemType } from './problem.js';
export { type ModelId, parseModelReference, parseVersion, promoteModel, resolveModel } from './reference.js';
export { type RelayStatus, relayStatusSchema } from './relay-api.js';
export { type Amount, amountSchema, shareOf } from './rollouts/amount.js';
export { commandStates } from './rollouts/command-states.js';
export {
  type Deployed,
  deploy,
  deployedSchema,
  type FollowRolloutOptions,
  followRollout,
  rolloutExit,
} from './rollouts/deploy.js';
export { writeRolloutPage } from './rollouts/page/write-page.js';
export { type ReleaseOptions, releaseOf, wayBack } from './rollouts/release.js';
export { type RolloutReport, rolloutReport, rolloutReportSchema } from './rollouts/report.js';
export {
  noRolloutSchema,
  readPlan,
  rolloutRequest,
  startedIfAny,
  type WhatToRollOut,
} from './rollouts/request.js';
export {
  type DeltaReport,
  type DeviceProof,
  type DeviceTimes,
  days,
  deltaReportSchema,
  deviceProofSchema,
  deviceProofStates,
  deviceTimesSchema,
  type MaintenanceWindow,
  type Release,
  type Rollout,
  type RolloutCommand,
  type RolloutDeviceInfo,
  type RolloutDeviceState,
  type RolloutKind,
  type RolloutNews,
  type RolloutPhase,
  type RolloutPlan,
  type RolloutPolicy,
  type RolloutPolicyInput,
  type RolloutReason,
  type RolloutRequest,
  type RolloutStatus,
  releaseSchema,
  rolloutCommands,
  rolloutDeviceSchema,
  rolloutDeviceStates,
  rolloutDevicesQuerySchema,
  rolloutDevicesSchema,
  rolloutHasEnded,
  rolloutKinds,
  rolloutListSchema,
  rolloutNewsSchema,
  rolloutPlanSchema,
  rolloutPolicySchema,
  rolloutRequestSchema,
  rolloutSchema,
  rolloutStates,
  rolloutStatusSchema,
  rolloutWaveSchema,
  type Saved,
  savedBy,
  savedSchema,
  windowSchema,
} from './rollouts/schema.js';
export { rolloutTimesMs, type ShadowFigures, type ShadowPolicy, type WaveShadow } from './rollouts/shadow.js';
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
export {
  type NewWebhook,
  newWebhookSchema,
  removedWebhookSchema,
  type Webhook,
  type WebhookChange,
  type WebhookSecret,
  type WebhookTest,
  webhookChangeSchema,
  webhookSchema,
  webhookSecretSchema,
  webhooksSchema,
  webhookTestSchema,
} from './webhooks/api.js';
export { webhookCalls } from './webhooks/calls.js';

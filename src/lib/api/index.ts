/** The client side of the platform's API: request and response bodies, the client, and operations that use it. */
export {
  type AuditEntry,
  errorBodySchema,
  type FoldsFigures,
  figuresSchema,
  foldsFiguresSchema,
  gateSchema,
  type LiveFigures,
  listSchemas,
  type ModelSummary,
  type ModelVersion,
  modelVersionSchema,
  type Origin,
  type PlatformUrls,
  platformUrlsSchema,
  type RemovedModel,
  removedModelSchema,
  type Stage,
  type StageRequest,
  type Status,
  stages,
  statusSchema,
} from './api.js';
export {
  type CallDevices,
  callDevices,
  callExit,
  type DeviceCalled,
  type DevicesCalled,
  deviceCalledSchema,
} from './call-devices.js';
export {
  type ChangeDevices,
  type ChangeSettings,
  changeDevices,
  changeExit,
  changeSettings,
  type DeploySettings,
  type DevicesChanged,
  deploySettings,
  devicesChangedSchema,
} from './change-devices.js';
export { createClient, type RegistryClient } from './client.js';
export type { Condition, Objective, Replica } from './condition.js';
export { pushConfig, pushedConfigSchema, resolveConfig } from './config/push.js';
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
export {
  atLeast,
  isScope,
  isUserName,
  type Login,
  type LoginLink,
  loginLinkSchema,
  longestGraceMs,
  type MadeToken,
  madeTokenSchema,
  type NewProviderLogin,
  type NewToken,
  type NewUser,
  type ProviderLogin,
  type RemovedUser,
  type Role,
  removedUserSchema,
  roles,
  type ScopeNoun,
  type Session,
  scopeCovers,
  type Token,
  tokenLifetimeMs,
  tokenSchema,
  type User,
  userSchema,
  usualLifetimeMs,
} from './contract/access.js';
export {
  type AlarmTarget,
  type AlarmTargetDefinition,
  type AlarmTargetTest,
  type ApplyAlarmTargets,
  alarmTargetSchema,
  alarmTargetsSchema,
  alarmTargetTestSchema,
  mostAlarmTargets,
  type NewAlarmTarget,
  newAlarmTargetSchema,
  type ProjectAlarmsApplied,
  projectAlarmsAppliedSchema,
  withTargets,
} from './contract/alarm-targets.js';
export {
  type Alarm,
  type AlarmAcknowledged,
  type AlarmDefinition,
  type AlarmFailure,
  type AlarmSample,
  type AlarmShown,
  type AlarmsApplied,
  type AlarmTest,
  type ApplyAlarms,
  alarmAcknowledgedSchema,
  alarmSchema,
  alarmShownSchema,
  alarmsAppliedSchema,
  alarmsSchema,
  alarmTestSchema,
  type Incident,
  longestAlarmMs,
  longestWindowMs,
  mostAlarms,
  type NewAlarm,
  newAlarmSchema,
  type Severity,
  severities,
} from './contract/alarms.js';
export {
  type Attention,
  type AttentionRequest,
  attentionSchema,
  type Cause,
  type CauseCode,
  causeCodes,
  type DeviceHealth,
  deviceHealthSchema,
  type HealthState,
  healthStates,
  longestSnoozeMs,
  type UnwellDevice,
} from './contract/attention.js';
export { largestBlob } from './contract/blobs.js';
export type {
  BrokerAcl,
  BrokerAclResult,
  BrokerAuth,
  BrokerAuthResult,
} from './contract/broker.js';
export {
  type ApplyCommands,
  type CommandDefinition,
  type CommandInfo,
  type CommandsApplied,
  commandInfoSchema,
  commandName,
  commandsAppliedSchema,
  commandsSchema,
  commandTimeoutMs,
  type DeviceCall,
  type DeviceReply,
  deviceReplySchema,
  mostCommands,
  mostParamsBytes,
  mostReplyBytes,
  type NewCommand,
  newCommandSchema,
} from './contract/commands.js';
export { type Contract, contract } from './contract/contract.js';
export {
  type CrashFrame,
  type CrashGroup,
  type CrashList,
  type CrashShown,
  crashListSchema,
  crashQuerySchema,
  crashShownSchema,
  symbolsAddedSchema,
} from './contract/crashes.js';
export {
  type DatasetInfo,
  type DatasetListing,
  datasetSchema,
  datasetsSchema,
  type ExportFormat,
  type ExportQuery,
  type ExportSummary,
  exportColumns,
  exportFormats,
  exportQuerySchema,
  exportTrailer,
  type LabelSpan,
  type LabelsRequest,
  type RankedRecording,
  type Ranking,
  type RankingRequest,
  type RecordingPoints,
  type RecordingShown,
  type RemovedRecordings,
  type Retention,
  type RetentionRequest,
  recordingShownSchema,
  removedRecordingsSchema,
  retentionSchema,
  type StoredRecording,
} from './contract/data.js';
export {
  type Changeable,
  type ChangedDevice,
  type Claim,
  type ClaimRequest,
  claimLifetimeMs,
  type DeviceChange,
  type DeviceHistoryEntry,
  type DeviceListQuery,
  type DeviceMessage,
  type DeviceMessagesQuery,
  type DevicePatch,
  type DeviceSecret,
  type DeviceTwin,
  deviceChannels,
  deviceHistorySchema,
  deviceMessagesSchema,
  deviceSecretSchema,
  groupName,
  type Latest,
  mostSimulated,
  mostTags,
  type RemoteSession,
  remoteSessionSchema,
  type SavedRecording,
  type SimulatedReply,
  type SimulatedRequest,
  type StoredBirth,
  savedRecordingSchema,
  secrets,
  simulatedTag,
  tagName,
  tagValue,
} from './contract/devices.js';
export {
  type Access,
  accessOf,
  type Endpoint,
  type Endpoints,
  endpoint,
  type Input,
  type Output,
  type ParamsOf,
  paramsOf,
  partsOf,
  type ReachRule,
} from './contract/endpoint.js';
export {
  externalRequestSchema,
  hasJobEnded,
  type Job,
  type JobEnd,
  type JobProgress,
  type JobQuery,
  type JobState,
  jobSchema,
  jobStates,
  jobs,
  jobsSchema,
  type NewJob,
  newJobSchema,
  type PipelineRun,
  pipelineRunSchema,
  pipelines,
  type RunSummary,
  runSummarySchema,
  type ToldRun,
  type ToldStep,
} from './contract/jobs.js';
export { shortestPassphrase } from './contract/platform.js';
export {
  type ConfigVersion,
  configListSchemas,
  configVersionSchema,
  type FirmwareVersion,
  firmwareListSchemas,
  firmwareVersionSchema,
  type PublicKey,
  type TrustChain,
} from './contract/releases.js';
export {
  type ApplySettings,
  type DeviceSettings,
  deviceSettingsSchema,
  type IntegrationApplied,
  integrationAppliedSchema,
  type NewSettings,
  newSettingsSchema,
  type SettingsApplied,
  type SettingsInfo,
  settingsAppliedSchema,
  settingsInfoSchema,
  settingsListSchema,
} from './contract/settings.js';
export {
  type Metric,
  metricSchema,
  mostPublished,
  type Parameter,
  type PublishedRun,
  publishedRunSchema,
} from './contract/training-runs.js';
export {
  type NewWebhook,
  newWebhookSchema,
  removedWebhookSchema,
  type Webhook,
  type WebhookChange,
  type WebhookSecret,
  type WebhookTest,
  webhookSchema,
  webhookSecretSchema,
  webhooks,
  webhooksSchema,
  webhookTestSchema,
} from './contract/webhooks.js';
export { acknowledgedSchema, type Damage, type LostTelemetry, lostText } from './damage.js';
export { parseRecordingPlace, parseRecordings, type RecordingPlace } from './datasets/place.js';
export { changeRetention } from './datasets/retention.js';
export {
  type Exported,
  exportDataset,
  exportedSchema,
  giveLabels,
  givenLabelsSchema,
  labelsFor,
} from './datasets/save.js';
export {
  type EventFilter,
  type EventQuery,
  eventSchema,
  eventTypeSchema,
  type PlatformEvent,
} from './events/api.js';
export {
  type AuditExported,
  type AuditHead,
  type AuditVerified,
  auditExportedSchema,
  auditLogQuerySchema,
  auditLogSchema,
  auditVerifiedSchema,
  exportAudit,
  hashOfEntry,
  noHash,
  type SealedEntry,
  verifyAudit,
  verifyAuditFile,
} from './events/audit.js';
export { tailEvents } from './events/tail.js';
export { type EventType, eventTypes } from './events/types.js';
export {
  checkChipId,
  checkMac,
  chipIdOf,
  type DeviceInfo,
  deviceSchema,
  deviceStates,
  isChipId,
  macSchema,
  name,
  type ProvisionReply,
  settingsStates,
  time,
} from './fields.js';
export { fetchFirmware, pulledFirmwareSchema, pullFirmware, resolveFirmware } from './firmware/fetch.js';
export { readFirmware } from './firmware/image.js';
export { pushedFirmwareSchema, pushFirmware } from './firmware/push.js';
export { type PushedSymbols, pushedSymbolsSchema, pushSymbols } from './firmware/symbols.js';
export { createGuideClient, type GuideClient } from './guide/client.js';
export { type GuideProvisioned, guideProvisionedSchema, provisionAtGuide } from './guide/provision.js';
export {
  type LiveChannel,
  type LiveMessage,
  type LiveNews,
  type LiveRequest,
  liveBeatMs,
  liveChannels,
  liveCloseCodes,
  liveRequestSchema,
} from './live.js';
export { logIn, loginResultSchema, logOut, logoutResultSchema } from './login.js';
export { OciRepository } from './oci/client.js';
export {
  type Artifact,
  artifactSchema,
  artifactText,
  type Descriptor,
  emptyContent,
  manifestType,
} from './oci/manifest.js';
export { isOciReference, type OciReference, ociText, parseOciReference } from './oci/reference.js';
export { numberOf, type PageQuery, pageOfRows } from './page.js';
export { type Problem, problemOf, problemSchema, problemType } from './problem.js';
export { type ModelId, parseModelReference, parseVersion, promoteModel, resolveModel } from './reference.js';
export type { RelayStatus } from './relay-api.js';
export {
  mostCopyBytes,
  openSocket,
  type RemoteOpen,
  type RemoteOpened,
  type RemoteQuery,
  type RemoteRequest,
  remoteCloseCodes,
  remoteConsentMs,
  remoteEnded,
  remoteMessageBytes,
  remoteOpenedSchema,
  remoteOpenSchema,
  remoteRefusalSchema,
  remoteRequestSchema,
  remoteTarget,
  remoteTimeMs,
} from './remote.js';
export { type Amount, amountSchema, shareOf } from './rollouts/amount.js';
export {
  type Deployed,
  deploy,
  deployedSchema,
  type FollowRolloutOptions,
  followRollout,
  reportOffline,
  rolloutExit,
} from './rollouts/deploy.js';
export {
  type OfflineDevices,
  offlineDevices,
  offlineDevicesSchema,
  offlineLimitMs,
} from './rollouts/offline.js';
export { writeRolloutPage } from './rollouts/page/page.js';
export { releaseOf } from './rollouts/release.js';
export { type RolloutReport, rolloutReport, rolloutReportSchema } from './rollouts/report.js';
export { noRolloutSchema, readPlan, rolloutRequest, startedIfAny } from './rollouts/request.js';
export {
  type DeltaReport,
  type DeviceProof,
  type DeviceTimes,
  days,
  type MaintenanceWindow,
  type Release,
  type Rollout,
  type RolloutCommand,
  type RolloutDeviceInfo,
  type RolloutDeviceState,
  type RolloutDevicesQuery,
  type RolloutKind,
  type RolloutNews,
  type RolloutPhase,
  type RolloutPlan,
  type RolloutPolicy,
  type RolloutPolicyInput,
  type RolloutReason,
  type RolloutStatus,
  rolloutDeviceSchema,
  rolloutDeviceStates,
  rolloutHasEnded,
  rolloutPlanSchema,
  rolloutPolicySchema,
  rolloutRequestSchema,
  rolloutSchema,
  rolloutStates,
  rolloutStatusSchema,
  type Saved,
  type SettingsRelease,
  type SignedRelease,
  savedBy,
} from './rollouts/schema.js';
export { rolloutTimesMs, type ShadowFigures, type ShadowPolicy, type WaveShadow } from './rollouts/shadow.js';
export { commandStates, proofWords, releaseText, shownData, stateWords, stepWord } from './rollouts/words.js';
export { type ShownModel, showModel, shownModelSchema } from './show.js';
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
export { type StoredData, storedState } from './stored.js';
export { sentEvents, startJob } from './streams.js';
export { type Agree, type ToSign, toSign } from './to-sign.js';
export { manifestAsked, requireTrusted, signedBy } from './vouched.js';

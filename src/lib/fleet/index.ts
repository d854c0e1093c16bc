/**
 * The fleet's rules: device and rollout states, selectors, live metrics. The functions are pure: from a state and an event, they compute
 * the next state and its effects. The caller owns the store and communicates with the devices.
 */

export {
  type AlarmChange,
  type AlarmState,
  absencesIn,
  addArrival,
  alarmMessage,
  alarmStep,
  isAbsent,
  isMaintained,
  isOfAnother,
  newestStreams,
  placeInTime,
  quiet,
} from './alarm.js';
export { type AlarmWindow, aboutOf, looksBack, withinWindow } from './alarm-window.js';
export {
  builtInCommands,
  type CompiledCommand,
  compileCommand,
  isBuiltIn,
  maskSecrets,
} from './command.js';
export { crashPlace, crashSignature, maskedCrash } from './crash.js';
export { changeDevice, type DeviceEvent, type DeviceState, deviceStep, mayConnect } from './device.js';
export {
  causesOf,
  type DriftFact,
  type HealthFacts,
  healthOf,
  rejectWindowMs,
  restartWindowMs,
  silentAfterMs,
  silentTag,
  usualSilentMs,
} from './health.js';
export {
  addTo,
  type BucketRange,
  bucketRange,
  type Counts,
  latencyBucket,
  latencyBuckets,
  latencyQuantile,
  mostKeys,
  otherKey,
  packCounts,
  startOf,
  unpackCounts,
} from './history.js';
export {
  type Discovery,
  discoveryOf,
  type HomeAssistant,
  type HomeDevice,
  type HomePlace,
  type HomeState,
  highest,
  homeAssistantClasses,
  homeAssistantSchema,
  homeRoot,
  homeTopics,
  type Installable,
  type InstallKind,
  installKinds,
  installPayload,
  parseInstall,
  sensorOf,
  stateOf,
  updateOf,
} from './home-assistant.js';
export { countInference, emptyCounts, type LiveCounts, liveFigures } from './live.js';
export { type RehearseOptions, rehearseAll } from './rehearse.js';
export { isOfSettings, parseWish, wishOf } from './rollout/draft.js';
export { firmwareMisfits, type ModelNeeds, modelMisfits } from './rollout/fit.js';
export { runningOf } from './rollout/report.js';
export { afterStep, rolloutStep } from './rollout/step.js';
export { DeviceTable } from './rollout/table.js';
export type {
  CheckedProof,
  RolloutDevice,
  RolloutEvent,
  RolloutHead,
  RolloutState,
  RolloutStep,
  RolloutStore,
  RolloutWave,
  Wish,
  World,
} from './rollout/types.js';
export {
  inRolloutOrder,
  isEnd,
  noDevices,
  packOffline,
  splitIntoWaves,
  startRollout,
  unpackOffline,
  waveOutcome,
} from './rollout/waves.js';
export {
  anyOf,
  type Expression,
  everyOf,
  keysOf,
  listedNames,
  matchesGlob,
  onlineOnly,
  parseExpression,
  parseSelector,
  possibleNames,
  requireKnownTags,
  requireListedNames,
  type Selectable,
  type Term,
  testOf,
  withoutList,
} from './selector.js';
export {
  type CompiledSettings,
  changedSettings,
  compileProjectSettings,
  inverseChange,
  mostSettingsBytes,
  pathsOf,
  type SettingsChange,
  type SettingsDrift,
  type SettingsLayer,
  settingsDrift,
  withoutPaths,
} from './settings.js';
export { metricsOf, type Sparkplug, sparkplugSchema } from './sparkplug.js';
export { compareVersions } from './version.js';
export { parseWindow, windowWithZone } from './window.js';

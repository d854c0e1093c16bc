/**
 * What every room may use: errors, ids, clock, chance, atomic files, crypto, the user's contexts and the project file.
 * Imports from no other room.
 */
export { onAbort, untilAborted } from './abort.js';
export { missingGroups, ownFolders, userName, whoRuns } from './account.js';
export { type Clock, systemClock } from './clock.js';
export {
  type AddOptions,
  addContext,
  checkContext,
  listContexts,
  removeContext,
  type ShownContext,
  shownContextSchema,
  useContext,
} from './context-edit.js';
export {
  type ChosenContext,
  type ContextKind,
  type Contexts,
  chosenContext,
  contextKinds,
  contextSchema,
  type PlatformContext,
  platformFolderOfCa,
  readContexts,
  writeContexts,
} from './contexts.js';
export { type Cron, parseCron } from './cron.js';
export * from './crypto.js';
export { dictionary } from './dictionary.js';
export { formatDuration, parseDuration } from './duration.js';
export * from './errors/index.js';
export {
  decimalOf,
  elapsed,
  foldsText,
  type MeasuredShare,
  percent,
  plural,
  shareText,
  size,
  thousands,
} from './figures.js';
export {
  isForWantOfRoom,
  machineFailure,
  makeFolder,
  readBytes,
  readJson,
  readText,
  removeLeftovers,
  requireFile,
  requireWritable,
  syncFolder,
  unwritable,
  writeFileAtomic,
  writeJsonAtomic,
} from './files.js';
export { cacheFolder, configFolder, dataFolder } from './folders.js';
export {
  collectGarbage,
  keepHeapSmall,
  keepYoungHeapSmall,
  letYoungHeapGrow,
  residentBytes,
} from './heap.js';
export { httpAgent } from './http-agent.js';
export { namePattern, newId, timeOfId } from './ids.js';
export { issueText, type Problem, problemsOf } from './issues.js';
export { canonicalJson } from './json.js';
export { labelValue } from './label-value.js';
export { takeLock, withLock } from './lock.js';
export { nativePart } from './native.js';
export { didYouMean, nearest } from './nearest.js';
export { type Notify, notifierFor } from './notify.js';
export { refuseInputs, writeTogether } from './outputs.js';
export { type PlatformUnitOptions, platformUnit } from './platform-unit.js';
export { inParallel } from './pool.js';
export { preload } from './preload.js';
export { jsonLine, printable, printableJson, printableLines, printablePayload } from './printable.js';
export { projectJsonSchema } from './project/json-schema.js';
export { needsLabels } from './project/labels.js';
export { defaultProject, loadProject, type Project, parseProject } from './project/load.js';
export { type ProjectSetting, projectSettings } from './project/origins.js';
export { type Overrides, overrideProject } from './project/override.js';
export type { PipelineConfig, StepConfig, StepsConfig, TriggerConfig } from './project/pipeline-schema.js';
export {
  featureSetNames,
  type LayerConfig,
  layerSchema,
  type ProjectConfig,
  projectSchema,
  quantizeModes,
} from './project/schema.js';
export { bytesOf } from './project/sizes.js';
export { gaussian, type Random, seededRandom, shuffled, shuffledNumbers } from './random.js';
export { roundHalfAway } from './round.js';
export { shellWord } from './shell.js';
export { startProgram } from './start-program.js';
export {
  confined,
  packagesOf,
  unitFile,
  unitFolder,
  unitQuoted,
  unitSections,
  unitValue,
  unitWord,
  writeUnit,
} from './systemd.js';
export { timeLimit } from './time-limit.js';
export { isUntrusted } from './tls.js';
export { vendoredFile } from './vendor.js';
export { aiotVersion, packageRoot } from './version.js';
export { xmlText } from './xml.js';
export { parseYaml } from './yaml.js';
export { deepestYaml, tooDeepYaml } from './yaml-depth.js';

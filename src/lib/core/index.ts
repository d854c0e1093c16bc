/**
 * The ground of all rooms: errors, ids, clock, chance, atomic files, crypto, the user's contexts and the project file.
 * Imports from no other room.
 */
export { catalogue, type ErrorCode } from './catalogue.js';
export {
  addContext,
  type ChosenContext,
  type ContextKind,
  checkContext,
  chosenContext,
  contextKinds,
  contextSchema,
  listContexts,
  type PlatformContext,
  platformFolderOfCa,
  readContexts,
  removeContext,
  shownContextSchema,
  useContext,
  writeContexts,
} from './contexts.js';
export {
  canonicalJson,
  digestOf,
  digestPattern,
  generateKeyPair,
  keyIdOf,
  publicKeyIn,
  publicKeyOf,
  sha256Hex,
  signBytes,
  verifyBytes,
} from './crypto.js';
export {
  AiotError,
  type ErrorDetails,
  explainCode,
  hasCode,
  listCodes,
  systemCode,
  unless,
} from './errors.js';
export {
  bytesOf,
  decimalOf,
  elapsed,
  foldsText,
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
  refuseInputs,
  removeLeftovers,
  requireFile,
  requireWritable,
  syncFolder,
  unwritable,
  writeFileAtomic,
  writeJsonAtomic,
  writeTogether,
} from './files.js';
export { aiotVersion, cacheFolder, configFolder, dataFolder, packageRoot, vendoredFile } from './folders.js';
export { httpAgent, isUntrusted } from './http-agent.js';
export { issueText, type Problem, problemsOf } from './issues.js';
export { takeLock, withLock } from './lock.js';
export { dictionary, namePattern, newId, timeOfId } from './names.js';
export { gaussian, type Random, roundHalfAway, seededRandom, shuffled, shuffledNumbers } from './numbers.js';
export {
  collectGarbage,
  keepHeapSmall,
  keepYoungHeapSmall,
  letYoungHeapGrow,
  nativePart,
  preload,
  residentBytes,
  startProgram,
} from './process.js';
export {
  defaultProject,
  loadProject,
  needsLabels,
  type Overrides,
  overrideProject,
  type Project,
  parseProject,
  projectSettings,
} from './project.js';
export {
  featureSetNames,
  type LayerConfig,
  layerSchema,
  type ProjectConfig,
  projectJsonSchema,
  projectSchema,
  quantizeModes,
  type StepConfig,
  type TriggerConfig,
} from './project-schema.js';
export {
  confined,
  missingGroups,
  notifierFor,
  ownFolders,
  packagesOf,
  platformUnit,
  unitFile,
  unitFolder,
  unitQuoted,
  unitSections,
  unitValue,
  unitWord,
  userName,
  whoRuns,
  writeUnit,
} from './systemd.js';
export { inParallel, onAbort, timeLimit, untilAborted, withTimeLimit } from './tasks.js';
export {
  didYouMean,
  jsonLine,
  labelValue,
  nearest,
  printable,
  printableJson,
  printableLines,
  printablePayload,
  shellWord,
  xmlText,
} from './text.js';
export { type Clock, formatDuration, parseCron, parseDuration, systemClock } from './time.js';
export { deepestYaml, parseYaml, tooDeepYaml } from './yaml.js';

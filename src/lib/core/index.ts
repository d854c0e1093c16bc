/**
 * The base of all modules: errors, ids, clock, random numbers, atomic files, crypto, the user's contexts and the project file. Imports no
 * other module.
 */
export { AppendLog, dataSync, GroupCommit, type Sync, writeAll } from './append-log.js';
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
  crc16,
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
  errorMaker,
  explainCode,
  explainExit,
  hasCode,
  isUntrusted,
  listCodes,
  systemCode,
  unless,
} from './errors.js';
export {
  ago,
  bytesOf,
  decimalOf,
  detectionsText,
  elapsed,
  extraText,
  foldsText,
  gateValues,
  hex,
  lasting,
  percent,
  plural,
  readable,
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
  requireNewFolder,
  requireWritable,
  syncFolder,
  unwritable,
  writeFileAtomic,
  writeJsonAtomic,
  writeNewFolder,
  writeTogether,
} from './files.js';
export { aiotVersion, cacheFolder, configFolder, dataFolder, packageRoot, vendoredFile } from './folders.js';
export { httpAgent } from './http-agent.js';
export { ListenFailure, type Page, servePages } from './http-pages.js';
export { issueText, type Problem, problemsOf } from './issues.js';
export { takeLock, withLock } from './lock.js';
export { maskSecrets } from './mask.js';
export { dictionary, namePattern, newId, telemetryNames, timeOfId } from './names.js';
export {
  gaussian,
  quantile,
  type Random,
  roundHalfAway,
  roundHalfEven,
  seededRandom,
  shuffled,
  shuffledNumbers,
} from './numbers.js';
export { OtlpExporter, type OtlpFigures } from './otlp.js';
export type { LogRecord } from './otlp-json.js';
export { type OtlpOptions, otlpOptionsOf, otlpUrl } from './otlp-options.js';
export {
  type AnsweringProgram,
  type ChildProcess,
  collectGarbage,
  endOfProgram,
  type FailedProgram,
  findProgram,
  fitHeap,
  identify,
  isAlive,
  isRunning,
  keepHeapSmall,
  keepYoungHeapSmall,
  lastOutput,
  letYoungHeapGrow,
  nativePart,
  type ProcessId,
  preload,
  residentBytes,
  runProgram,
  runProgramNow,
  startAnswering,
  startProgram,
  stopProgram,
  withYoungHeapKept,
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
  type CommandConfig,
  type CostsConfig,
  featureSetNames,
  framesOf,
  isSoundSet,
  type LayerConfig,
  layerSchema,
  type ProjectConfig,
  projectJsonSchema,
  projectSchema,
  quantizeModes,
  type RejectConfig,
  type SoundAugmentConfig,
  type SoundSetName,
  type StepConfig,
  type TriggerConfig,
} from './project-schema.js';
export { Exposition, Histogram, type Labels, type MetricFamily } from './prometheus.js';
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
export {
  type Deferred,
  deferred,
  inParallel,
  onAbort,
  timeLimit,
  untilAborted,
  withTimeLimit,
} from './tasks.js';
export {
  didYouMean,
  jsonLine,
  nearest,
  nearestOnes,
  parsedJson,
  printable,
  printableJson,
  printableLines,
  printablePayload,
  shellWord,
  textOrBase64,
  xmlText,
} from './text.js';
export {
  backOffMs,
  type Clock,
  formatDuration,
  parseCron,
  parseDuration,
  retryAfterMs,
  systemClock,
  withJitter,
} from './time.js';
export {
  formatTraceparent,
  parseTraceparent,
  preciseNow,
  type Span,
  type SpanData,
  samplerOf,
  type TraceContext,
  Tracer,
  traceHeader,
} from './trace.js';
export { deepestYaml, parseYaml, tooDeepYaml } from './yaml.js';

/** The building blocks of commands: the base class, the shared flags, and rendering. Contains no domain rules. */
export { percent, plural, shellWord, size, thousands } from '../core/index.js';
export { approve, askedFor, lineOf } from './approvals.js';
export { allCheatSheets, sheetNames, sheetsFor } from './cheat-sheets.js';
export { AiotCommand } from './command.js';
export { nameKinds, refreshNames } from './completion/names.js';
export {
  type CompletionShell,
  completionScript,
  completionShells,
} from './completion/scripts.js';
export { completionTable } from './completion/table.js';
export { DeployCommand } from './deploy-command.js';
export { DeviceChangeCommand } from './device-change.js';
export {
  documentList,
  documentNamed,
  documentText,
  documentTexts,
  findInDocuments,
  placeOf,
  sectionFor,
} from './documents.js';
export { alarmCautions, conditionFlags, maintenance } from './flags/alarms.js';
export {
  batchFlags,
  decisionArgs,
  decisionFlags,
  enrollFlags,
  tagsOf,
  waitingTarget,
} from './flags/batches.js';
export {
  boardLoader,
  burdenFlags,
  cryptArgs,
  cryptFlags,
  firmwareFlags,
  firmwareProfile,
  flashFlags,
  flashOffset,
  imageAsked,
  imageFlags,
  loaderOptions,
  lockFlags,
  mcubootBoardFlags,
  ownPort,
  revision,
  smpFlags,
  smpOptions,
  smpWindow,
  writeFlags,
} from './flags/boards.js';
export { brokerFlags, brokerOptions, brokerWords } from './flags/brokers.js';
export {
  calleeOf,
  fleetFlags,
  groupingOf,
  historyQueryOf,
  logQueryOf,
  networkFlags,
  networkOf,
  oneDevice,
  remoteTime,
  selector,
  selectorTexts,
  settingsIn,
  settingWordsOf,
  share,
  taggingOf,
  virtualDeviceFlags,
} from './flags/fleet.js';
export {
  columnList,
  hertz,
  labelFrom,
  lossFlags,
  modelFlags,
  rowsFlags,
  trainingFlags,
} from './flags/models.js';
export {
  auditHead,
  auditType,
  eventFrom,
  eventTypes,
  jobRequest,
  namesOf,
  reachFlag,
  roleFlag,
  rootKeyFlag,
  rootValidFlag,
  scopeFlag,
  tokenFile,
  trustOutFlag,
  upFlags,
  upOptionsOf,
} from './flags/platform.js';
export {
  argoFlags,
  deployFlags,
  deployFolder,
  deployOptions,
  loopFlags,
  renderFlags,
  runArg,
  runFlags,
  stepsFlags,
} from './flags/projects.js';
export {
  ociFlags,
  policyFlags,
  policyOf,
  rehearsalFlags,
  rehearsalOf,
  releaseFlags,
  rolloutId,
  waveFlags,
  whatFlags,
} from './flags/rollouts.js';
export { readSchema, schemaFileFlags } from './flags/schemas.js';
export {
  contextFlags,
  decimal,
  duration,
  folderToFill,
  instant,
  pageFlags,
  pastTime,
  setFlag,
  shared,
  sizeInBytes,
  streamArg,
  variablesOf,
} from './flags/shared.js';
export {
  bridgeFlags,
  bridgeOptions,
  header,
  readFlags,
  readOptions,
  replaySpeed,
  selectFlags,
  viewFlags,
  watchFlags,
  watchOptions,
} from './flags/streams.js';
export { askForProject, type Beginning } from './init-questions.js';
export { again, programName } from './invocation.js';
export { conformityCases, deployCases, findingCases, gateCases, junitOf, junitReport } from './junit.js';
export { boardRows, type RowsOptions } from './live/board-rows.js';
export { boundedLog, endUnread } from './live/bounded-log.js';
export { watchEpochs } from './live/epochs.js';
export { LoopScreen } from './live/loop-screen.js';
export { MonitorScreen } from './live/monitor-screen.js';
export { RunCommand } from './live/pipeline-run.js';
export { createProgress } from './live/progress.js';
export { offlineNote, rolloutNews } from './live/rollout-news.js';
export { runSteps, type Step } from './live/steps.js';
export { createTailView, missingCautions, silenceNote, tailNotes, tailSummary } from './live/stream-tail.js';
export { lockAsked, lockConfirmation, nvsKeyToBurn, partsOf } from './lock.js';
export { serveMcp } from './mcp.js';
export { PlatformCommand, type PlatformInput } from './platform-command.js';
export { agreement, confirm, createAsker } from './questions.js';
export {
  alarmAcknowledgedText,
  alarmShownText,
  alarmsAppliedText,
  alarmsRemovedText,
  alarmsTable,
  alarmTargetsTable,
  alarmTargetTestText,
  alarmTargetText,
  alarmTestText,
  alarmText,
} from './render/alarms.js';
export {
  batchesText,
  batchText,
  createdBatchText,
  decisionText,
  enrollmentsText,
  enrollNotes,
  provisionedBatchText,
} from './render/batches.js';
export {
  boardDumpedText,
  boardErasedText,
  boardImagesText,
  boardInfoText,
  boardLoadedText,
  boardLockedText,
  boardReadText,
  boardRunText,
  boardSecurityText,
  boardStatisticsText,
  boardVerifiedText,
  flashExit,
  flashedText,
  flashNext,
  installedImageText,
  portsTable,
  uploadedImageText,
} from './render/board.js';
export { pictureText } from './render/chart.js';
export { crashesText, crashShownText, pushedSymbolsText } from './render/crashes.js';
export {
  checkText,
  drawnPicturesText,
  driftText,
  extractedText,
  leftOutTexts,
  recordingsTable,
  recordingText,
  rejectedText,
  resampledText,
  schemaText,
  statisticsText,
  suggestionsText,
  summaryText,
  synthesisText,
  timeText,
  unusedText,
} from './render/data.js';
export {
  damagedText,
  labelledInProjectText,
  limitsQuestion,
  projectRemovalQuestion,
  removalQuestion,
  removedFromProjectText,
  removedText,
  retentionQuestion,
  retentionText,
  storedRecordingText,
  storedTable,
  streamsTable,
} from './render/datasets.js';
export {
  appliedText,
  checkedDeploymentText,
  deployDiffText,
  deployStatusText,
  renderedText,
} from './render/deploy.js';
export {
  comparisonText,
  evaluationText,
  explanationText,
  fileEvaluationText,
  rankingText,
} from './render/evaluation.js';
export {
  burdenText,
  cryptedText,
  firmwareBuildNext,
  firmwareBuildText,
  firmwareContainerNext,
  firmwareContainerText,
  firmwareTestText,
  imageText,
  inspectedNext,
  inspectedText,
  mergedText,
  otadataText,
  partitionsText,
  signedImageText,
  signedMcubootText,
  verifiedImageText,
  webInstallerText,
} from './render/firmware.js';
export {
  closedSessionText,
  commandsAppliedText,
  commandsTable,
  conformityText,
  copiedText,
  deviceCalledText,
  deviceHistoryText,
  deviceSecretText,
  devicesTable,
  deviceText,
  deviceWithHealthText,
  forwardText,
  logLineText,
  logsText,
  remoteSessionsText,
  savedRecordingText,
  settingsAppliedText,
  settingsText,
  shellText,
} from './render/fleet.js';
export { historyText } from './render/history.js';
export { afterImport, fileStep, fitText, importedText, inspectionText } from './render/inspection.js';
export { checkedLoopText, installedLoopText, loopsNext, loopsText, loopText } from './render/loop.js';
export {
  requestText,
  runnerEventText,
  runStateText,
  runStatusText,
  runsTable,
  watchEventText,
} from './render/pipeline.js';
export {
  afterAttention,
  afterDown,
  attentionText,
  auditExportedText,
  auditTable,
  auditVerifiedText,
  backupText,
  brokerFilesText,
  damageTable,
  damageText,
  dashboardText,
  deviceHealthText,
  downText,
  eventText,
  installedPlatformText,
  jobNews,
  jobsTable,
  jobText,
  loginPageText,
  loginSessionsTable,
  loginSessionText,
  loginText,
  logText,
  madeTokenText,
  onDevices,
  platformNext,
  platformText,
  secretText,
  statusText,
  tokensTable,
  usersTable,
  webhooksTable,
  webhookTestText,
  webhookText,
} from './render/platform.js';
export { commandsAfterInit, demoSummary, initText, surveyRemark, surveyText } from './render/project.js';
export {
  afterProvisioning,
  fleetText,
  joinedText,
  nvsMadeText,
  nvsText,
  provisionedText,
  provisionWarnings,
  simulateCommand,
  verifiedText,
} from './render/provisioned.js';
export {
  deployedText,
  deployNotes,
  planText,
  rehearsalsText,
  rolloutReportText,
  rolloutStatusText,
  rolloutsTable,
  rolloutText,
} from './render/rollout.js';
export {
  compatibilityText,
  levelText,
  registeredText,
  schemaTable,
  schemaVersionText,
} from './render/schemas.js';
export {
  benchText,
  cheatText,
  checkedText,
  createdText,
  headerLoss,
  importedRoutesText,
  installedText,
  lagText,
  listedRoutesText,
  loginsText,
  lostText,
  routesEndText,
  testedRoutesText,
  topicsText,
  unreachableText,
} from './render/streams.js';
export {
  bold,
  day,
  dim,
  drawsOver,
  facts,
  forTerminal,
  green,
  minute,
  moment,
  next,
  oneLine,
  red,
  shownPath,
  table,
  timeOfDay,
  yellow,
} from './render/text.js';
export { quantizationText, searchText, trainingText } from './render/training.js';
export {
  bestRunText,
  publishedRunsText,
  runsComparisonText,
  trainingRunsTable,
  trainingRunText,
} from './render/training-runs.js';
export {
  afterPush,
  configFacts,
  configTable,
  firmwareFacts,
  firmwareTable,
  guideProvisionedText,
  guidePushedText,
  modelsTable,
  modelText,
  ociPushedText,
  pushedText,
  signatureText,
  trustChangeText,
  trustStatusText,
  verifiedFacts,
  whyText,
} from './render/versions.js';
export { identityFolder, RenewCommand, renewFlags } from './renew-command.js';
export { hasBrowser, openSecretUrl, reportFile, reportFlags } from './report.js';
export { RolloutChangeCommand } from './rollout-change.js';
export { askSecret, passphraseFile, readPassphrase, readSecret } from './secrets.js';
export { type ExplainInput, explainedSchema, explainSettings, flagVariables } from './settings.js';
export { UserStateCommand } from './user-state.js';
export { askForWifi, readWifiPassword } from './wifi.js';

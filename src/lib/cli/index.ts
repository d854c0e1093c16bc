/** What commands are made of: the base class, the shared flags, and rendering. Knows no rule of any domain. */
export { percent, plural, shellWord, size, thousands } from '../core/index.js';
export { approve, askedFor, lineOf } from './approvals.js';
export { allCheatSheets } from './cheat-sheets.js';
export { AiotCommand } from './command.js';
export {
  type CompletionShell,
  completionScript,
  completionShells,
} from './completion/scripts.js';
export { completionTable } from './completion/table.js';
export { DeviceChangeCommand } from './device-change.js';
export { documentList, documentNamed, documentText, findInDocuments, placeOf } from './documents.js';
export {
  boardLoader,
  burdenFlags,
  firmwareFlags,
  flashFlags,
  flashOffset,
  imageAsked,
  imageFlags,
  loaderOptions,
  ownPort,
  revision,
  writeFlags,
} from './flags/boards.js';
export { brokerFlags, brokerOptions } from './flags/brokers.js';
export { fleetFlags, groupingOf, oneDevice, selector, taggingOf } from './flags/fleet.js';
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
  eventFrom,
  eventTypes,
  jobRequest,
  namesOf,
  roleFlag,
  rootKeyFlag,
  rootValidFlag,
  scopeFlag,
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
  whatFlags,
} from './flags/rollouts.js';
export {
  decimal,
  duration,
  folderToFill,
  instant,
  pageFlags,
  setFlag,
  shared,
  sizeInBytes,
  streamArg,
  variablesOf,
} from './flags/shared.js';
export {
  chipFlags,
  fleetSimulationFlags,
  kitFlags,
  otherSimulation,
  requireDir,
  sensorFlags,
  type Tell,
} from './flags/simulation.js';
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
export { again, invocation, programName } from './invocation.js';
export { conformityCases, deployCases, findingCases, gateCases, junitOf, junitReport } from './junit.js';
export { boardRows, type RowsOptions } from './live/board-rows.js';
export { boundedLog, endUnread } from './live/bounded-log.js';
export { watchEpochs } from './live/epochs.js';
export { LoopScreen } from './live/loop-screen.js';
export { MonitorScreen } from './live/monitor-screen.js';
export { RunCommand } from './live/pipeline-run.js';
export { createProgress } from './live/progress.js';
export { drawsOver } from './live/redraw.js';
export { offlineNote, rolloutNews } from './live/rollout-news.js';
export { runSteps, type Step } from './live/steps.js';
export { createTailView } from './live/stream-tail.js';
export { serveMcp } from './mcp.js';
export { agreement, confirm, createAsker } from './questions.js';
export {
  boardErasedText,
  boardInfoText,
  boardReadText,
  boardVerifiedText,
  flashExit,
  flashedText,
  flashNext,
  portsTable,
} from './render/board.js';
export { pictureText } from './render/chart.js';
export {
  checkText,
  driftText,
  extractedText,
  leftOutTexts,
  recordingsTable,
  schemaText,
  statisticsText,
} from './render/data.js';
export {
  damagedText,
  removalQuestion,
  removedText,
  retentionTable,
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
  firmwareBuildNext,
  firmwareBuildText,
  firmwareTestText,
  imageText,
  inspectedNext,
  inspectedText,
  mergedText,
  otadataText,
  partitionsText,
} from './render/firmware.js';
export {
  conformityText,
  deviceHistoryText,
  deviceMessagesText,
  deviceReplyText,
  deviceSecretText,
  devicesTable,
  tagsText,
} from './render/fleet.js';
export { fitText, inspectionText } from './render/inspection.js';
export { checkedLoopText, installedLoopText, loopsNext, loopsText, loopText } from './render/loop.js';
export { runStateText, runStatusText, runsTable, watchEventText } from './render/pipeline.js';
export {
  backupText,
  brokerFilesText,
  damageTable,
  damageText,
  dashboardText,
  eventText,
  installedPlatformText,
  jobNews,
  jobsTable,
  jobText,
  logText,
  madeTokenText,
  platformNext,
  platformText,
  statusText,
  tokensTable,
  usersTable,
  webhooksTable,
  webhookTestText,
  webhookText,
} from './render/platform.js';
export { demoSummary, initText, surveyText } from './render/project.js';
export {
  afterProvisioning,
  fleetText,
  nvsMadeText,
  nvsText,
  provisionedText,
  provisionWarnings,
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
  benchText,
  cheatText,
  checkedText,
  createdText,
  importedRoutesText,
  installedText,
  lagText,
  listedRoutesText,
  loginsText,
  routesEndText,
  testedRoutesText,
  topicsText,
} from './render/streams.js';
export { bold, dim, forTerminal, green, oneLine, red, yellow } from './render/style.js';
export { facts, next, table } from './render/text.js';
export { day, minute, moment, timeOfDay } from './render/time.js';
export { quantizationText, searchText, trainingText } from './render/training.js';
export {
  answerText,
  configFacts,
  configTable,
  datasetText,
  figuresText,
  figureText,
  firmwareFacts,
  firmwareTable,
  guideProvisionedText,
  guidePushedText,
  historyTable,
  ociPushedText,
  pushedText,
  signatureText,
  trustChangeText,
  trustStatusText,
  verifiedFacts,
  whyText,
} from './render/versions.js';
export { openSecretUrl, reportFile, reportFlags } from './report.js';
export { RolloutChangeCommand } from './rollout-change.js';
export { passphraseFile, readPassphrase, readSecret } from './secrets.js';
export { type ExplainInput, explainedSchema, explainSettings, flagVariables } from './settings.js';

/** What commands are made of: the base class, the shared flags, and rendering. Knows no rule of any domain. */
export { percent, plural, shellWord, size, thousands } from '../core/index.js';
export { again } from './again.js';
export { agreement } from './agreement.js';
export { createAsker } from './ask.js';
export { boardLoader } from './board-loader.js';
export { boardRows, type RowsOptions } from './board-rows.js';
export { boundedLog, endUnread } from './bounded-log.js';
export { burdenFlags } from './burden-flags.js';
export { allCheatSheets } from './cheat-sheets.js';
export { chipFlags, requireDir, simulatedChip } from './chip-flags.js';
export { AiotCommand } from './command.js';
export {
  type CompletionShell,
  completionScript,
  completionShells,
  completionTable,
} from './completion/index.js';
export { confirm } from './confirm.js';
export { instant, pageFlags, sizeInBytes, streamArg } from './data-flags.js';
export { decimal } from './decimal.js';
export { deployFlags, deployFolder, deployOptions, renderFlags } from './deploy-flags.js';
export { DeviceChangeCommand } from './device-change.js';
export { documentList, documentNamed, findInDocuments, placeOf } from './documents/pages.js';
export { documentText } from './documents/render.js';
export { eventFrom, eventTypes } from './event-flags.js';
export { firmwareFlags, flashOffset, revision } from './firmware-flags.js';
export { duration, folderToFill, shared } from './flags.js';
export { flashFlags, loaderOptions, writeFlags } from './flash-flags.js';
export { fleetFlags, groupingOf, oneDevice, selector, taggingOf } from './fleet-flags.js';
export { fleetSimulationFlags } from './fleet-simulation-flags.js';
export { imageAsked, imageFlags, ownPort } from './image-flags.js';
export { askForProject, type Beginning } from './init-questions.js';
export { jobRequest } from './job-flags.js';
export { junitOf, junitReport } from './junit.js';
export { conformityCases, deployCases, findingCases, gateCases } from './junit-cases.js';
export { kitFlags } from './kit-flags.js';
export { loopFlags } from './loop-flags.js';
export { LoopScreen } from './loop-screen.js';
export { approve, askedFor, lineOf } from './mcp/approvals.js';
export { serveMcp } from './mcp/serve.js';
export { lossFlags, modelFlags } from './model-flags.js';
export { MonitorScreen } from './monitor-screen.js';
export { ociFlags } from './oci-flags.js';
export { policyFlags, policyOf, rolloutId, whatFlags } from './ota-flags.js';
export { passphraseFile, readPassphrase } from './passphrase.js';
export { argoFlags, runArg, stepsFlags } from './pipeline-flags.js';
export { invocation, programName } from './program-name.js';
export { createProgress, type Progress } from './progress.js';
export { header, replaySpeed } from './publish-flags.js';
export { hertz, labelFrom } from './recording-flags.js';
export { drawsOver } from './redraw.js';
export { rehearsalFlags, rehearsalOf } from './rehearsal-flags.js';
export { releaseFlags } from './release-flags.js';
export { madeTokenText, tokensTable, usersTable } from './render/access.js';
export { backupText } from './render/backup.js';
export { benchText } from './render/bench.js';
export {
  boardErasedText,
  boardInfoText,
  boardReadText,
  boardVerifiedText,
} from './render/board.js';
export { brokerFilesText } from './render/broker-files.js';
export { burdenText } from './render/burden.js';
export { answerText, datasetText, figuresText, figureText } from './render/card.js';
export { checkText } from './render/check.js';
export { comparisonText } from './render/comparison.js';
export { configFacts, configTable } from './render/config-card.js';
export { conformityText } from './render/conformity.js';
export { damageText } from './render/damage.js';
export {
  damagedText,
  removalQuestion,
  removedText,
  retentionTable,
  storedRecordingText,
  storedTable,
  streamsTable,
} from './render/datasets.js';
export { demoSummary } from './render/demo.js';
export { appliedText, checkedDeploymentText, deployDiffText, deployStatusText } from './render/deploy.js';
export { driftText } from './render/drift.js';
export { evaluationText } from './render/evaluation.js';
export { eventText } from './render/events.js';
export { explanationText } from './render/explanation.js';
export { extractedText, leftOutTexts } from './render/extracted.js';
export { fileEvaluationText } from './render/file-evaluation.js';
export { imageText, mergedText } from './render/firmware.js';
export { firmwareFacts, firmwareTable } from './render/firmware-card.js';
export { firmwareBuildNext, firmwareBuildText, firmwareTestText } from './render/firmware-work.js';
export { fitText } from './render/fit.js';
export { flashExit, flashedText, flashNext } from './render/flashed.js';
export {
  deviceHistoryText,
  deviceMessagesText,
  deviceReplyText,
  devicesTable,
  tagsText,
} from './render/fleet.js';
export { guideProvisionedText, guidePushedText } from './render/guide.js';
export { initText, surveyText } from './render/init.js';
export { inspectedNext, inspectedText } from './render/inspected.js';
export { inspectionText } from './render/inspection.js';
export { jobNews, jobsTable, jobText } from './render/jobs.js';
export { logText } from './render/log.js';
export { loopText } from './render/loop.js';
export { checkedLoopText } from './render/loop-check.js';
export { installedLoopText } from './render/loop-install.js';
export { loopsNext, loopsText } from './render/loop-status.js';
export { messageText, streamStatisticsText } from './render/message.js';
export { nvsMadeText, nvsText } from './render/nvs.js';
export { otadataText, partitionsText } from './render/partitions.js';
export { pictureText } from './render/picture.js';
export { runStateText, runStatusText, runsTable, runText, watchEventText } from './render/pipeline.js';
export { damageTable, dashboardText, platformNext, platformText, statusText } from './render/platform.js';
export { installedPlatformText } from './render/platform-install.js';
export { portsTable } from './render/ports.js';
export {
  afterProvisioning,
  fleetText,
  provisionedText,
  provisionWarnings,
  verifiedText,
} from './render/provisioned.js';
export { ociPushedText, pushedText } from './render/pushed.js';
export { quantizationText } from './render/quantization.js';
export { rankingText } from './render/ranking.js';
export { recordingsTable } from './render/recordings.js';
export { rehearsalsText } from './render/rehearsals.js';
export { renderedText } from './render/rendered.js';
export {
  deployedText,
  deployNotes,
  planText,
  rolloutReportText,
  rolloutStatusText,
  rolloutsTable,
  rolloutText,
} from './render/rollout.js';
export {
  importedRoutesText,
  installedText,
  listedRoutesText,
  routesEndText,
  testedRoutesText,
} from './render/routes.js';
export { schemaText } from './render/schema.js';
export { deviceSecretText } from './render/secret.js';
export { statisticsText } from './render/statistics.js';
export { cheatText, checkedText, createdText, lagText, loginsText, topicsText } from './render/streams.js';
export * from './render/style.js';
export { facts, next, table } from './render/text.js';
export * from './render/time.js';
export { searchText, trainingText } from './render/training.js';
export { signatureText, trustChangeText, trustStatusText } from './render/trust.js';
export { webhooksTable, webhookTestText, webhookText } from './render/webhooks.js';
export { historyTable, verifiedFacts, whyText } from './render/why.js';
export { openSecretUrl, reportFile, reportFlags } from './report.js';
export { roleFlag, scopeFlag } from './role-flag.js';
export { RolloutChangeCommand } from './rollout-command.js';
export { offlineNote, rolloutNews } from './rollout-news.js';
export { bridgeFlags, bridgeOptions, watchFlags, watchOptions } from './route-flags.js';
export { columnList, rowsFlags } from './rows-flags.js';
export { RunCommand } from './run-command.js';
export { runFlags } from './run-flags.js';
export { readSecret } from './secret.js';
export { sensorFlags } from './sensor-flags.js';
export { setFlag, variablesOf } from './set-flag.js';
export { type ExplainInput, explainSettings } from './settings/explain.js';
export { explainedSchema } from './settings/types.js';
export { flagVariables } from './settings/variables.js';
export { otherSimulation, type Tell } from './simulations.js';
export { runSteps, type Step } from './steps.js';
export { brokerFlags, brokerOptions } from './stream-flags.js';
export { readFlags, readOptions, selectFlags, viewFlags } from './tail-flags.js';
export { createTailView } from './tail-view.js';
export { trainingFlags } from './training-flags.js';
export { rootKeyFlag, rootValidFlag, trustOutFlag } from './trust-flags.js';
export { namesOf, upFlags, upOptionsOf } from './up-flags.js';
export { watchEpochs } from './watch-epochs.js';

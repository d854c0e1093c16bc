/**
 * Recordings → a trained network → int8 → metrics on held-out recordings → a signed bundle. Devices and the loop use `createPredictor`.
 * Only training on a TensorFlow.js backend loads TensorFlow.js, and only evaluation loads LiteRT.
 */

export { boardMemory, modelMemoryOf, shortTypes } from './bundle/board-memory.js';
export { bundleProject } from './bundle/bundle-project.js';
export type { Detection } from './bundle/detections.js';
export { type DeviceNeed, deviceNeed } from './bundle/device-memory.js';
export { checkGolden } from './bundle/golden.js';
export {
  describeBundle,
  isSigned,
  packBundle,
  requireBundle,
  unpackAny,
  unpackBundle,
} from './bundle/pack.js';
export {
  createPredictor,
  type Invoker,
  type Prediction,
  type Predictor,
} from './bundle/predictor.js';
export {
  filesOf,
  packSigned,
  peekSigned,
  requireSameFiles,
  requireSameModel,
  type Verified,
  verifySigned,
} from './bundle/signed-bundle.js';
export type * from './bundle/types.js';
export { openEmbeddings } from './embeddings.js';
export { emits } from './emit/emit.js';
export { loadTfjs } from './engine/tfjs/load.js';
export { type EvaluationRequest, evaluateModel, evaluationSchema } from './evaluate/evaluate-model.js';
export { evaluateProject } from './evaluate/evaluate-project.js';
export { type Gate, gateError } from './evaluate/gates.js';
export { macroF1Of } from './evaluate/metrics.js';
export {
  type EvaluateResult,
  evaluateResultSchema,
  type FileEvaluation,
  fileEvaluationSchema,
  outputKinds,
  type Rejection,
  type SensorDrop,
} from './evaluate/result.js';
export { classifierFigures } from './evaluate/verdict.js';
export { buildFiles, modelName } from './files.js';
export { type ChipName, chipNames, chips } from './fit/chips.js';
export { fitModel, quantizedFile, refusalOf } from './fit/fit-model.js';
export { type ChipFit, type Fit, fitSchema } from './fit/result.js';
export {
  type ImportOptions,
  type ImportResult,
  importModel,
  importResultSchema,
} from './import/import-model.js';
export { compareModels } from './inspect/compare.js';
export { type Comparison, comparisonSchema } from './inspect/comparison.js';
export { explainRequest } from './inspect/explain.js';
export { type Explanation, explanationSchema } from './inspect/explanation.js';
export { inspectModel } from './inspect/inspect.js';
export { type Inspection, inspectionSchema } from './inspect/inspection.js';
export { openModelProject } from './material.js';
export {
  type GuidePushed,
  guideModelName,
  guideModelSchema,
  guideNetwork,
  guidePulledSchema,
  guidePushedSchema,
  guideSavedModel,
  listGuideModels,
  pullFromGuide,
  pushToGuide,
} from './publish/guide.js';
export {
  type OciPushed,
  ociPulledSchema,
  ociPushedSchema,
  pullFromOci,
  pushVersionToOci,
} from './publish/oci.js';
export { fetchModel, pullModel, pullResultSchema } from './publish/pull.js';
export {
  defaultDeviceTypes,
  isModelFile,
  manifestOf,
  networkBundle,
  type PushClient,
  type PushResult,
  pushFile,
  pushModel,
  pushResultSchema,
  release,
  signModel,
  signResultSchema,
} from './publish/push.js';
export { type PublishedRuns, publishedRunsSchema, publishRuns, pushProject } from './publish/runs.js';
export {
  isModelPath,
  readTrust,
  type VerifyResult,
  verifyFile,
  verifyModel,
  verifyResultSchema,
} from './publish/verify.js';
export { type Why, whyModel, whySchema } from './publish/why.js';
export { compileEdgeTpu, readEdgeTpu } from './quantize/edgetpu.js';
export { type QuantizeModelOptions, quantizeModel, targets } from './quantize/quantize-model.js';
export { quantizeProject } from './quantize/quantize-project.js';
export { calibrations, type QuantizeResult, quantizeResultSchema } from './quantize/result.js';
export { writeRunsReport } from './report/runs-page.js';
export { writeReport } from './report/write-report.js';
export {
  classOfLabel,
  type LabelledWindow,
  type Lesson,
  labelledWindows,
  retrainLastLayer,
  type Taught,
} from './retrain.js';
export {
  type BestRun,
  bestRunSchema,
  bestTrainingRun,
  compareTrainingRuns,
  type RunsComparison,
  runsComparisonSchema,
} from './runs/compare.js';
export { mainMetric, networkOf } from './runs/metrics.js';
export { type ExportedRuns, exportedRunsSchema, exportMlflow } from './runs/mlflow.js';
export {
  adoptTrainingRuns,
  listTrainingRuns,
  removedRunsSchema,
  removeTrainingRuns,
  runsToRemove,
  type ShownRun,
  shownRunSchema,
  showTrainingRun,
  type TrainingRun,
  trainingRunSchema,
} from './runs/record.js';
export {
  type Candidate,
  type Suggestions,
  suggestInStream,
  suggestionsSchema,
  suggestRecordings,
} from './suggest.js';
export { configDigestOf, trainingConfig } from './train/lineage.js';
export {
  type FoldsFile,
  type SearchFile,
  searchFileSchema,
  type TrainResult,
  trainResultSchema,
} from './train/result.js';
export { type TrainRequest, trainedSchema, trainModel } from './train/train-model.js';
export { trainProject } from './train/train-project.js';
export type { EpochFigures } from './train/types.js';
export { createMajority, createVote } from './vote.js';

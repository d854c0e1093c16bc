/**
 * Recordings → a trained network → int8 → figures on recordings never trained on → a signed bundle. Devices and the loop use
 * `createPredictor`; TensorFlow.js is loaded by training on its backends alone, LiteRT by evaluation alone.
 */

export { describeBundle } from './bundle/brief.js';
export { bundleProject } from './bundle/bundle-project.js';
export { filesOf } from './bundle/describe.js';
export { checkGolden } from './bundle/golden.js';
export { isSigned, packBundle, unpackAny, unpackBundle } from './bundle/pack.js';
export { createPredictor, type Invoker, type Prediction, type Predictor } from './bundle/predictor.js';
export { packSigned, requireSameModel, type Verified, verifySigned } from './bundle/signed.js';
export type * from './bundle/types.js';
export { type Emit, emits } from './emit/emit.js';
export { loadTfjs } from './engine/tfjs/load.js';
export { type EvaluationRequest, evaluateModel, evaluationSchema } from './evaluate/evaluate-model.js';
export { evaluateProject } from './evaluate/evaluate-project.js';
export { type Gate, gateError } from './evaluate/gates.js';
export { classifierFigures } from './evaluate/judge.js';
export { macroF1Of } from './evaluate/metrics.js';
export {
  type EvaluateResult,
  evaluateResultSchema,
  type FileEvaluation,
  fileEvaluationSchema,
  outputKinds,
} from './evaluate/result.js';
export { fetchModel } from './fetch.js';
export { buildFiles, modelName } from './files.js';
export { type ChipName, chipNames, chips } from './fit/chips.js';
export { fitModel, refusalOf } from './fit/fit-model.js';
export { type ChipFit, type Fit, fitSchema } from './fit/result.js';
export { guideModelName, guideNetwork, guideSavedModel } from './guide/network.js';
export {
  type GuideModel,
  type GuidePulled,
  guideModelSchema,
  guidePulledSchema,
  listGuideModels,
  pullFromGuide,
} from './guide/pull.js';
export { type GuidePushed, guidePushedSchema, pushToGuide } from './guide/push.js';
export {
  type ImportOptions,
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
export * from './oci/index.js';
export { pullModel, pullResultSchema } from './pull.js';
export {
  defaultDeviceTypes,
  type PushClient,
  type PushResult,
  pushFile,
  pushModel,
  pushResultSchema,
} from './push.js';
export { isModelFile } from './push-file.js';
export { compileEdgeTpu, type EdgeTpu, readEdgeTpu } from './quantize/edgetpu.js';
export { type QuantizeModelOptions, quantizeModel, targets } from './quantize/quantize-model.js';
export { quantizeProject } from './quantize/quantize-project.js';
export { type QuantizeResult, quantizeResultSchema } from './quantize/result.js';
export { calibrations } from './quantize/types.js';
export { manifestOf, release } from './release.js';
export { writeReport } from './report/write-report.js';
export { signModel, signResultSchema } from './sign.js';
export { classOfLabel, type LabelledWindow, type Lesson, labelledWindows } from './teach/lesson.js';
export { type RetrainOptions, retrainLastLayer, type Taught } from './teach/retrain.js';
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
export { readTrust } from './trust.js';
export { isModelPath, type VerifyResult, verifyFile, verifyModel, verifyResultSchema } from './verify.js';
export { type Why, whyModel, whySchema } from './why.js';

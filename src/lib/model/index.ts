/**
 * Recordings → a trained network → int8 → figures on recordings never trained on → a signed bundle. Devices and the loop use
 * `createPredictor`; TensorFlow is loaded by training alone, LiteRT by evaluation alone.
 */
export { type BundleOptions, bundleProject } from './bundle/bundle-project.js';
export { checkGolden, type GoldenCheck } from './bundle/golden.js';
export { bundleInfoSchema } from './bundle/info-schema.js';
export { packBundle, unpackBundle } from './bundle/pack.js';
export { createPredictor, type Prediction, type Predictor } from './bundle/predictor.js';
export type * from './bundle/types.js';
export { createVote, type Vote, voteAll } from './bundle/vote.js';
export { type EvaluateOptions, evaluateProject } from './evaluate/evaluate-project.js';
export { gateError, gateText } from './evaluate/gates.js';
export { type ClassFigures, classFigures, confusionOf, macroF1Of, metricsOf } from './evaluate/metrics.js';
export { type EvaluateResult, evaluateResultSchema } from './evaluate/result.js';
export type { Gate } from './evaluate/types.js';
export { buildFiles, modelName } from './files.js';
export { type Inspection, inspectionSchema, inspectModel } from './inspect/inspect.js';
export { type PushClient, type PushOptions, type PushResult, pushModel, pushResultSchema } from './push.js';
export { quantizeGraph } from './quantize/quantize-graph.js';
export {
  type QuantizeOptions,
  type QuantizeResult,
  quantizeProject,
  quantizeResultSchema,
} from './quantize/quantize-project.js';
export type { ReportLive, ReportOptions } from './report/types.js';
export { writeReport } from './report/write-report.js';
export { loadTensorFlow } from './train/tensorflow.js';
export {
  type TrainOptions,
  type TrainResult,
  trainProject,
  trainResultSchema,
} from './train/train-project.js';
export type { EpochFigures } from './train/types.js';

/** Datasets: record, import, open, label, split, check. A recording is one take by one device, and stays whole. */
export { checkDataset } from './check/check.js';
export type { Ranges } from './check/values.js';
export { type CopyPair, copiesIn } from './copies/index.js';
export { sampleCount } from './count.js';
export { type ImportOptions, type ImportResult, importRecordings, importResultSchema } from './import.js';
export {
  type CheckReport,
  checkProject,
  checkReportSchema,
  findingSchema,
  rangesOf,
  showRecording,
  summarizeProject,
} from './inspect.js';
export { type MotorState, motorFields, motorStates } from './motor/physics.js';
export { type MotorOptions, motorSamples } from './motor/samples.js';
export { simulateMotor } from './motor/simulate.js';
export { dataFolderOf, datasetOf, openDataset } from './open.js';
export { type PullOptions, type PullResult, pullDataset } from './pull.js';
export { listRecordings, saveRecordings } from './save.js';
export { splitDataset } from './split/split.js';
export { type RecordOptions, type RecordResult, recordResultSchema, recordStream } from './stream/record.js';
export {
  type DatasetSummary,
  datasetSummary,
  type RecordingDetail,
  type RecordingLine,
  recordingDetailSchema,
  recordingLineSchema,
  summarySchema,
} from './summary.js';
export type * from './types.js';

/** Datasets: record, import, open, label, split, check. A recording is one take by one device, and stays whole. */
export { checkDataset } from './check/check.js';
export { checkPath } from './check/path.js';
export { type CheckReport, checkReportSchema } from './check/report.js';
export { checkSplit, leakError } from './check/split.js';
export { copiesIn } from './copies/index.js';
export { sampleCount } from './count.js';
export { compareData, type DriftOptions } from './drift/drift.js';
export { writeDriftReport } from './drift/report/write-report.js';
export { type Drift, driftSchema } from './drift/result.js';
export { type Extracted, extractData, extractedSchema, extractSources } from './extract.js';
export { type FeaturesResult, featuresResultSchema, makeFeatures } from './features/make.js';
export { importRecordings, importResultSchema } from './import.js';
export { checkProject, rangesOf, showRecording, summarizeProject } from './inspect.js';
export { assumedHz, type LabelFrom, type Loose, openLoose } from './loose/open.js';
export { type MotorState, motorFields, motorStates } from './motor/physics.js';
export { motorDecimals, motorRecordings } from './motor/recordings.js';
export { motorSamples } from './motor/samples.js';
export { simulateMotor } from './motor/simulate.js';
export { datasetOf, expectedOf, openDataset } from './open.js';
export { pullDataset } from './pull.js';
export { type RollingOptions, rollRecording } from './rolling.js';
export { listRecordings, saveRecordings } from './save.js';
export { dataSchema } from './schema/schema.js';
export { type SchemaResult, schemaResultSchema } from './schema/types.js';
export { splitDataset } from './split/split.js';
export { type Part, partSizes, windowParts } from './split/windows.js';
export { type Statistics, statisticsSchema } from './statistics/result.js';
export { dataStatistics } from './statistics/statistics.js';
export { recordResultSchema, recordStream } from './stream/record.js';
export {
  type RecordingLine,
  recordingDetailSchema,
  summarySchema,
} from './summary.js';
export {
  missingLabels,
  mostKinds,
  openTable,
  openTableFile,
  type Table,
  type TableFile,
  type TableRows,
  type TableShape,
} from './table.js';
export type * from './types.js';

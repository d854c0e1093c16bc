/** Datasets: recording, import, opening, labels, splits, checks. A recording is one take by one device, and is never divided. */
export { checkBand } from './check/band.js';
export { checkDataset } from './check/check.js';
export { checkSplit, leakError } from './check/copies.js';
export { checkPath } from './check/files.js';
export { checkProject } from './check/project.js';
export { rangesOf } from './check/recordings.js';
export { type CheckReport, checkReportSchema, findingCounts } from './check/report.js';
export { checkTimes } from './check/times.js';
export { copiesIn } from './copies/copies.js';
export { datasetOf, expectedOf, openDataset, sampleCount } from './dataset/open.js';
export { pullDataset, type StreamRecording, streamRecordings } from './dataset/pull.js';
export { isPicture, pictureColumns, soundColumns, withoutExtension } from './dataset/read.js';
export { isSound, readSound } from './dataset/sound.js';
export {
  type DatasetSummary,
  type RecordingDetail,
  type RecordingLine,
  recordingDetailSchema,
  showRecording,
  summarizeProject,
  summarySchema,
} from './dataset/summary.js';
export {
  type LabelledInProject,
  labelInProject,
  labelledInProjectSchema,
  listRecordings,
  type RemovedFromProject,
  removedFromProjectSchema,
  removeFromProject,
  rollRecording,
  saveRecordings,
} from './dataset/write.js';
export { compareData } from './drift/drift.js';
export {
  addSamples,
  type ModelReference,
  modelReference,
  modelReferenceSchema,
  noSignal,
  type ReferencePart,
  type SignalDrift,
  type SignalState,
  type SignalWindow,
  windowsKept,
} from './drift/model-reference.js';
export { writeDriftReport } from './drift/report.js';
export { type Drift, driftSchema } from './drift/result.js';
export { accelerationAxis, type ChosenFeatures, chooseFeatures } from './features/choose.js';
export { type FeaturesResult, featuresResultSchema, makeFeatures } from './features/make.js';
export {
  type MotorState,
  motorDecimals,
  motorFields,
  motorRecordings,
  motorSamples,
  motorStates,
  simulateMotor,
} from './motor.js';
export { type Part, partSizes, windowParts } from './parts.js';
export { dataSchema, type SchemaResult, schemaResultSchema } from './schema.js';
export { boxUses } from './sources/boxes.js';
export { type Extracted, extractData, extractedSchema, extractSources } from './sources/extract.js';
export { importRecordings, importResultSchema } from './sources/import.js';
export { recordResultSchema, recordStream } from './sources/record.js';
export {
  noiseLabel,
  packedRecordings,
  type Synthesis,
  synthesisSchema,
  synthesizeWords,
  usualOthers,
} from './speech.js';
export { splitDataset } from './split.js';
export { dataStatistics, type Statistics, statisticsSchema } from './statistics.js';
export {
  fieldNames,
  fieldsOfColumns,
  rolesInFile,
  type TimeColumn,
  timeColumnOf,
  timeColumnSchema,
} from './tables/columns.js';
export { readLooseFile } from './tables/loose-file.js';
export {
  assumedHz,
  type LabelFrom,
  type Loose,
  openLoose,
} from './tables/loose-recordings.js';
export type { Rows } from './tables/rows.js';
export {
  missingLabels,
  mostKinds,
  openTable,
  openTableFile,
  type Table,
  type TableFile,
  type TableShape,
  withoutTimes,
} from './tables/table.js';
export { type DrawnPictures, drawnPicturesSchema, drawPictures, drawTray, trayParts } from './tray.js';
export type * from './types.js';
export {
  accelerationUnitNamed,
  accelerationUnitOf,
  type Conversion,
  conversionOf,
  quantityOf,
} from './units.js';

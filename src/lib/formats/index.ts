/**
 * Bytes ↔ objects, pure: no file, no network, no clock. A damaged input is refused with the place and the reason.
 */
export { type LabelledTable, type NumericTable, parseCsv, parseLabelledCsv } from './csv/parse.js';
export { writeCsv } from './csv/write.js';
export * from './manifest/manifest.js';
export * from './tflite/index.js';

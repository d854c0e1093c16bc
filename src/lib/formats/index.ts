/**
 * Bytes ↔ objects, pure: no file, no network, no clock. A damaged input is refused with the place and the reason.
 */
export { firstName, type Member, readArchive, writeArchive } from './archive/archive.js';
export { cborLimits, decodeCbor } from './cbor/decode.js';
export { CborError } from './cbor/error.js';
export type { ColumnUse } from './csv/column-store.js';
export { type Column, mostWords, type NumberColumn, type TextColumn } from './csv/column-types.js';
export { createColumnsReader } from './csv/columns.js';
export {
  type BadCell,
  csvColumns,
  parseCsv,
  parseLabelledCsv,
  parseMixedCsv,
} from './csv/parse.js';
export { type CsvRecord, csvRecords } from './csv/records.js';
export { createTableReader, parseTable, type Table, type TableRows, type TableShape } from './csv/table.js';
export { writeCsv, writeTable } from './csv/write.js';
export * from './delta/index.js';
export * from './device-config/device-config.js';
export * from './elf/index.js';
export * from './esp-image/index.js';
export * from './html/index.js';
export { readIntelHex, writeIntelHex } from './intel-hex/intel-hex.js';
export { type JunitCase, junitXml } from './junit/write.js';
export * from './manifest/birth.js';
export * from './manifest/envelope.js';
export * from './manifest/manifest.js';
export * from './manifest/model-part.js';
export {
  cosign,
  type HeldRoot,
  heldTrust,
  nextRoot,
  type Root,
  type RootRole,
  roleReplaced,
  rootIn,
  rootRoles,
  rootSchema,
  trustOf,
} from './manifest/root.js';
export * from './manifest/timestamp.js';
export * from './nvs/index.js';
export * from './otadata/index.js';
export * from './partitions/index.js';
export * from './saved-model/index.js';
export * from './tflite/index.js';
export { readUf2, type Uf2Options, writeUf2 } from './uf2/uf2.js';
export { readZip } from './zip/read-zip.js';
export { writeZip } from './zip/write-zip.js';

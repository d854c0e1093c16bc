/**
 * Conversion between bytes and objects. Pure: no access to files, the network or the clock. Errors for damaged input contain the position
 * and the reason.
 */
export { firstContents, firstName, type Member, readArchive, writeArchive } from './archive.js';
export { CborError, decodeCbor } from './cbor.js';
export {
  type CrashPlace,
  type CrashReport,
  crashKinds,
  crashSchema,
  largestCrash,
  placesOfStack,
} from './crash.js';
export {
  type BadCell,
  type Column,
  createCommaSeparated,
  type NumberColumn,
  type Separators,
  separatorsOf,
  type TextColumn,
} from './csv/cells.js';
export { type ColumnUse, createColumnsReader } from './csv/columns.js';
export { csvColumns, parseCsv, parseLabelledCsv, parseMixedCsv } from './csv/parse.js';
export { csvRecords } from './csv/records.js';
export {
  createTableReader,
  groupColumns,
  parseTable,
  type Table,
  type TableRows,
  type TableShape,
  writeCsv,
  writeTable,
} from './csv/table.js';
export { DeltaDecoder } from './delta/apply.js';
export { createDelta, createDeltaInSteps } from './delta/patch.js';
export {
  type DeviceConfig,
  defaultDeviceConfig,
  deviceConfigSchema,
  readDeviceConfig,
  sampleGroup,
} from './device-config.js';
export {
  fuseAddresses,
  highestSecureVersion,
  type JtagState,
  lockWords,
  purposeName,
  type SecurityFuses,
  securityFuses,
  setBits,
} from './efuse.js';
export {
  type BurnLayout,
  blockLock,
  blockOffset,
  blockWords,
  burnLayouts,
  checkBytesOf,
  type FuseName,
  firstKeyBlock,
  fuseCommands,
  fuseRegisters,
  keyBlockCount,
} from './efuse-burn.js';
export {
  buildIdOf,
  type ElfFile,
  findSection,
  readAnyElf,
  readElf,
  readProgram,
  sectionTypes,
} from './elf/read.js';
export { symbolize } from './elf/symbolize.js';
export { functionsOf } from './elf/symbols.js';
export { elfUsage } from './elf/usage.js';
export {
  type ChipName,
  chipNames,
  chipOfId,
  espChips,
  type FlashFrequency,
  type FlashSize,
  flashFrequencies,
  flashModes,
  flashSizeBytes,
  flashSizes,
  frequenciesOf,
} from './esp-image/chips.js';
export { flashPages, isMapped } from './esp-image/memory.js';
export { type EspImage, imageStartBytes, readEspImage, readImageStart } from './esp-image/read.js';
export { type ByteRegion, joinRegions, mergeImages, refuseOverlaps } from './esp-image/regions.js';
export {
  type BootKeyKind,
  type BootSignature,
  type BootSigner,
  bootHash,
  bootKeyDigest,
  bootKeyKind,
  bootKeyKinds,
  bootSignatures,
  keySigner,
  signedImage,
  signForBoot,
  signForBootV1,
} from './esp-image/secure-boot.js';
export { type ElfImageOptions, type FlashParameters, imageOfElf, patchEspImage } from './esp-image/write.js';
export { cryptFlash } from './flash-encryption.js';
export { Html, html, htmlTable, reportPage } from './html.js';
export {
  barChart,
  checkList,
  confusionTable,
  factList,
  histogram,
  legend,
  lineChart,
  type Paint,
  parallelChart,
  stackChart,
  tileRow,
} from './html-charts.js';
export {
  decodeTexts,
  encodeImprov,
  encodeTexts,
  type ImprovPacket,
  ImprovReader,
  type ImprovState,
  improvCommands,
  improvError,
} from './improv.js';
export { readIntelHex, writeIntelHex } from './intel-hex.js';
export { type JunitCase, junitXml } from './junit.js';
export { type Birth, type BirthChip, birthSchema, signBirth, verifyBirth } from './manifest/birth.js';
export {
  type Envelope,
  envelopeSchema,
  signPayload,
  type TrustRoot,
  trustRootOf,
  trustRootSchema,
  validSigners,
} from './manifest/envelope.js';
export {
  type BundleFile,
  firmwareInterfaces,
  type Manifest,
  type ModelPart,
  manifestSchema,
  type NetworkMode,
  networkModes,
  newestInterface,
  peekManifest,
  signManifest,
  type UnsignedManifest,
  verifyManifest,
} from './manifest/manifest.js';
export {
  cosign,
  type HeldRoot,
  heldTrust,
  mostReleases,
  nextRoot,
  payloadDigest,
  type Root,
  type RootRole,
  roleReplaced,
  rootIn,
  rootRoles,
  rootSchema,
  type Timestamp,
  timestampSchema,
  trustOf,
  unpublished,
  verifyTimestamp,
} from './manifest/root.js';
export {
  decryptMcuboot,
  isMcuboot,
  type McubootDependency,
  type McubootImage,
  type McubootKeyKind,
  type McubootOptions,
  type McubootSignature,
  type McubootTlv,
  type McubootVersion,
  mcubootKeyKind,
  mcubootKeyKinds,
  mcubootSignatures,
  mcubootVersionText,
  parseMcubootVersion,
  readMcuboot,
  writeMcuboot,
} from './mcuboot.js';
export { curveNkey, isNkey, nkeySeed, readSignedClaims, type SigningNkey, signingNkey } from './nkey.js';
export { decryptNvs, encryptNvs, nvsKeyBytes, nvsKeysInUse, readNvsKeys, writeNvsKeys } from './nvs/crypt.js';
export { parseNvsCsv, writeNvsCsv } from './nvs/csv.js';
export { nvsKeysOfHmac } from './nvs/hmac.js';
export { readNvs } from './nvs/read.js';
export {
  entryStates,
  type NvsEntry,
  type NvsItem,
  type NvsVersion,
  nvsEntries,
  nvsEntryBytes,
  nvsFirstEntry,
  nvsNumbers,
  nvsPageBytes,
  nvsPageStates,
  nvsVersions,
} from './nvs/types.js';
export { writeNvs } from './nvs/write.js';
export {
  blankOtadata,
  firstOtadata,
  nextOtadata,
  type OtaState,
  otadataBytes,
  otadataEntries,
  otadataSector,
  otaStateNames,
  readOtadata,
} from './otadata.js';
export {
  checkPartitions,
  otaSlots,
  type Partition,
  type PartitionTable,
  parsePartitionsCsv,
  partitionProblems,
  partitionSubtypeName,
  partitionSubtypes,
  partitionTableBytes,
  partitionTableOffset,
  partitionTableSector,
  partitionTypeName,
  partitionTypes,
  readPartitionTable,
  sectorBytes,
  writePartitionsCsv,
  writePartitionTable,
} from './partitions.js';
export {
  encodeLogin,
  encodeLoginProof,
  encodeScanResultsRequest,
  encodeScanStart,
  encodeScanStatusRequest,
  encodeWifiApply,
  encodeWifiSettings,
  encodeWifiStatusRequest,
  ProtocommCipher,
  protocommNonceBytes,
  protocommStatus,
  readLogin,
  readLoginProof,
  readScanResults,
  readScanStatus,
  readWifiDone,
  readWifiProgress,
} from './protocomm.js';
export { writeSavedModel } from './saved-model.js';
export { descriptorOf } from './schemas/protobuf.js';
export {
  type CompatibilityLevel,
  compatibilityLevels,
  incompatibilities,
  largestSchema,
  type ParsedSchema,
  parseSchema,
  SchemaError,
  type SchemaType,
  schemaTypes,
} from './schemas/schema.js';
export { protocommGroup, SrpClient, sameProof } from './srp.js';
export { checkGraph, checkQuantization, scalesAlike } from './tflite/check.js';
export {
  type Forest,
  forestGraph,
  forestIn,
  keyOfBits,
  keyValue,
  orderKey,
  type RealTree,
  sumLeaves,
} from './tflite/forest.js';
export {
  type Activation,
  elementBytes,
  elementCount,
  type Graph,
  hasForest,
  hasFrontEnd,
  hasState,
  isEmpty,
  type Operator,
  type OperatorName,
  type OperatorOptions,
  type Padding,
  type Quantization,
  type Tensor,
  type TensorType,
  tensorTypeCode,
  withoutUnused,
  zeros,
} from './tflite/graph.js';
export { readMetadata, writeMetadata } from './tflite/metadata.js';
export { activationPlaces, fixedScale, operatorRows, rowOf, statesOf } from './tflite/operators.js';
export { type Outline, outlineTflite } from './tflite/outline.js';
export { importTflite, readTflite } from './tflite/read.js';
export {
  float16Value,
  float16Words,
  largestFloat16,
  realTensor,
  withFloatConstants,
  withRealValues,
} from './tflite/real-values.js';
export { sliceAxes } from './tflite/shapes.js';
export { operatorVersions, writeTflite } from './tflite/write.js';
export {
  isUf2,
  parseUf2,
  readUf2,
  type Uf2Family,
  type Uf2Program,
  uf2Families,
  uf2FamiliesOfBoard,
  uf2Family,
  writeUf2,
  writeUf2Program,
} from './uf2.js';
export { type BootReason, type Heap, heapSchema, type Vitals, vitalsSchema } from './vitals.js';
export { pcm16, readWav, type Sound, writeWav } from './wav.js';
export { readXml, type XmlElement } from './xml.js';
export { readZip, writeZip } from './zip.js';

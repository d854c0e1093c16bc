/**
 * Access to a board by cable: serial lines, the chip's ROM loader, the write plan and the monitor, and a simulated chip to test them
 * with. Identities are created elsewhere.
 */
export {
  type BoardDumped,
  type BoardErased,
  type BoardLoaded,
  type BoardRead,
  type BoardRun,
  type BoardVerified,
  boardDumpedSchema,
  boardErasedSchema,
  boardLoadedSchema,
  boardReadSchema,
  boardRunSchema,
  boardVerifiedSchema,
  dumpBoard,
  eraseBoard,
  loadBoardRam,
  readBoard,
  runBoard,
  verifyBoard,
} from './board.js';
export { type BoardInfo, boardInfo, boardInfoSchema } from './board-info.js';
export { isReadable, lastWords } from './diagnosis.js';
export { createImage, type ImageInfo, imageInfo, imageInfoSchema, patchImage } from './images/image-info.js';
export { type Inspected, inspectedSchema, inspectFirmware } from './images/inspect.js';
export {
  type McubootInfo,
  mcubootInfoSchema,
  type SignedMcuboot,
  type SignMcubootRequest,
  signedMcubootSchema,
  signMcuboot,
} from './images/mcuboot.js';
export { type Merged, mergedSchema, mergeFiles, mergeFormats } from './images/merge.js';
export {
  createNvs,
  type NvsMade,
  type NvsRead,
  nvsMadeSchema,
  nvsReadSchema,
  readNvsFile,
} from './images/nvs.js';
export {
  createOtadata,
  createPartitions,
  type OtadataShown,
  otadataSchema,
  type Partitions,
  partitionsSchema,
  readOtadataFile,
  readPartitions,
} from './images/partitions.js';
export {
  bootSchemes,
  type Crypted,
  cryptedSchema,
  cryptImage,
  type KeyDigest,
  keyDigest,
  keyDigestSchema,
  type SignedImage,
  signedImageSchema,
  signImage,
  type VerifiedImage,
  verifiedImageSchema,
  verifyImage,
} from './images/sign.js';
export { createWebInstaller, type WebInstaller, webInstallerSchema } from './images/web-installer.js';
export { openLoader } from './loader/open-loader.js';
export { resetBoard } from './loader/reset.js';
export type {
  AfterMode,
  BeforeMode,
  ChipInfo,
  Loader,
  LoaderOptions,
  LoaderProgress,
  RegionResult,
} from './loader/types.js';
export {
  type BoardLocked,
  boardLockedSchema,
  type LockOptions,
  type LockRequest,
  lockBoard,
} from './lock/lock.js';
export { allLockParts, type LockPart, lockParts } from './lock/plan.js';
export type { CrashFrame } from './monitor/crashes.js';
export { type Level, levels, type MonitorEvent, monitorEventSchema } from './monitor/events.js';
export { lineEnds, type MonitorControl, type MonitorOptions, monitor } from './monitor/monitor.js';
export { parsePattern } from './monitor/pattern.js';
export { offsetOf } from './plan/pieces.js';
export { type BoardDrive, driveSchema, listDrives } from './port/drives.js';
export type { SerialLine } from './port/line.js';
export { choosePort, listPorts, type PortInfo, portSchema, withoutPasswords } from './port/list.js';
export { openLine } from './port/open-line.js';
export { returnMs } from './port/returning-line.js';
export { describeServeEvent, serveEventSchema, servePort } from './port/rfc2217-server.js';
export { startFaultNames } from './rom/control.js';
export { type SimulatedChipName, simulatedChipNames } from './rom/identity.js';
export {
  chipEventSchema,
  describeChipEvent,
  type SimulateChipOptions,
  simulateChip,
} from './rom/simulate.js';
export { type BoardSecurity, boardSecurity, boardSecuritySchema, securityProfiles } from './security.js';
export {
  type BoardImages,
  boardImagesSchema,
  boardResetSchema,
  boardShellSchema,
  boardStatisticsSchema,
  confirmBoardImage,
  eraseBoardImage,
  type InstalledImage,
  installBoardImage,
  installedImageSchema,
  listBoardImages,
  readBoardStatistics,
  restartBoard,
  runBoardShell,
  type SmpBoardOptions,
  testBoardImage,
  type UploadedImage,
  uploadBoardImage,
  uploadedImageSchema,
} from './smp/boards.js';
export { programOn } from './write/flash-board.js';
export { type DriveFlashed, driveFlashedSchema } from './write/flash-drive.js';
export type { LockAsked } from './write/flash-production.js';
export {
  type Boards,
  type Flashed,
  flashResultSchema,
  type Planned,
  type ProductionFlashed,
  toPrevious,
  unhealthy,
} from './write/result.js';
export type { BoardRow } from './write/run-flash.js';
export { type FlashRequest, runFlash } from './write/run-flash.js';

/** Application and bootloader images of the ESP32 family: read and checked, patched, made from segments or an ELF. */
export * from './chips.js';
export type { AppDescription, BootloaderDescription } from './description.js';
export {
  type FlashFrequency,
  type FlashMode,
  type FlashSize,
  flashFrequencies,
  flashModes,
  flashSizeBytes,
  flashSizes,
  frequenciesOf,
} from './flash-parameters.js';
export { type ElfImageOptions, imageOfElf } from './from-elf.js';
export { flashPages, isMapped, type MemoryType, memoryTypes } from './memory.js';
export { type MergeOptions, mergeImages, refuseOverlaps } from './merge.js';
export { type FlashParameters, patchEspImage } from './patch.js';
export { type EspImage, type ImageSegment, readEspImage } from './read.js';
export { type ByteRegion, firstOverlap, joinRegions } from './regions.js';

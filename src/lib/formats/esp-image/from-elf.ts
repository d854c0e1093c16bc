import { AiotError } from '../../core/index.js';
import { type ElfFile, readElf, sectionData } from '../elf/read.js';
import { sha256 } from './checksum.js';
import { type ChipName, espChips } from './chips.js';
import { readAppDescription } from './description.js';
import { hex } from './errors.js';
import {
  type FlashFrequency,
  type FlashMode,
  type FlashSize,
  flashModes,
  flashSizes,
} from './flash-parameters.js';
import { maximumSegments, segmentHeaderBytes, writeHeader, writeProtectDisabled } from './header.js';
import { layoutOf, padding, refuseSharedPages, writeInterleaved, writeRamFirst } from './layout.js';
import { flashPages, isMapped } from './memory.js';
import { requireFrequency } from './patch.js';
import { alignUp, joinAdjacent, type Piece, piecesOf, unfit } from './pieces.js';
import { ImageWriter } from './writer.js';

export interface ElfImageOptions {
  chip: ChipName;
  /** Default qio, 1MB and the chip's half speed, which every board starts with; `aiot flash` sets the board's own. */
  mode?: FlashMode;
  size?: FlashSize;
  frequency?: FlashFrequency;
  /** Chip revisions that may run it, major · 100 + minor. Default 0 and 65535: any. */
  minRevision?: number;
  maxRevision?: number;
  /** Bytes of a page of the flash cache; default: what the application description says, else the chip's default. */
  pageBytes?: number;
  /** Append a SHA-256 (default true). */
  hash?: boolean;
  /** Take the ELF's PT_LOAD segments instead of its sections. */
  useSegments?: boolean;
  /** Fill with 0xFF to a multiple of this many bytes. */
  padTo?: number;
  /** Pad so that a secure-boot signature (version 1: ESP32 only) ends at, or version 2 begins at, a page's border. */
  securePad?: 1 | 2;
  /** RAM segments first and alone in the count, as for a bootloader that maps the rest itself. No hash. */
  ramOnlyHeader?: boolean;
  /** Offset in the image for the ELF's SHA-256; default: in the application description. */
  elfHashOffset?: number;
}

const elfHashInDescription = 0xb0;
/** What follows the checksum before the border: the hash; in version 1 also version, signature and 12 bytes to align. */
const afterChecksum = { 1: 32 + 4 + 64 + 12, 2: 32 };

/**
 * The image that a chip boots, byte for byte what esptool's elf2image makes. Source: ESP-IDF, "App Image Format".
 * @throws AIOT_IMAGE_MALFORMED (the ELF is damaged, or does not fit the format); AIOT_USAGE (options the chip does not have)
 */
export function imageOfElf(bytes: Uint8Array, options: ElfImageOptions, what = 'ELF file'): Uint8Array {
  const { chip } = options;
  const elf = readElf(bytes, what);
  const frequency = options.frequency === undefined ? 0 : requireFrequency(chip, options.frequency);
  if (options.securePad === 1 && chip !== 'esp32') {
    throw new AiotError('AIOT_USAGE', 'secure boot version 1 is of the ESP32 alone', {
      next: 'Use version 2.',
    });
  }
  requireMachine(elf, chip);
  const page = pageOf(elf, options);
  const pieces = requirePieces(elf, options);
  const hashAppended = options.hash !== false && options.ramOnlyHeader !== true;
  if (options.securePad !== undefined && !hashAppended) {
    throw new AiotError('AIOT_USAGE', 'an image that is to be signed needs its SHA-256 appended');
  }
  const writer = new ImageWriter(elfHashOf(elf, options));
  const layout = layoutOf(chip, pieces);
  refuseSharedPages(layout.flash, page);
  let count: number | null = null;
  if (options.ramOnlyHeader) count = writeRamFirst(writer, chip, layout, page);
  else {
    writeInterleaved(writer, chip, layout, page);
    if (options.securePad !== undefined) {
      const taken = writer.length + segmentHeaderBytes + 16 + afterChecksum[options.securePad];
      // The rest of the row of 16 that the checksum ends is counted as a whole row, which the alignment of the pad makes true.
      writer.segment(padding((page - (taken % page)) % page));
    }
    writer.addChecksum();
  }
  if (options.elfHashOffset !== undefined && !writer.hashPlaced) {
    throw new AiotError(
      'AIOT_USAGE',
      `offset ${hex(options.elfHashOffset)} for the ELF's SHA-256 lies in no segment`,
    );
  }
  const image = writer.bytes();
  image.set(
    writeHeader({
      chip,
      segments: requireCount(count ?? writer.segments),
      mode: flashModes.indexOf(options.mode ?? 'qio'),
      size: flashSizes.indexOf(options.size ?? '1MB'),
      frequency,
      entry: elf.entry,
      writeProtectPin: writeProtectDisabled,
      drive: [0, 0, 0],
      minRevisionOld: 0,
      minRevision: options.minRevision ?? 0,
      maxRevision: options.maxRevision ?? 0xffff,
      hashAppended,
    }),
  );
  return filled(hashAppended ? Buffer.concat([image, sha256(image)]) : image, options.padTo);
}

function requireMachine(elf: ElfFile, chip: ChipName): void {
  const machine = espChips[chip].machine;
  if (elf.machine === machine) return;
  const names = { xtensa: 'Xtensa', riscv: 'RISC-V' };
  throw unfit(
    `${elf.what} is for ${names[elf.machine]}, an ${chip} is ${names[machine]}`,
    'Name the chip that it was built for with --chip.',
  );
}

function requirePieces(elf: ElfFile, options: ElfImageOptions): Piece[] {
  const found = piecesOf(elf, options.useSegments === true);
  const ordered = options.ramOnlyHeader ? found.toSorted((a, b) => a.address - b.address) : found;
  const pieces = joinAdjacent(options.chip, ordered, options.ramOnlyHeader === true);
  if (pieces.length === 0)
    throw unfit(`${elf.what} has nothing to load: no section with data and an address`);
  requireCount(pieces.length);
  return pieces;
}

function requireCount(count: number): number {
  if (count <= maximumSegments) return count;
  throw unfit(`it needs ${count} segments, an image has at most ${maximumSegments}`);
}

function pageOf(elf: ElfFile, { chip, pageBytes }: ElfImageOptions): number {
  const pages = flashPages(chip);
  const [standard = 0x10000] = pages;
  if (pageBytes !== undefined) return requirePage(chip, pageBytes);
  const section = elf.sections.find(({ name }) => name.includes('.flash.appdesc'));
  if (section === undefined || pages.length === 1 || !isMapped(chip, section.address)) return standard;
  const app = readAppDescription(sectionData(elf, section));
  if (app === null) return standard;
  if (app.pageBytes !== null) return requirePage(chip, app.pageBytes);
  // Old builds do not say; the description then lies right behind the image's and the segment's header in a page.
  const descending = pages.toSorted((a, b) => b - a);
  return descending.find((page) => (section.address - 32) % page === 0) ?? standard;
}

function requirePage(chip: ChipName, page: number): number {
  const pages = flashPages(chip);
  if (pages.includes(page)) return page;
  const sizes = pages.map((bytes) => `${bytes / 1024} KiB`).join(', ');
  throw new AiotError('AIOT_USAGE', `an ${chip} has no flash pages of ${page / 1024} KiB`, {
    next: `It has ${sizes}.`,
  });
}

function elfHashOf(elf: ElfFile, options: ElfImageOptions) {
  if (options.elfHashOffset !== undefined) return { offset: options.elfHashOffset, hash: sha256(elf.bytes) };
  if (options.useSegments) return null;
  const app = piecesOf(elf, false).find(({ name }) => name.includes('.flash.appdesc'));
  if (app === undefined || !isMapped(options.chip, app.address)) return null;
  return { offset: elfHashInDescription, hash: sha256(elf.bytes) };
}

function filled(image: Uint8Array, padTo: number | undefined): Uint8Array {
  if (padTo === undefined || image.length % padTo === 0) return image;
  const longer = new Uint8Array(alignUp(image.length, padTo)).fill(0xff);
  longer.set(image);
  return longer;
}

import { AiotError } from '../../core/errors.js';
import { hex } from '../../core/figures.js';
import { highestSecureVersion } from '../efuse.js';
import { type ElfFile, type ElfMachine, readElf, sectionData, sectionTypes } from '../elf/read.js';
import {
  type ChipName,
  espChips,
  type FlashFrequency,
  type FlashMode,
  type FlashSize,
  flashModes,
  flashSizes,
  frequenciesOf,
  frequencyCode,
} from './chips.js';
import {
  checksumOffset,
  checksumStart,
  hashBytes,
  headerBytes,
  maximumSegments,
  segmentHeaderBytes,
  sha256,
  writeHeader,
  writeProtectDisabled,
  xorChecksum,
} from './header.js';
import { flashPages, isMapped, memoryTypes } from './memory.js';
import { type EspImage, readAppDescription, readEspImage } from './read.js';

export interface ElfImageOptions {
  chip: ChipName;
  /**
   * Flash mode, size and speed. The defaults are qio, 1MB and half the chip's fastest speed. Every board boots with these values; `aiot
   * flash` sets the board's own.
   */
  mode?: FlashMode;
  size?: FlashSize;
  frequency?: FlashFrequency;
  /** Supported chip revisions, as major · 100 + minor. By default (0 and 65535), any revision. */
  minRevision?: number;
  maxRevision?: number;
  /** Page size of the flash cache, bytes. Default: from the application description or, without a description, the chip's default. */
  pageBytes?: number;
  /** Whether to append a SHA-256 (default true). */
  hash?: boolean;
  /** Whether to use the ELF's PT_LOAD segments instead of its sections. */
  useSegments?: boolean;
  /** Pads the image with 0xFF to a multiple of this many bytes. */
  padTo?: number;
  /** Pads the image so that a secure-boot signature ends (version 1, ESP32 only) or begins (version 2) at a page boundary. */
  securePad?: 1 | 2;
  /**
   * Writes RAM segments first, and counts only these in the header, for a bootloader that maps the other segments itself. The image has no
   * hash.
   */
  ramOnlyHeader?: boolean;
  /** Offset in the image for the ELF's SHA-256. Default: the hash's position in the application description. */
  elfHashOffset?: number;
}

const elfHashInDescription = 0xb0;

/**
 * Number of bytes between the checksum and the boundary: the hash and, in version 1, also the version, the signature and 12 alignment
 * bytes.
 */
const afterChecksum = { 1: 32 + 4 + 64 + 12, 2: 32 };

/**
 * Builds a bootable image that is byte-for-byte identical to the output of esptool's elf2image. Source: ESP-IDF, "App Image Format".
 * @throws AIOT_IMAGE_MALFORMED (the ELF is damaged or unsuitable); AIOT_USAGE (options that the chip does not support)
 */
export function imageOfElf(bytes: Uint8Array, options: ElfImageOptions, what = 'ELF file'): Uint8Array {
  const { chip } = options;
  const elf = readElf(bytes, what);
  const frequency = options.frequency === undefined ? 0 : requireFrequency(chip, options.frequency);
  if (options.securePad === 1 && chip !== 'esp32') {
    throw new AiotError('AIOT_USAGE', 'only the ESP32 supports secure boot version 1', {
      next: 'Use version 2.',
    });
  }
  requireMachine(elf, chip);
  const page = pageOf(elf, options);
  const pieces = requirePieces(elf, options);
  const hashAppended = options.hash !== false && options.ramOnlyHeader !== true;
  if (options.securePad !== undefined && !hashAppended) {
    throw new AiotError('AIOT_USAGE', '--secure-pad requires the appended SHA-256', {
      next: 'Omit --no-hash and --ram-first, or omit --secure-pad.',
    });
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
      // The checksum is the last byte in a row of 16. Adding a whole row yields the exact size, because the padding ends at a row boundary.
      writer.segment(padding((page - (taken % page)) % page));
    }
    writer.addChecksum();
  }
  if (options.elfHashOffset !== undefined && !writer.hashPlaced) {
    throw new AiotError(
      'AIOT_USAGE',
      `the offset ${hex(options.elfHashOffset)} for the ELF's SHA-256 is outside all segments`,
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
  const names: Partial<Record<ElfMachine, string>> = { xtensa: 'Xtensa', riscv: 'RISC-V' };
  throw unfit(
    `${elf.what} is for ${names[elf.machine]}, but the ${chip} is ${names[machine]}`,
    'Specify the chip that it was built for with --chip.',
  );
}

function requirePieces(elf: ElfFile, options: ElfImageOptions): Piece[] {
  const found = piecesOf(elf, options.useSegments === true);
  const ordered = options.ramOnlyHeader ? found.toSorted((a, b) => a.address - b.address) : found;
  const pieces = joinAdjacent(options.chip, ordered, options.ramOnlyHeader === true);
  if (pieces.length === 0)
    throw unfit(`${elf.what} has nothing to load: no section has both data and an address`);
  requireCount(pieces.length);
  return pieces;
}

function requireCount(count: number): number {
  if (count <= maximumSegments) return count;
  throw unfit(`${count} segments are needed, but an image has at most ${maximumSegments}`);
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
  // Old builds do not contain the page size. In such builds, it is derived from the description's position, which in a page directly
  // follows the image header and the segment header.
  const descending = pages.toSorted((a, b) => b - a);
  return descending.find((page) => (section.address - 32) % page === 0) ?? standard;
}

function requirePage(chip: ChipName, page: number): number {
  const pages = flashPages(chip);
  if (pages.includes(page)) return page;
  const sizes = pages.map((bytes) => `${bytes / 1024} KiB`).join(', ');
  throw new AiotError('AIOT_USAGE', `the ${chip} has no flash pages of ${page / 1024} KiB`, {
    next: `Supported sizes: ${sizes}.`,
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

/** The ESP32's second-stage bootloader does not map a last page with fewer bytes than this, because of an old defect. */
const lastPageMinimum = 0x24;

interface Layout {
  /** Segments that the loader copies into RAM. */
  ram: Piece[];
  /** Mapped segments. A segment's offset within a page must be the same in the file and in memory. */
  flash: Piece[];
}

/** Sorts both kinds of segments by address. The application or bootloader description comes first, where readers expect it. */
function layoutOf(chip: ChipName, pieces: readonly Piece[]): Layout {
  const sorted = pieces.toSorted((a, b) => a.address - b.address);
  const first = (list: Piece[], name: string) => {
    const found = list.find((piece) => piece.name === name);
    return found === undefined ? list : [found, ...list.filter((piece) => piece !== found)];
  };
  return {
    flash: first(
      sorted.filter(({ address }) => isMapped(chip, address)),
      '.flash.appdesc',
    ),
    ram: first(
      sorted.filter(({ address }) => !isMapped(chip, address)),
      '.dram0.bootdesc',
    ),
  };
}

/** Rejects segments that share a flash page, because a page cannot be mapped to two addresses. @throws AIOT_IMAGE_MALFORMED */
function refuseSharedPages(flash: readonly Piece[], page: number): void {
  for (const [index, { address, name }] of flash.entries()) {
    const before = flash[index - 1];
    if (before === undefined || Math.floor(address / page) !== Math.floor(before.address / page)) continue;
    throw unfit(
      `${name} at ${hex(address, 8)} and ${before.name} at ${hex(before.address, 8)} are in the same ${page / 1024} KiB flash page`,
      'Join the two sections in the linker script, or move the second to the next page.',
    );
  }
}

/**
 * Writes flash segments at the offsets that their pages require, and fills the gaps with parts of RAM segments. The remaining RAM segments
 * follow.
 */
function writeInterleaved(writer: ImageWriter, chip: ChipName, layout: Layout, page: number): void {
  const ram = [...layout.ram];
  for (const segment of layout.flash) {
    for (
      let gap = gapBefore(writer.length, segment, page);
      gap !== null;
      gap = gapBefore(writer.length, segment, page)
    ) {
      const filler = ram[0];
      if (filler === undefined || gap <= segmentHeaderBytes) {
        writer.segment(padding(gap));
        continue;
      }
      writer.segment({ ...filler, data: filler.data.subarray(0, gap) });
      ram[0] = { ...filler, address: filler.address + gap, data: filler.data.subarray(gap) };
      if (ram[0].data.length === 0) ram.shift();
    }
    writer.segment(withLastPage(writer.length, chip, segment, page));
  }
  for (const segment of ram) writer.segment(segment);
}

/**
 * Writes the RAM segments and their checksum, then the flash segments, which the ROM does not load. Returns the number of segments that the
 * ROM loads.
 */
function writeRamFirst(writer: ImageWriter, chip: ChipName, layout: Layout, page: number): number {
  for (const segment of layout.ram) writer.segment(segment);
  const seen = writer.segments;
  writer.addChecksum();
  const start = espChips[chip].bootloaderOffset;
  for (const segment of layout.flash.toReversed()) {
    const gap = modulo(segment.address - writer.length - 2 * segmentHeaderBytes, page);
    writer.segment(padding(gap < start ? gap + page - start : gap - start), false);
    writer.segment(withLastPage(writer.length, chip, segment, page), false);
  }
  return seen;
}

function padding(length: number): Piece {
  return { name: 'padding', address: 0, data: new Uint8Array(length), align: 4 };
}

/**
 * Size of the filler segment that moves the next segment to the offset that its page requires; null if no filler is needed. The filler may
 * be a page longer than necessary, because images must be identical to esptool's.
 */
function gapBefore(length: number, segment: Piece, page: number): number | null {
  const missing = page - (length % page) + (segment.address % page) - segmentHeaderBytes;
  if (missing === 0 || missing === page) return null;
  const gap = missing - segmentHeaderBytes;
  return gap < 0 ? gap + page : gap;
}

function withLastPage(length: number, chip: ChipName, segment: Piece, page: number): Piece {
  if (chip !== 'esp32') return segment;
  const inLastPage = (length + segmentHeaderBytes + segment.data.length) % page;
  if (inLastPage >= lastPageMinimum) return segment;
  return { ...segment, data: Buffer.concat([segment.data, new Uint8Array(lastPageMinimum - inLastPage)]) };
}

function modulo(value: number, by: number): number {
  return ((value % by) + by) % by;
}

/** Bytes to copy from an ELF into an image, with their address. The number of bytes is a multiple of 4. */
interface Piece {
  /** Name of the section. */
  name: string;
  address: number;
  data: Uint8Array;
  align: number;
}

const loaded = new Set<number>([
  sectionTypes.progbits,
  sectionTypes.initArray,
  sectionTypes.finiArray,
  sectionTypes.preinitArray,
]);

/** ELF sections (or PT_LOAD segments) with data and an address, in file order, padded to whole words. */
function piecesOf(elf: ElfFile, useSegments: boolean): Piece[] {
  if (useSegments) {
    return elf.segments
      .filter(({ address, size }) => address !== 0 && size > 0)
      .map(({ address, offset, size, align }) => ({
        name: 'PHDR',
        address,
        align,
        data: padded(elf.bytes.subarray(offset, offset + size), 4),
      }));
  }
  return elf.sections
    .filter(({ address, size, type }) => address !== 0 && size > 0 && loaded.has(type))
    .map((section) => ({
      name: section.name,
      address: section.address,
      align: section.align,
      data: padded(sectionData(elf, section), 4),
    }));
}

/**
 * Joins each piece with the next piece in the list if they are adjacent in the same memory. With `fill`, first fills a gap due only to
 * alignment.
 */
function joinAdjacent(chip: ChipName, pieces: readonly Piece[], fill: boolean): Piece[] {
  const joined: Piece[] = [];
  const sameMemory = (a: Piece, b: Piece) =>
    memoryTypes(chip, a.address).join() === memoryTypes(chip, b.address).join();
  // Pieces are processed backwards, as in esptool, because the padding after the second piece determines whether two pieces are adjacent.
  for (const piece of pieces.toReversed()) {
    const next = joined[0];
    if (next === undefined) {
      joined.unshift(piece);
      continue;
    }
    const end = piece.address + piece.data.length;
    const aligned = alignUp(end, Math.max(next.align, 1));
    const filled =
      fill && aligned === next.address ? padded(piece.data, 1, aligned - piece.address) : piece.data;
    const touches = piece.address + filled.length === next.address;
    if (touches && sameMemory(piece, next)) {
      joined[0] = { ...piece, data: Buffer.concat([filled, next.data]) };
    } else joined.unshift({ ...piece, data: filled });
  }
  return joined;
}

/** The error for a program that cannot become an image. */
function unfit(reason: string, next = 'Fix the linker script.'): AiotError {
  return new AiotError('AIOT_IMAGE_MALFORMED', reason, { next });
}

function alignUp(value: number, step: number): number {
  return Math.ceil(value / step) * step;
}

/** Pads with zeros to a multiple of `step`, or to `length`. Returns the same array if it needs no padding. */
function padded(data: Uint8Array, step: number, length = alignUp(data.length, step)): Uint8Array {
  if (data.length >= length) return data;
  const longer = new Uint8Array(length);
  longer.set(data);
  return longer;
}

/** The largest segment that the ROM's loader accepts. */
const segmentLimit = 0x1000000;

/** SHA-256 of the ELF. It is written into a field in the image that otherwise contains zeros. */
interface ElfHash {
  /** Offset in the image. */
  offset: number;
  hash: Uint8Array;
}

/** Builds an image: reserves space for the header, then writes the segments and the checksum. */
class ImageWriter {
  /** Number of bytes written so far. */
  length = headerBytes;
  segments = 0;
  hashPlaced = false;
  private readonly parts: Uint8Array[] = [new Uint8Array(headerBytes)];
  private checksum = checksumStart;

  constructor(private readonly elfHash: ElfHash | null) {}

  /** Writes a segment. `counted`: whether the checksum includes it. @throws AIOT_IMAGE_MALFORMED (length) */
  segment({ address, data, name }: Piece, counted = true): void {
    if (data.length % 4 !== 0) {
      throw unfit(
        `${name} at ${hex(address, 8)} is ${data.length} bytes long after alignment, which is not a multiple of 4`,
      );
    }
    if (data.length >= segmentLimit) throw unfit(`${name} at ${hex(address, 8)} has 16 MiB or more`);
    const header = new Uint8Array(segmentHeaderBytes);
    const view = new DataView(header.buffer);
    view.setUint32(0, address, true);
    view.setUint32(4, data.length, true);
    const placed = this.withElfHash(data, name);
    this.add(header);
    this.add(placed);
    if (counted) this.checksum = xorChecksum(placed, this.checksum);
    this.segments++;
  }

  addChecksum(): void {
    const row = new Uint8Array(checksumOffset(this.length) + 1 - this.length);
    row[row.length - 1] = this.checksum;
    this.add(row);
  }

  add(bytes: Uint8Array): void {
    this.parts.push(bytes);
    this.length += bytes.length;
  }

  bytes(): Uint8Array {
    return Buffer.concat(this.parts);
  }

  private withElfHash(data: Uint8Array, name: string): Uint8Array {
    if (this.elfHash === null) return data;
    const { offset, hash } = this.elfHash;
    const at = offset - this.length - segmentHeaderBytes;
    if (at < -segmentHeaderBytes || at >= data.length) return data;
    if (at < 0 || at + hashBytes > data.length) {
      throw unfit(
        `the ELF's SHA-256 at offset ${hex(offset)} would extend past ${name}`,
        'Choose another offset.',
      );
    }
    if (data.subarray(at, at + hashBytes).some((byte) => byte !== 0)) {
      throw unfit(`${name} is not zero at offset ${hex(offset)}, where the ELF's SHA-256 is stored`);
    }
    const changed = Uint8Array.from(data);
    changed.set(hash, at);
    this.hashPlaced = true;
    return changed;
  }
}

/** Flash mode, size and speed. Absent parameters stay unchanged. */
export interface FlashParameters {
  mode?: FlashMode;
  size?: FlashSize;
  frequency?: FlashFrequency;
  /** Anti-rollback version, in an app's description. */
  secureVersion?: number | undefined;
}

/**
 * Returns a copy of the image with other parameters and an updated checksum and SHA-256. The checksum does not cover the header. Trailing bytes
 * are preserved. A secure-boot signature would become invalid, so patch an image before you sign it.
 * @throws AIOT_IMAGE_MALFORMED; AIOT_USAGE (the chip has no such speed)
 */
export function patchEspImage(bytes: Uint8Array, parameters: FlashParameters, what = 'image'): Uint8Array {
  const image = readEspImage(bytes, what);
  const patched = Uint8Array.from(bytes);
  const { mode, size, frequency } = parameters;
  if (mode !== undefined) patched[2] = flashModes.indexOf(mode);
  const sizeCode = size === undefined ? image.header.size : flashSizes.indexOf(size);
  const speed = frequency === undefined ? image.header.frequency : requireFrequency(image.chip, frequency);
  patched[3] = (sizeCode << 4) | speed;
  if (parameters.secureVersion !== undefined)
    putSecureVersion(patched, image, parameters.secureVersion, what);
  if (image.hash !== null) {
    const end = image.length - hashBytes;
    patched.set(sha256(patched.subarray(0, end)), end);
  }
  return patched;
}

/** Offset of the secure version in an app's description. */
const secureVersionAt = 4;

/** @throws AIOT_USAGE if the image has no description, or the chip's fuses cannot hold the version */
function putSecureVersion(patched: Uint8Array, image: EspImage, version: number, what: string): void {
  const first = image.segments.find(({ address }) => address !== 0);
  if (image.app === null || first === undefined)
    throw new AiotError('AIOT_USAGE', `${what} has no app description, which contains the secure version`);
  const highest = highestSecureVersion(image.chip);
  if (!Number.isInteger(version) || version < 0 || version > highest)
    throw new AiotError(
      'AIOT_USAGE',
      `expected a secure version from 0 to ${highest} for the ${image.chip}, got ${version}`,
    );
  const at = first.offset + secureVersionAt;
  const field = patched.subarray(at, at + 4);
  const before = xorChecksum(field);
  new DataView(patched.buffer, patched.byteOffset).setUint32(at, version, true);
  // The checksum is the XOR of all data.
  const end = image.hash === null ? image.length : image.length - hashBytes;
  patched[end - 1]! ^= before ^ xorChecksum(field);
}

/** @throws AIOT_USAGE */
function requireFrequency(chip: ChipName, frequency: FlashFrequency): number {
  const code = frequencyCode(chip, frequency);
  if (code !== null) return code;
  throw new AiotError('AIOT_USAGE', `the ${chip} does not support the flash frequency ${frequency}`, {
    next: `Choose from ${frequenciesOf(chip).join(', ')}.`,
  });
}

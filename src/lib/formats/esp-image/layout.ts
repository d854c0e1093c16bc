import { type ChipName, espChips } from './chips.js';
import { hex } from './errors.js';
import { segmentHeaderBytes } from './header.js';
import { isMapped } from './memory.js';
import { type Piece, unfit } from './pieces.js';
import type { ImageWriter } from './writer.js';

/** The ESP32's second-stage bootloader does not map the last page when fewer bytes than this lie in it (an old defect). */
const lastPageMinimum = 0x24;

export interface Layout {
  /** Copied into RAM by the loader. */
  ram: Piece[];
  /** Mapped: these must lie in the file as they do in a page. */
  flash: Piece[];
}

/** Both kinds by address; the description of an application or bootloader is put first, where its readers look for it. */
export function layoutOf(chip: ChipName, pieces: readonly Piece[]): Layout {
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

/** @throws AIOT_IMAGE_MALFORMED: a page of flash cannot be mapped to two places */
export function refuseSharedPages(flash: readonly Piece[], page: number): void {
  for (const [index, { address, name }] of flash.entries()) {
    const before = flash[index - 1];
    if (before === undefined || Math.floor(address / page) !== Math.floor(before.address / page)) continue;
    throw unfit(
      `${name} at ${hex(address, 8)} and ${before.name} at ${hex(before.address, 8)} lie in the same ${page / 1024} KiB page of flash`,
      'Join the two sections in the linker script, or put the second into the next page.',
    );
  }
}

/** Flash segments each where its page wants it, the gaps filled with RAM segments cut to fit; then the rest of those. */
export function writeInterleaved(writer: ImageWriter, chip: ChipName, layout: Layout, page: number): void {
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

/** RAM segments and their checksum, then the flash segments, which the ROM does not see. Returns how many it sees. */
export function writeRamFirst(writer: ImageWriter, chip: ChipName, layout: Layout, page: number): number {
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

export function padding(length: number): Piece {
  return { name: 'padding', address: 0, data: new Uint8Array(length), align: 4 };
}

/**
 * Bytes of a filling segment, so that the one after it starts where its page wants it; null when it does already. It may be
 * a page longer than the least that would do: the maker's tool counts it so, and images are compared by their bytes.
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

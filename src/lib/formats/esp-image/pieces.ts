import { AiotError } from '../../core/index.js';
import { type ElfFile, sectionData, sectionTypes } from '../elf/read.js';
import type { ChipName } from './chips.js';
import { memoryTypes } from './memory.js';

/** Bytes for an address, on their way from an ELF into an image. Always a multiple of 4 long. */
export interface Piece {
  /** The section's. */
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

/** ELF sections (or the PT_LOAD segments) that have data and an address, in the file's order, padded to whole words. */
export function piecesOf(elf: ElfFile, useSegments: boolean): Piece[] {
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
 * Joins a piece with the next in the list where that begins at its end, in the same memory. With `fill`, a gap that only
 * aligns the next one is filled first.
 */
export function joinAdjacent(chip: ChipName, pieces: readonly Piece[], fill: boolean): Piece[] {
  const joined: Piece[] = [];
  const sameMemory = (a: Piece, b: Piece) =>
    memoryTypes(chip, a.address).join() === memoryTypes(chip, b.address).join();
  // Backwards, as the maker's tool does it: whether two pieces touch depends on what was filled behind the second.
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

/** A program that cannot become an image. */
export function unfit(reason: string, next = 'Mend the linker script.'): AiotError {
  return new AiotError('AIOT_IMAGE_MALFORMED', reason, { next });
}

export function alignUp(value: number, step: number): number {
  return Math.ceil(value / step) * step;
}

/** With zeros up to a multiple of `step`, or to `length`. The same array where nothing is missing. */
export function padded(data: Uint8Array, step: number, length = alignUp(data.length, step)): Uint8Array {
  if (data.length >= length) return data;
  const longer = new Uint8Array(length);
  longer.set(data);
  return longer;
}

import { inflateSync } from 'node:zlib';
import { hex } from '../../core/figures.js';
import { malformed } from '../image-errors.js';

/** The subset of ELF supported here: 32 bits, little-endian. Source: System V ABI, "Object Files". */
const headerBytes = 52;

const sectionHeaderBytes = 40;
const programHeaderBytes = 32;
const machines: Record<number, ElfMachine> = { 94: 'xtensa', 243: 'riscv' };

export type ElfMachine = 'xtensa' | 'riscv';

/** Values of sh_type. */
export const sectionTypes = {
  progbits: 1,
  symbols: 2,
  strings: 3,
  nobits: 8,
  initArray: 14,
  finiArray: 15,
  preinitArray: 16,
} as const;

const compressedFlag = 0x800;

/** Maximum inflated size of a compressed section, bytes. */
const maximumInflated = 0x10000000;

export interface ElfSection {
  name: string;
  type: number;
  address: number;
  offset: number;
  /** Size in the file, bytes. For a section without data (`nobits`), the size in memory. */
  size: number;
  align: number;
  link: number;
  flags: number;
}

/** A PT_LOAD program header. */
export interface ElfSegment {
  /** Physical address at which the segment is loaded. */
  address: number;
  offset: number;
  /** Size in the file, bytes. */
  size: number;
  align: number;
}

export interface ElfFile {
  what: string;
  bytes: Uint8Array;
  machine: ElfMachine;
  entry: number;
  sections: ElfSection[];
  segments: ElfSegment[];
}

/**
 * Reads the headers, and checks that everything to which they refer is inside the file.
 * @throws AIOT_IMAGE_MALFORMED with the offset and the reason
 */
export function readElf(bytes: Uint8Array, what = 'ELF file'): ElfFile {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const magic = [0x7f, 0x45, 0x4c, 0x46];
  if (bytes.length === 0) throw malformed(what, 0, 'the file is empty');
  if (magic.some((byte, index) => bytes[index] !== byte)) throw malformed(what, 0, 'not an ELF file');
  if (bytes.length < headerBytes) {
    throw malformed(what, bytes.length, `the file ends within its ${headerBytes}-byte header`);
  }
  if (view.getUint8(4) !== 1)
    throw malformed(what, 4, 'ELF files for these chips are 32-bit, but this file is not');
  if (view.getUint8(5) !== 1)
    throw malformed(what, 5, 'ELF files for these chips are little-endian, but this file is not');
  const machine = machines[view.getUint16(18, true)];
  if (machine === undefined) {
    throw malformed(
      what,
      18,
      `built for machine ${view.getUint16(18, true)}, not for Xtensa (94) or RISC-V (243)`,
    );
  }
  return {
    what,
    bytes,
    machine,
    entry: view.getUint32(24, true),
    sections: readSections(bytes, view, what),
    segments: readSegments(bytes, view, what),
  };
}

/** Finds the first section with this name, or undefined. */
export function findSection(elf: ElfFile, name: string): ElfSection | undefined {
  return elf.sections.find((section) => section.name === name);
}

/**
 * The section's bytes. If the section is compressed, they are inflated; otherwise they are a view of the file. @throws AIOT_IMAGE_MALFORMED
 */
export function sectionData(elf: ElfFile, section: ElfSection): Uint8Array {
  if (section.type === sectionTypes.nobits) return new Uint8Array(0);
  const raw = elf.bytes.subarray(section.offset, section.offset + section.size);
  if ((section.flags & compressedFlag) === 0) return raw;
  const method = raw.length < 12 ? 0 : (raw[0] ?? 0);
  if (method !== 1) {
    throw malformed(
      elf.what,
      section.offset,
      `${section.name} uses an unsupported compression (${method}); expected zlib`,
    );
  }
  try {
    return inflateSync(raw.subarray(12), { maxOutputLength: maximumInflated });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw malformed(elf.what, section.offset + 12, `${section.name} cannot be decompressed (${reason})`);
  }
}

function readSections(bytes: Uint8Array, view: DataView, what: string): ElfSection[] {
  const start = view.getUint32(32, true);
  const count = view.getUint16(48, true);
  const names = view.getUint16(50, true);
  if (count === 0) throw malformed(what, 48, 'the file has no section headers');
  requireEntry(view, 46, sectionHeaderBytes, what);
  requireInside(bytes, start, count * sectionHeaderBytes, 'the section headers', 32, what);
  if (names >= count)
    throw malformed(what, 50, `the names are in section ${names}, but there are only ${count} sections`);
  const raw = Array.from({ length: count }, (_, index) => {
    const at = start + index * sectionHeaderBytes;
    const word = (offset: number) => view.getUint32(at + offset, true);
    const section = {
      nameAt: word(0),
      type: word(4),
      flags: word(8),
      address: word(12),
      offset: word(16),
      size: word(20),
      link: word(24),
      align: word(32),
    };
    if (section.type !== sectionTypes.nobits && section.type !== 0) {
      requireInside(bytes, section.offset, section.size, `section ${index}`, at + 16, what);
    }
    return section;
  });
  const table = raw[names];
  const strings = bytes.subarray(table?.offset ?? 0, (table?.offset ?? 0) + (table?.size ?? 0));
  return raw.map(({ nameAt, ...section }, index) => {
    const name = stringAt(strings, nameAt);
    if (name === null) {
      throw malformed(
        what,
        start + index * sectionHeaderBytes,
        `the name of section ${index} is outside the name table`,
      );
    }
    return { name, ...section };
  });
}

function readSegments(bytes: Uint8Array, view: DataView, what: string): ElfSegment[] {
  const start = view.getUint32(28, true);
  const count = view.getUint16(44, true);
  if (count === 0) return [];
  requireEntry(view, 42, programHeaderBytes, what);
  requireInside(bytes, start, count * programHeaderBytes, 'the program headers', 28, what);
  const segments: ElfSegment[] = [];
  for (let index = 0; index < count; index++) {
    const at = start + index * programHeaderBytes;
    const word = (offset: number) => view.getUint32(at + offset, true);
    if (word(0) !== 1) continue;
    const segment = { address: word(12), offset: word(4), size: word(16), align: word(28) };
    requireInside(bytes, segment.offset, segment.size, `segment ${index}`, at + 4, what);
    segments.push(segment);
  }
  return segments;
}

function requireEntry(view: DataView, at: number, expected: number, what: string): void {
  const got = view.getUint16(at, true);
  if (got !== expected)
    throw malformed(what, at, `the header should have ${expected} bytes, but its size is given as ${got}`);
}

function requireInside(
  bytes: Uint8Array,
  start: number,
  size: number,
  name: string,
  at: number,
  what: string,
): void {
  if (start + size <= bytes.length) return;
  const range = `${hex(start)} to ${hex(start + size)}`;
  throw malformed(what, at, `${name}: ${range}, but the file ends at ${hex(bytes.length)}`);
}

/** The NUL-terminated string at an offset in a string table; null if the offset is outside the table. */
export function stringAt(strings: Uint8Array, offset: number): string | null {
  if (offset >= strings.length) return null;
  const end = strings.indexOf(0, offset);
  return end === -1 ? null : Buffer.from(strings.subarray(offset, end)).toString('utf8');
}

/** Values of e_machine for devices that are computers. Source: System V ABI and its supplements. */
const programMachines: Record<number, string> = { 40: 'arm', 62: 'x86-64', 183: 'aarch64', 243: 'riscv' };

/** The machine for which a Linux program was built (ELF, executable or position-independent); null for any other file. */
export function readProgram(bytes: Uint8Array): string | null {
  if (bytes.length < 52) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [magic, little] = [view.getUint32(0), bytes[5] === 1];
  if (magic !== 0x7f454c46 || !little) return null;
  const [type, machine] = [view.getUint16(16, true), view.getUint16(18, true)];
  // Only ET_EXEC and ET_DYN are programs. A 32-bit RISC-V program is chip firmware, which is installed as an image.
  if ((type !== 2 && type !== 3) || (machine === 243 && bytes[4] === 1)) return null;
  return programMachines[machine] ?? null;
}

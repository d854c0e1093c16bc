import { inflateSync } from 'node:zlib';
import { hex } from '../../core/figures.js';
import { malformed } from '../image-errors.js';

/**
 * Positions of the header fields in 32-bit and 64-bit files. Only little-endian files are supported. Sources: System V ABI, "Object Files";
 * for 64 bits, "ELF-64 Object File Format".
 */
const layouts = {
  narrow: {
    header: { bytes: 52, segments: 28, sections: 32, segmentBytes: 42, segmentCount: 44 },
    tables: { sectionBytes: 46, sectionCount: 48, names: 50 },
    section: { bytes: 40, flags: 8, address: 12, offset: 16, size: 20, link: 24, align: 32 },
    segment: { bytes: 32, offset: 4, address: 12, size: 16, align: 28 },
    compressed: 12,
  },
  wide: {
    header: { bytes: 64, segments: 32, sections: 40, segmentBytes: 54, segmentCount: 56 },
    tables: { sectionBytes: 58, sectionCount: 60, names: 62 },
    section: { bytes: 64, flags: 8, address: 16, offset: 24, size: 32, link: 40, align: 48 },
    segment: { bytes: 56, offset: 8, address: 24, size: 32, align: 48 },
    compressed: 24,
  },
} as const;

const chipMachines: Record<number, ElfMachine> = { 94: 'xtensa', 243: 'riscv' };

/** Machine codes of chips and of computers. */
export type ElfMachine = 'xtensa' | 'riscv' | 'arm' | 'x86-64' | 'aarch64';

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
  /** Whether the file is 64-bit, so that its addresses have 8 bytes. */
  wide: boolean;
  entry: number;
  sections: ElfSection[];
  segments: ElfSegment[];
}

/**
 * Reads the headers of a chip's program, and checks that everything to which they refer is inside the file.
 * @throws AIOT_IMAGE_MALFORMED with the offset and the reason
 */
export function readElf(bytes: Uint8Array, what = 'ELF file'): ElfFile {
  const view = viewOf(bytes, what, layouts.narrow.header.bytes);
  if (view.getUint8(4) !== 1)
    throw malformed(what, 4, 'ELF files for these chips are 32-bit, but this file is not');
  if (view.getUint8(5) !== 1)
    throw malformed(what, 5, 'ELF files for these chips are little-endian, but this file is not');
  const machine = chipMachines[view.getUint16(18, true)];
  if (machine === undefined) {
    throw malformed(
      what,
      18,
      `built for machine ${view.getUint16(18, true)}, not for Xtensa (94) or RISC-V (243)`,
    );
  }
  return read(bytes, view, what, machine, false);
}

/**
 * Like `readElf`, for the program of a chip or of a computer, 32-bit or 64-bit.
 * @throws AIOT_IMAGE_MALFORMED with the offset and the reason
 */
export function readAnyElf(bytes: Uint8Array, what = 'ELF file'): ElfFile {
  const view = viewOf(bytes, what, layouts.narrow.header.bytes);
  const bits = view.getUint8(4);
  const number = view.getUint16(18, true);
  const machine = chipMachines[number] ?? programMachines[number];
  if (bits !== 1 && bits !== 2) throw malformed(what, 4, `expected 1 (32-bit) or 2 (64-bit), got ${bits}`);
  if (view.getUint8(5) !== 1) throw malformed(what, 5, 'expected a little-endian ELF file');
  if (machine === undefined) throw malformed(what, 18, `built for the unsupported machine ${number}`);
  const wide = bits === 2;
  return read(bytes, viewOf(bytes, what, layoutOf(wide).header.bytes), what, machine, wide);
}

const layoutOf = (wide: boolean) => (wide ? layouts.wide : layouts.narrow);

function viewOf(bytes: Uint8Array, what: string, headerBytes: number): DataView {
  const magic = [0x7f, 0x45, 0x4c, 0x46];
  if (bytes.length === 0) throw malformed(what, 0, 'the file is empty');
  if (magic.some((byte, index) => bytes[index] !== byte)) throw malformed(what, 0, 'not an ELF file');
  if (bytes.length < headerBytes) {
    throw malformed(what, bytes.length, `the file ends within its ${headerBytes}-byte header`);
  }
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function read(bytes: Uint8Array, view: DataView, what: string, machine: ElfMachine, wide: boolean): ElfFile {
  const headers = new Headers(bytes, view, what, wide);
  return {
    ...{ what, bytes, machine, wide, entry: headers.number(24) },
    sections: readSections(headers),
    segments: readSegments(headers),
  };
}

/** Reads the fields of headers: numbers as long as an address, and offsets that must be inside the file. */
class Headers {
  readonly layout: (typeof layouts)['narrow' | 'wide'];

  constructor(
    readonly bytes: Uint8Array,
    readonly view: DataView,
    readonly what: string,
    private readonly wide: boolean,
  ) {
    this.layout = layoutOf(wide);
  }

  word(at: number): number {
    return this.view.getUint32(at, true);
  }

  half(at: number): number {
    return this.view.getUint16(at, true);
  }

  /** A number as long as an address. Above 2^53 it is inexact, but no offset or size in a file is that large. */
  number(at: number): number {
    return this.wide ? this.word(at) + this.word(at + 4) * 2 ** 32 : this.word(at);
  }
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
  const header = layoutOf(elf.wide).compressed;
  const method = raw.length < header ? 0 : (raw[0] ?? 0);
  if (method !== 1) {
    throw malformed(
      elf.what,
      section.offset,
      `${section.name} uses an unsupported compression (${method}); expected zlib`,
    );
  }
  try {
    return inflateSync(raw.subarray(header), { maxOutputLength: maximumInflated });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw malformed(elf.what, section.offset + header, `${section.name} cannot be decompressed (${reason})`);
  }
}

function readSections(headers: Headers): ElfSection[] {
  const { bytes, view, what, layout } = headers;
  const { header, tables, section: at } = layout;
  const start = headers.number(header.sections);
  const count = headers.half(tables.sectionCount);
  const names = headers.half(tables.names);
  if (count === 0) throw malformed(what, tables.sectionCount, 'the file has no section headers');
  requireEntry(view, tables.sectionBytes, at.bytes, what);
  requireInside(bytes, start, count * at.bytes, 'the section headers', header.sections, what);
  if (names >= count) {
    const reason = `the names are in section ${names}, but there are only ${count} sections`;
    throw malformed(what, tables.names, reason);
  }
  const raw = Array.from({ length: count }, (_, index) => {
    const from = start + index * at.bytes;
    const section = {
      nameAt: headers.word(from),
      type: headers.word(from + 4),
      flags: headers.number(from + at.flags),
      address: headers.number(from + at.address),
      offset: headers.number(from + at.offset),
      size: headers.number(from + at.size),
      link: headers.word(from + at.link),
      align: headers.number(from + at.align),
    };
    if (section.type !== sectionTypes.nobits && section.type !== 0) {
      requireInside(bytes, section.offset, section.size, `section ${index}`, from + at.offset, what);
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
        start + index * at.bytes,
        `the name of section ${index} is outside the name table`,
      );
    }
    return { name, ...section };
  });
}

function readSegments(headers: Headers): ElfSegment[] {
  const { bytes, view, what, layout } = headers;
  const { header, segment: at } = layout;
  const start = headers.number(header.segments);
  const count = headers.half(header.segmentCount);
  if (count === 0) return [];
  requireEntry(view, header.segmentBytes, at.bytes, what);
  requireInside(bytes, start, count * at.bytes, 'the program headers', header.segments, what);
  const segments: ElfSegment[] = [];
  for (let index = 0; index < count; index++) {
    const from = start + index * at.bytes;
    if (headers.word(from) !== 1) continue;
    const segment = {
      address: headers.number(from + at.address),
      offset: headers.number(from + at.offset),
      size: headers.number(from + at.size),
      align: headers.number(from + at.align),
    };
    requireInside(bytes, segment.offset, segment.size, `segment ${index}`, from + at.offset, what);
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
const programMachines: Record<number, ElfMachine> = { 40: 'arm', 62: 'x86-64', 183: 'aarch64', 243: 'riscv' };

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

/** GNU's build ID, which the linker writes into a program: hex digits, in pairs; null if there is none. Source: the GNU linker's manual, --build-id. */
export function buildIdOf(elf: ElfFile): string | null {
  const section = findSection(elf, '.note.gnu.build-id');
  if (section === undefined) return null;
  const note = Buffer.from(sectionData(elf, section));
  if (note.length < 16) return null;
  const [nameBytes, idBytes, type] = [note.readUInt32LE(0), note.readUInt32LE(4), note.readUInt32LE(8)];
  if (type !== 3 || nameBytes !== 4 || note.toString('latin1', 12, 16) !== 'GNU\0') return null;
  return idBytes >= 4 && idBytes <= 32 && note.length >= 16 + idBytes
    ? note.toString('hex', 16, 16 + idBytes)
    : null;
}

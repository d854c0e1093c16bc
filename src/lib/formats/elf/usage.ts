import { hex } from '../../core/figures.js';
import { malformed } from '../image-errors.js';

/** Machines that run firmware, or native programs that simulate firmware (System V ABI, e_machine). */
const machines = new Map([
  [3, 'x86'],
  [40, 'arm'],
  [62, 'x86-64'],
  [94, 'xtensa'],
  [183, 'aarch64'],
  [243, 'riscv'],
]);
/** Names of the supported e_type values. */
const types = new Map([
  [1, 'object'],
  [2, 'executable'],
  [3, 'position-independent'],
] as const);
/** Bits in sh_flags. `nobits`: the sh_type of sections that have no bytes in the file. */
const flag = { write: 1, alloc: 2, execute: 4 };
const nobits = 8;

export interface ElfUsage {
  bits: 32 | 64;
  machine: string;
  type: 'object' | 'executable' | 'position-independent';
  entry: number;
  /** Whether the file contains function names, which `aiot board monitor --elf` needs. */
  symbols: boolean;
  /** Sections that occupy memory, by address. */
  sections: { name: string; address: number; bytes: number; part: 'text' | 'data' | 'bss' }[];
  /** Size of read-only sections, as counted by binutils' `size`. */
  text: number;
  /** Size of initialized data. */
  data: number;
  /** Size of zero-initialized data. */
  bss: number;
  /** Memory used by the program. Code that runs from RAM counts as flash and RAM. A placeholder counts as neither. */
  memory: { flash: number; ram: number };
}

/**
 * Reads a 32-bit or 64-bit ELF file, and determines its machine and its flash and RAM usage. Source: System V ABI, "Object Files".
 * @throws AIOT_IMAGE_MALFORMED with the offset and the reason
 */
export function elfUsage(bytes: Uint8Array, what: string): ElfUsage {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 64) throw malformed(what, bytes.length, 'the file ends within its ELF header');
  const bits = bytes[4] === 1 ? 32 : bytes[4] === 2 ? 64 : null;
  if (bits === null) throw malformed(what, 4, `the ELF file is neither 32-bit nor 64-bit (${bytes[4]})`);
  if (bytes[5] !== 1) throw malformed(what, 5, 'the ELF file is for big-endian machines');
  const machine = machines.get(view.getUint16(18, true));
  if (machine === undefined)
    throw malformed(
      what,
      18,
      `built for machine ${view.getUint16(18, true)}, which aiot firmware does not support`,
    );
  const type = types.get(view.getUint16(16, true) as 1 | 2 | 3);
  if (type === undefined) throw malformed(what, 16, 'neither a program nor an object file');
  const word = bits === 32 ? (at: number) => view.getUint32(at, true) : wide(view);
  const all = sectionsOf(bytes, view, bits, word, what);
  const sections = all
    .filter(({ flags, bytes }) => (flags & flag.alloc) !== 0 && bytes > 0)
    .map(({ name, address, bytes, flags, type }) => ({ name, address, bytes, part: partOf(flags, type) }))
    .sort((a, b) => a.address - b.address);
  const sum = (wanted: string) =>
    sections.filter(({ part }) => part === wanted).reduce((total, section) => total + section.bytes, 0);
  return {
    ...{ bits, machine, type, entry: word(24), symbols: all.some(({ type }) => type === 2), sections },
    ...{ text: sum('text'), data: sum('data'), bss: sum('bss'), memory: memoryOf(all) },
  } as ElfUsage;
}

/**
 * ESP-IDF's linker scripts use empty sections to reserve addresses: for RAM that is also mapped as instructions (`.dram0.dummy`), and for
 * flash pages (`.flash_rodata_dummy`, `.flash.rodata_noload`). Code in `.iram` is loaded from flash into RAM.
 */
function memoryOf(all: readonly { name: string; type: number; flags: number; bytes: number }[]) {
  const memory = { flash: 0, ram: 0 };
  for (const { name, type, flags, bytes } of all) {
    const empty = type === nobits;
    if ((flags & flag.alloc) === 0 || (empty && /dummy$|_noload$/.test(name))) continue;
    if (!empty) memory.flash += bytes;
    // An assembler file or a linker script may mark a constant table as writable, but the table remains in flash.
    const inFlash = name.startsWith('.flash');
    if (!inFlash && (partOf(flags, type) !== 'text' || /^\.(iram|rtc)/.test(name))) memory.ram += bytes;
  }
  return memory;
}

/** Code and read-only data are `text`; writable sections are `data` if they have bytes in the file, otherwise `bss`. */
function partOf(flags: number, type: number): 'text' | 'data' | 'bss' {
  if ((flags & flag.execute) !== 0 || (flags & flag.write) === 0) return 'text';
  return type === nobits ? 'bss' : 'data';
}

/** Returns a function that reads 64-bit values as numbers; addresses above 2^53 do not occur here. */
function wide(view: DataView): (at: number) => number {
  return (at) => Number(view.getBigUint64(at, true));
}

function sectionsOf(
  bytes: Uint8Array,
  view: DataView,
  bits: 32 | 64,
  word: (at: number) => number,
  what: string,
) {
  const small = bits === 32;
  const [start, count, names] = small
    ? [word(32), view.getUint16(48, true), view.getUint16(50, true)]
    : [word(40), view.getUint16(60, true), view.getUint16(62, true)];
  const each = small ? 40 : 64;
  if (count === 0)
    throw malformed(what, small ? 48 : 60, 'the file has no section headers, so its sections are unknown');
  const size = view.getUint16(small ? 46 : 58, true);
  if (size !== each)
    throw malformed(what, small ? 46 : 58, `expected section headers of ${each} bytes, got ${size}`);
  const end = start + count * each;
  if (end > bytes.length)
    throw malformed(
      what,
      small ? 32 : 40,
      `the section headers end at ${hex(end)}, but the file ends at ${hex(bytes.length)}`,
    );
  const raw = Array.from({ length: count }, (_, index) => {
    const at = start + index * each;
    const field = (narrow: number, broad: number) => word(at + (small ? narrow : broad));
    const section = {
      at: view.getUint32(at, true),
      type: view.getUint32(at + 4, true),
      flags: field(8, 8),
      address: field(12, 16),
      offset: field(16, 24),
      bytes: field(20, 32),
    };
    const inFile = section.type !== nobits && section.type !== 0;
    if (inFile && section.offset + section.bytes > bytes.length)
      throw malformed(what, at, `section ${index} extends past the end of the file at ${hex(bytes.length)}`);
    return section;
  });
  const table = raw[names];
  const text = bytes.subarray(table?.offset ?? 0, (table?.offset ?? 0) + (table?.bytes ?? 0));
  return raw.map(({ at, ...section }) => {
    const stop = text.indexOf(0, at);
    return { ...section, name: Buffer.from(text.subarray(at, stop < 0 ? at : stop)).toString('utf8') };
  });
}

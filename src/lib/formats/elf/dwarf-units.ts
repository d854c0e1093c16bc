import { malformed } from '../image-errors.js';
import { type ElfFile, type ElfSection, findSection, sectionData, stringAt } from './read.js';

/** A compilation unit in .debug_info. */
export interface CompilationUnit {
  /** Offset of the unit's header in the section. 4-byte references are relative to this offset. */
  start: number;
  /** Offset of the unit's first entry. */
  entries: number;
  end: number;
  data: DebugData;
  abbreviations: Map<number, Abbreviation>;
  context: FormContext;
  /** Base address for range lists. */
  low: number;
  ranges: AddressRange[];
  /** The compiler's working directory; empty if not recorded. */
  folder: string;
  /** Offset of the unit's line table in .debug_line; null if there is none. */
  lines: number | null;
}

const unitAttributes = { lines: 16, low: 17, folder: 27 } as const;

/** Values of DW_UT_…. Headers of skeleton units contain an 8-byte identifier. Type units contain no code. Source: DWARF 5, 7.5.1. */
const skeletonTypes = new Set([4, 5]);

const typeUnits = new Set([2, 6]);

/** Reads all units of versions 2 to 5, each with its first entry. Skips other units. @throws AIOT_IMAGE_MALFORMED */
export function compilationUnits(elf: ElfFile): CompilationUnit[] {
  const data = debugData(elf, '.debug_info');
  const tables = debugData(elf, '.debug_abbrev');
  if (data === null || tables === null) return [];
  const strings = debugData(elf, '.debug_str');
  const lineStrings = debugData(elf, '.debug_line_str');
  const ranges = new RangeReader(elf);
  const read = new Map<number, Map<number, Abbreviation>>();
  const units: CompilationUnit[] = [];
  for (const all = new Cursor(data, 0); !all.done; ) {
    const start = all.at;
    const { unit, wide } = all.unit();
    const version = unit.u16();
    if (version < 2 || version > 5) continue;
    const type = version === 5 ? unit.u8() : 1;
    if (typeUnits.has(type)) continue;
    const early = version === 5 ? unit.u8() : 0;
    const table = unit.word(wide);
    const addressBytes = early || unit.u8();
    if (skeletonTypes.has(type)) unit.skip(8);
    const abbreviations = read.get(table) ?? readAbbreviations(tables, table);
    read.set(table, abbreviations);
    const context: FormContext = { addressBytes, wide, version, strings, lineStrings };
    const entries = unit.at;
    const first = firstEntry(unit, abbreviations, context);
    const low = numberOf(first, unitAttributes.low) ?? 0;
    const folder = first.get(unitAttributes.folder)?.value;
    units.push({
      start,
      entries,
      end: unit.end,
      data,
      abbreviations,
      context,
      low,
      ranges: ranges.of(first, low, version),
      folder: typeof folder === 'string' ? folder : '',
      lines: numberOf(first, unitAttributes.lines),
    });
  }
  return units;
}

function firstEntry(
  unit: Cursor,
  abbreviations: ReadonlyMap<number, Abbreviation>,
  context: FormContext,
): Map<number, Attribute> {
  const entry = unit.done ? undefined : abbreviations.get(unit.uleb());
  return entry === undefined ? new Map() : readAttributes(unit, entry, context);
}

function numberOf(found: ReadonlyMap<number, Attribute>, name: number): number | null {
  const value = found.get(name)?.value;
  return typeof value === 'number' ? value : null;
}

/** An address range from the first address up to, but not including, the second. */
export type AddressRange = readonly [start: number, end: number];

const rangeAttributes = { low: 17, high: 18, ranges: 85 } as const;

/** Reads the code ranges of entries in .debug_info. */
export class RangeReader {
  private readonly pairs: DebugData | null;
  private readonly lists: DebugData | null;
  private readonly wide: boolean;

  constructor(elf: ElfFile) {
    this.wide = elf.wide;
    this.pairs = debugData(elf, '.debug_ranges');
    this.lists = debugData(elf, '.debug_rnglists');
  }

  /** The code ranges of an entry. `base`: the unit's low address. Empty if the entry has no ranges, or encodes them in an unknown form. */
  of(found: ReadonlyMap<number, Attribute>, base: number, version: number): AddressRange[] {
    const low = found.get(rangeAttributes.low)?.value;
    const high = found.get(rangeAttributes.high);
    const ranges = found.get(rangeAttributes.ranges);
    if (ranges !== undefined && typeof ranges.value === 'number') {
      if (ranges.form === forms.listIndex) return [];
      return version === 5 ? this.listed(ranges.value, base) : this.paired(ranges.value, base);
    }
    if (typeof low !== 'number' || typeof high?.value !== 'number') return [];
    const end = high.form === forms.address ? high.value : low + high.value;
    return end > low ? [[low, end]] : [];
  }

  /** Reads .debug_ranges (DWARF 2 to 4), which contains pairs of addresses relative to a base. */
  private paired(offset: number, base: number): AddressRange[] {
    if (this.pairs === null) return [];
    const found: AddressRange[] = [];
    const cursor = new Cursor(this.pairs, offset);
    // As read by `u64`, which rounds the largest 64-bit number up.
    const largest = this.wide ? 2 ** 64 : 0xffffffff;
    for (let from = base; ; ) {
      const start = cursor.address(this.wide);
      const end = cursor.address(this.wide);
      if (start === 0 && end === 0) return found;
      if (start === largest) from = end;
      else if (end > start) found.push([from + start, from + end]);
    }
  }

  /**
   * Reads .debug_rnglists. Source: DWARF 5, 7.25. Entry kinds that index .debug_addr are not supported, because they occur only in split
   * files.
   */
  private listed(offset: number, base: number): AddressRange[] {
    if (this.lists === null) return [];
    const found: AddressRange[] = [];
    const cursor = new Cursor(this.lists, offset);
    for (let from = base; ; ) {
      const kind = cursor.u8();
      if (kind === 0) return found;
      if (kind === 4) found.push([from + cursor.uleb(), from + cursor.uleb()]);
      else if (kind === 5) from = cursor.address(this.wide);
      else if (kind === 6) found.push([cursor.address(this.wide), cursor.address(this.wide)]);
      else if (kind === 7) {
        const start = cursor.address(this.wide);
        found.push([start, start + cursor.uleb()]);
      } else return found;
    }
  }
}

export function inRanges(ranges: readonly AddressRange[], address: number): boolean {
  return ranges.some(([start, end]) => start <= address && address < end);
}

interface Abbreviation {
  tag: number;
  children: boolean;
  attributes: { name: number; form: number; constant: number | null }[];
}

/** Forms that need special treatment. */
export const forms = { address: 1, sectionReference: 16, implicitConstant: 33, listIndex: 35 } as const;

/** Reads one table in .debug_abbrev, by code. Source: DWARF 5, 7.5.3. @throws AIOT_IMAGE_MALFORMED */
function readAbbreviations(data: DebugData, offset: number): Map<number, Abbreviation> {
  const found = new Map<number, Abbreviation>();
  const cursor = new Cursor(data, offset);
  for (let code = cursor.uleb(); code !== 0; code = cursor.uleb()) {
    const entry: Abbreviation = { tag: cursor.uleb(), children: cursor.u8() === 1, attributes: [] };
    for (;;) {
      const name = cursor.uleb();
      const form = cursor.uleb();
      const constant = form === forms.implicitConstant ? cursor.sleb() : null;
      if (name === 0 && form === 0) break;
      entry.attributes.push({ name, form, constant });
    }
    found.set(code, entry);
  }
  return found;
}

interface Attribute {
  form: number;
  value: number | string;
}

/** Reads an entry's numeric and string attributes, by name. Moves the cursor past the entry. */
export function readAttributes(
  cursor: Cursor,
  entry: Abbreviation,
  context: FormContext,
): Map<number, Attribute> {
  const found = new Map<number, Attribute>();
  for (const { name, form, constant } of entry.attributes) {
    const value = constant ?? readForm(cursor, form, context);
    if (value !== null) found.set(name, { form, value });
  }
  return found;
}

/** Sizes that determine attribute lengths, and the sections that contain attribute strings. */
export interface FormContext {
  addressBytes: number;
  wide: boolean;
  version: number;
  strings: DebugData | null;
  lineStrings: DebugData | null;
}

/** Fixed lengths, in bytes, of forms whose values are not used. Source: DWARF 5, 7.5.5 and table 7.6. */
const skipped: Record<number, number> = {
  32: 8, // ref_sig8
  30: 16, // data16
  37: 1, // strx1
  38: 2, // strx2
  39: 3, // strx3
  40: 4, // strx4
  41: 1, // addrx1
  42: 2, // addrx2
  43: 3, // addrx3
  44: 4, // addrx4
  28: 4, // ref_sup4
  36: 8, // ref_sup8
};

/** Reads one attribute. Returns a number, a string, or null for a skipped attribute. @throws AIOT_IMAGE_MALFORMED (an unknown form) */
export function readForm(cursor: Cursor, form: number, context: FormContext): number | string | null {
  const length = skipped[form];
  if (length !== undefined) return skip(cursor, length);
  switch (form) {
    case 1: // addr
      return cursor.address(context.addressBytes === 8);
    case 3: // block2
      return skip(cursor, cursor.u16());
    case 4: // block4
      return skip(cursor, cursor.u32());
    case 9: // block
    case 24: // exprloc
      return skip(cursor, cursor.uleb());
    case 10: // block1
      return skip(cursor, cursor.u8());
    case 11: // data1
    case 12: // flag
    case 17: // ref1. This and the other ref forms below are relative to the start of the unit.
      return cursor.u8();
    case 5: // data2
    case 18: // ref2
      return cursor.u16();
    case 6: // data4
    case 19: // ref4
      return cursor.u32();
    case 7: // data8
    case 20: // ref8
      return cursor.u64();
    case 8: // string
      return cursor.text();
    case 13: // sdata
      return cursor.sleb();
    case 15: // udata
    case 21: // ref_udata
    case 26: // strx
    case 27: // addrx
    case 34: // loclistx
    case 35: // rnglistx
      return cursor.uleb();
    case 14: // strp
      return debugString(context.strings, cursor.word(context.wide));
    case 31: // line_strp
      return debugString(context.lineStrings, cursor.word(context.wide));
    case 16: // ref_addr: in version 2, this form is as long as an address
      return context.version === 2 && context.addressBytes === 4 ? cursor.u32() : cursor.word(context.wide);
    case 23: // sec_offset
    case 29: // strp_sup
      return cursor.word(context.wide);
    case 22: {
      const own = cursor.uleb();
      if (own === 22) throw cursor.refuse('an indirect form refers to another indirect form');
      return readForm(cursor, own, context);
    }
    case 25: // flag_present
    case 33: // implicit_const: the value is in the abbreviation
      return null;
    default:
      throw cursor.refuse(`unknown attribute form ${form}`);
  }
}

function skip(cursor: Cursor, count: number): null {
  cursor.skip(count);
  return null;
}

/** A debug section's bytes and their position in the file. */
interface DebugData {
  what: string;
  name: string;
  /** File offset of the contents or, for a compressed section, of the section's start. */
  offset: number;
  compressed: boolean;
  bytes: Uint8Array;
}

/**
 * A debug section's contents; null if the file has no section with that name. @throws AIOT_IMAGE_MALFORMED (a compressed section that
 * cannot be inflated)
 */
export function debugData(elf: ElfFile, name: string): DebugData | null {
  const section: ElfSection | undefined = findSection(elf, name);
  if (section === undefined) return null;
  const bytes = sectionData(elf, section);
  return { what: elf.what, name, offset: section.offset, compressed: bytes.length !== section.size, bytes };
}

/** Reads forward through part of a debug section, little-endian. Reading past the end of that part throws. */
export class Cursor {
  private readonly view: DataView;

  constructor(
    readonly data: DebugData,
    public at: number,
    readonly end = data.bytes.length,
  ) {
    this.view = new DataView(data.bytes.buffer, data.bytes.byteOffset, data.bytes.byteLength);
    // Negative if a damaged offset was read as a signed number.
    if (at < 0 || at > this.end || this.end > data.bytes.length) {
      throw malformed(
        data.what,
        data.offset,
        `${data.name}: the range from ${at} to ${this.end} is outside the section`,
      );
    }
  }

  get done(): boolean {
    return this.at >= this.end;
  }

  u8(): number {
    return this.view.getUint8(this.take(1));
  }

  i8(): number {
    return this.view.getInt8(this.take(1));
  }

  u16(): number {
    return this.view.getUint16(this.take(2), true);
  }

  u32(): number {
    return this.view.getUint32(this.take(4), true);
  }

  /** Reads 64 bits. Numbers above 2^53 lose precision, but no address or length on these chips is that large. */
  u64(): number {
    const at = this.take(8);
    return this.view.getUint32(at, true) + this.view.getUint32(at + 4, true) * 2 ** 32;
  }

  /** Reads an address: 4 bytes, or 8 in a 64-bit file. */
  address(wide: boolean): number {
    return wide ? this.u64() : this.u32();
  }

  /** Reads an offset into a section: 4 bytes, or 8 in 64-bit DWARF. */
  word(wide: boolean): number {
    return wide ? this.u64() : this.u32();
  }

  uleb(): number {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.u8();
      if (shift < 56) value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
  }

  sleb(): number {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.u8();
      if (shift < 56) value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return byte & 0x40 && shift < 49 ? value - 2 ** (shift + 7) : value;
    }
  }

  text(): string {
    const end = this.data.bytes.indexOf(0, this.at);
    if (end === -1 || end >= this.end) throw this.refuse('a string is not terminated');
    const text = Buffer.from(this.data.bytes.subarray(this.at, end)).toString('utf8');
    this.at = end + 1;
    return text;
  }

  skip(count: number): void {
    this.take(count);
  }

  /** Returns a cursor over the contents of the unit at this position, and moves past the unit. */
  unit(): { unit: Cursor; wide: boolean } {
    const start = this.u32();
    const wide = start === 0xffffffff;
    const length = wide ? this.u64() : start;
    const from = this.take(length);
    return { unit: new Cursor(this.data, from, from + length), wide };
  }

  refuse(reason: string) {
    const place = this.data.offset + (this.data.compressed ? 0 : this.at);
    return malformed(this.data.what, place, `${this.data.name}: ${reason}`);
  }

  private take(count: number): number {
    const at = this.at;
    if (at + count > this.end)
      throw this.refuse(`${count} more bytes are expected, but only ${this.end - at} remain`);
    this.at += count;
    return at;
  }
}

/**
 * A string in .debug_str or .debug_line_str; empty if its offset is invalid, because a missing name does not justify rejecting the file.
 */
function debugString(strings: DebugData | null, offset: number): string {
  return strings === null ? '' : (stringAt(strings.bytes, offset) ?? '');
}

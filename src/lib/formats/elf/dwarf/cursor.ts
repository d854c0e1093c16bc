import { malformed } from '../../esp-image/errors.js';
import { type ElfFile, type ElfSection, findSection, sectionData, stringAt } from '../read.js';

/** A debug section's bytes and where they are in the file. */
export interface DebugData {
  what: string;
  name: string;
  /** Offset in the file; of a compressed section, of its start. */
  offset: number;
  compressed: boolean;
  bytes: Uint8Array;
}

/** null when the file has no such section. @throws AIOT_IMAGE_MALFORMED (a compressed section that cannot be inflated) */
export function debugData(elf: ElfFile, name: string): DebugData | null {
  const section: ElfSection | undefined = findSection(elf, name);
  if (section === undefined) return null;
  const bytes = sectionData(elf, section);
  return { what: elf.what, name, offset: section.offset, compressed: bytes.length !== section.size, bytes };
}

/** Reads forward through a part of a debug section; reading past its end is refused. Little-endian. */
export class Cursor {
  private readonly view: DataView;

  constructor(
    readonly data: DebugData,
    public at: number,
    readonly end = data.bytes.length,
  ) {
    this.view = new DataView(data.bytes.buffer, data.bytes.byteOffset, data.bytes.byteLength);
    // Negative where a damaged offset was read as a signed number.
    if (at < 0 || at > this.end || this.end > data.bytes.length) {
      throw malformed(data.what, data.offset, `${data.name}: a part from ${at} to ${this.end} lies outside`);
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

  /** Loses what is above 2^53, which no address or length of these chips is. */
  u64(): number {
    const at = this.take(8);
    return this.view.getUint32(at, true) + this.view.getUint32(at + 4, true) * 2 ** 32;
  }

  /** An offset into a section: 4 bytes, 8 in 64-bit DWARF. */
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
    if (end === -1 || end >= this.end) throw this.refuse('a string does not end');
    const text = Buffer.from(this.data.bytes.subarray(this.at, end)).toString('utf8');
    this.at = end + 1;
    return text;
  }

  skip(count: number): void {
    this.take(count);
  }

  /** The unit that begins here: a cursor over its content, this one moved behind it. */
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
      throw this.refuse(`${count} more bytes are expected, ${this.end - at} are left`);
    this.at += count;
    return at;
  }
}

/** A string of .debug_str or .debug_line_str; empty where it cannot be, since a name is not worth a refusal. */
export function debugString(strings: DebugData | null, offset: number): string {
  return strings === null ? '' : (stringAt(strings.bytes, offset) ?? '');
}

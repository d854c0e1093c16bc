import { type ChipName, espChips } from '../../src/lib/formats/esp-image/chips.js';

export interface MadeSection {
  name: string;
  address: number;
  data: Uint8Array;
  /** sh_type; 1 = PROGBITS. */
  type?: number;
  align?: number;
  /** sh_flags; 2 = ALLOC. */
  flags?: number;
}

const sectionHeader = 40;
const programHeader = 32;

/** A 32-bit ELF file built by hand, with one section and one PT_LOAD segment for each part. */
export function elfOf(chip: ChipName, entry: number, parts: readonly MadeSection[]): Uint8Array {
  const sections = [{ name: '', address: 0, data: new Uint8Array(0), type: 0 }, ...parts];
  const names = [...sections.map(({ name }) => name), '.shstrtab'];
  const strings = Buffer.from(`${names.join('\0')}\0`);
  const nameAt = (index: number) =>
    Buffer.byteLength(
      names
        .slice(0, index)
        .map((name) => `${name}\0`)
        .join(''),
    );
  const all = [...sections, { name: '.shstrtab', address: 0, data: strings, type: 3, flags: 0 }];
  let at = 52 + parts.length * programHeader;
  const placed = all.map((section) => {
    const offset = at;
    at += section.type === 8 ? 0 : section.data.length;
    return { align: 4, type: 1, flags: 2, ...section, offset };
  });
  const file = Buffer.alloc(at + all.length * sectionHeader);
  file.set([0x7f, 0x45, 0x4c, 0x46, 1, 1, 1]);
  file.writeUInt16LE(2, 16);
  file.writeUInt16LE(espChips[chip].machine === 'xtensa' ? 94 : 243, 18);
  file.writeUInt32LE(1, 20);
  file.writeUInt32LE(entry, 24);
  file.writeUInt32LE(52, 28);
  file.writeUInt32LE(at, 32);
  file.writeUInt16LE(52, 40);
  file.writeUInt16LE(programHeader, 42);
  file.writeUInt16LE(parts.length, 44);
  file.writeUInt16LE(sectionHeader, 46);
  file.writeUInt16LE(all.length, 48);
  file.writeUInt16LE(all.length - 1, 50);
  for (const [index, { address, offset, data, align }] of placed.slice(1, -1).entries()) {
    const words = [1, offset, address, address, data.length, data.length, 5, align];
    for (const [word, value] of words.entries())
      file.writeUInt32LE(value, 52 + index * programHeader + word * 4);
  }
  for (const [index, { type, address, offset, data, align, flags }] of placed.entries()) {
    if (type !== 8) file.set(data, offset);
    const words = [nameAt(index), type, flags, address, offset, data.length, 0, 0, align, 0];
    for (const [word, value] of words.entries())
      file.writeUInt32LE(value, at + index * sectionHeader + word * 4);
  }
  return new Uint8Array(file);
}

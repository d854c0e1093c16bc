import type { ElfFile } from '../read.js';
import { type Attribute, forms } from './abbreviations.js';
import { Cursor, type DebugData, debugData } from './cursor.js';

/** From the first address up to, and not with, the second. */
export type AddressRange = readonly [start: number, end: number];

const attributes = { low: 17, high: 18, ranges: 85 } as const;
const largest = 0xffffffff;

/** Reads the code ranges that entries of .debug_info name. */
export class RangeReader {
  private readonly pairs: DebugData | null;
  private readonly lists: DebugData | null;

  constructor(elf: ElfFile) {
    this.pairs = debugData(elf, '.debug_ranges');
    this.lists = debugData(elf, '.debug_rnglists');
  }

  /** `base` = the unit's low address. Empty where the entry has none, or names it in a way not known here. */
  of(found: ReadonlyMap<number, Attribute>, base: number, version: number): AddressRange[] {
    const low = found.get(attributes.low)?.value;
    const high = found.get(attributes.high);
    const ranges = found.get(attributes.ranges);
    if (ranges !== undefined && typeof ranges.value === 'number') {
      if (ranges.form === forms.listIndex) return [];
      return version === 5 ? this.listed(ranges.value, base) : this.paired(ranges.value, base);
    }
    if (typeof low !== 'number' || typeof high?.value !== 'number') return [];
    const end = high.form === forms.address ? high.value : low + high.value;
    return end > low ? [[low, end]] : [];
  }

  /** .debug_ranges of DWARF 2 to 4: pairs, relative to a base. */
  private paired(offset: number, base: number): AddressRange[] {
    if (this.pairs === null) return [];
    const found: AddressRange[] = [];
    const cursor = new Cursor(this.pairs, offset);
    for (let from = base; ; ) {
      const start = cursor.u32();
      const end = cursor.u32();
      if (start === 0 && end === 0) return found;
      if (start === largest) from = end;
      else if (end > start) found.push([from + start, from + end]);
    }
  }

  /** .debug_rnglists. Source: DWARF 5, 7.25; the kinds that index .debug_addr belong to split files alone. */
  private listed(offset: number, base: number): AddressRange[] {
    if (this.lists === null) return [];
    const found: AddressRange[] = [];
    const cursor = new Cursor(this.lists, offset);
    for (let from = base; ; ) {
      const kind = cursor.u8();
      if (kind === 0) return found;
      if (kind === 4) found.push([from + cursor.uleb(), from + cursor.uleb()]);
      else if (kind === 5) from = cursor.u32();
      else if (kind === 6) found.push([cursor.u32(), cursor.u32()]);
      else if (kind === 7) {
        const start = cursor.u32();
        found.push([start, start + cursor.uleb()]);
      } else return found;
    }
  }
}

export function inRanges(ranges: readonly AddressRange[], address: number): boolean {
  return ranges.some(([start, end]) => start <= address && address < end);
}

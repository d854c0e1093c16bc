import type { ElfFile } from '../read.js';
import { type Abbreviation, type Attribute, readAbbreviations, readAttributes } from './abbreviations.js';
import { Cursor, type DebugData, debugData } from './cursor.js';
import type { FormContext } from './forms.js';
import { type AddressRange, RangeReader } from './ranges.js';

/** One compilation in .debug_info. */
export interface CompilationUnit {
  /** Of its header, in the section: references of 4 bytes count from here. */
  start: number;
  /** Of its first entry. */
  entries: number;
  end: number;
  data: DebugData;
  abbreviations: Map<number, Abbreviation>;
  context: FormContext;
  /** What lists of ranges count from. */
  low: number;
  ranges: AddressRange[];
  /** The folder that the compiler ran in; empty when it does not say. */
  folder: string;
  /** Offset of its line table in .debug_line; null without one. */
  lines: number | null;
}

const attributes = { lines: 16, low: 17, folder: 27 } as const;
/** DW_UT_…: skeletons have an identifier of 8 bytes in their header; type units hold no code. Source: DWARF 5, 7.5.1. */
const skeletonTypes = new Set([4, 5]);
const typeUnits = new Set([2, 6]);

/** All units of versions 2 to 5, their first entry read; others are left out. @throws AIOT_IMAGE_MALFORMED */
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
    const low = numberOf(first, attributes.low) ?? 0;
    const folder = first.get(attributes.folder)?.value;
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
      lines: numberOf(first, attributes.lines),
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

import { Cursor, debugData } from './dwarf/cursor.js';
import { DebugFunctions } from './dwarf/functions.js';
import { readLineHeader } from './dwarf/line-header.js';
import { type LineSequence, runLineProgram } from './dwarf/line-program.js';
import type { CompilationUnit } from './dwarf/units.js';
import { type ElfFile, readElf } from './read.js';
import { type FunctionSymbol, functionAt, functionsOf } from './symbols.js';

/** Where an address is in the source; null what the file does not say. */
export interface SourcePlace {
  address: number;
  function: string | null;
  /** As the compiler wrote it, its folder before it where it is relative. */
  file: string | null;
  line: number | null;
}

interface Index {
  symbols: FunctionSymbol[];
  functions: DebugFunctions;
  /** By start. */
  sequences: LineSequence[];
}

/** Reading the tables takes longer than looking something up in them, and who decodes one panic decodes the next. */
const indexes = new WeakMap<ElfFile, Index>();

/**
 * Function, file and line of addresses, from the debug information (DWARF 2 to 5); without it, the function from the symbol
 * table. A function that was put into another is named itself.
 * @throws AIOT_IMAGE_MALFORMED with the offset and the reason
 */
export function symbolize(elf: ElfFile | Uint8Array, addresses: readonly number[]): SourcePlace[] {
  const file = elf instanceof Uint8Array ? readElf(elf) : elf;
  const index = indexes.get(file) ?? indexOf(file);
  indexes.set(file, index);
  return addresses.map((address) => ({
    address,
    function: index.functions.at(address)?.name ?? functionAt(index.symbols, address)?.name ?? null,
    ...lineAt(index.sequences, address),
  }));
}

function indexOf(elf: ElfFile): Index {
  const functions = new DebugFunctions(elf);
  return { symbols: functionsOf(elf), functions, sequences: sequencesOf(elf, functions.units) };
}

function sequencesOf(elf: ElfFile, units: readonly CompilationUnit[]): LineSequence[] {
  const lines = debugData(elf, '.debug_line');
  if (lines === null) return [];
  const folders = new Map(units.map((unit) => [unit.lines, unit.folder]));
  const context = {
    addressBytes: 4,
    strings: debugData(elf, '.debug_str'),
    lineStrings: debugData(elf, '.debug_line_str'),
  };
  const sequences: LineSequence[] = [];
  for (const tables = new Cursor(lines, 0); !tables.done; ) {
    const start = tables.at;
    const { unit, wide } = tables.unit();
    const header = readLineHeader(unit, { ...context, wide }, folders.get(start) ?? '');
    if (header === null) continue;
    for (const sequence of runLineProgram(unit, header)) sequences.push(sequence);
  }
  return sequences.sort((a, b) => a.start - b.start || a.end - b.end);
}

function lineAt(
  sequences: readonly LineSequence[],
  address: number,
): { file: string | null; line: number | null } {
  const found = sequences.find(({ start, end }) => start <= address && address < end);
  if (found === undefined) return { file: null, line: null };
  let row = found.addresses.findLastIndex((at) => at <= address);
  row = Math.max(row, 0);
  const line = found.lines[row] ?? 0;
  // Line 0: the compiler's own code, which stands in no line.
  return { file: found.names[found.files[row] ?? 0] || null, line: line === 0 ? null : line };
}

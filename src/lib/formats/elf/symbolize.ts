import { type LineSequence, readLineHeader, runLineProgram } from './dwarf-lines.js';
import {
  type AddressRange,
  type CompilationUnit,
  Cursor,
  compilationUnits,
  debugData,
  forms,
  inRanges,
  RangeReader,
  readAttributes,
} from './dwarf-units.js';
import { type ElfFile, readAnyElf } from './read.js';
import { demangle, type FunctionSymbol, functionAt, functionsOf } from './symbols.js';

/** The source location of an address. Missing information is null. */
export interface SourcePlace {
  address: number;
  function: string | null;
  /** Path as recorded by the compiler. If it is relative, the compiler's working directory is prepended. */
  file: string | null;
  line: number | null;
}

interface Index {
  symbols: FunctionSymbol[];
  functions: DebugFunctions;
  /** Sorted by start. */
  sequences: LineSequence[];
}

/** Cached: reading the tables takes longer than a lookup, and one decoded panic is often followed by another. */
const indexes = new WeakMap<ElfFile, Index>();

/**
 * Looks up the function, file and line of each address in the debug information (DWARF 2 to 5). Without debug information, looks up the
 * function in the symbol table. For inlined code, returns the inlined function.
 * @throws AIOT_IMAGE_MALFORMED with the offset and the reason
 */
export function symbolize(elf: ElfFile | Uint8Array, addresses: readonly number[]): SourcePlace[] {
  const file = elf instanceof Uint8Array ? readAnyElf(elf) : elf;
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
    addressBytes: elf.wide ? 8 : 4,
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
  // Line 0 marks code that the compiler generated without a source line.
  return { file: found.names[found.files[row] ?? 0] || null, line: line === 0 ? null : line };
}

/** A function, or an inlined copy of one. */
interface DebugFunction {
  name: string;
  /** Number of enclosing functions. */
  depth: number;
  ranges: AddressRange[];
}

interface Entry {
  name: string | null;
  /** Offset in .debug_info of the entry that contains the name. */
  origin: number | null;
}

const tags = { inlined: 0x1d, subprogram: 0x2e } as const;
const attributes = { name: 3, origin: 49, specification: 71, linkage: 110 } as const;

/** Maximum length of a chain of origins. A chain normally has two or three entries. In a damaged file, a chain could be a cycle. */
const longestChain = 8;

/**
 * Functions in .debug_info, including inlined functions. A unit is read when one of its addresses is first looked up.
 * @throws AIOT_IMAGE_MALFORMED (also from `at`)
 */
class DebugFunctions {
  readonly units: CompilationUnit[];
  private readonly ranges: RangeReader;
  private readonly read = new Map<CompilationUnit, DebugFunction[]>();
  private readonly entries = new Map<number, Entry>();

  constructor(elf: ElfFile) {
    this.units = compilationUnits(elf);
    this.ranges = new RangeReader(elf);
  }

  /** The innermost function at an address; null if no unit has a function at this address. */
  at(address: number): DebugFunction | null {
    let best: DebugFunction | null = null;
    for (const unit of this.units) {
      if (!inRanges(unit.ranges, address)) continue;
      for (const candidate of this.functionsOf(unit)) {
        if (!inRanges(candidate.ranges, address)) continue;
        if (best === null || candidate.depth >= best.depth) best = candidate;
      }
    }
    return best;
  }

  private functionsOf(unit: CompilationUnit): DebugFunction[] {
    const known = this.read.get(unit);
    if (known !== undefined) return known;
    const found = this.walk(unit).flatMap(({ entry, depth, ranges }) => {
      const name = this.nameOf(entry, longestChain);
      return name === null ? [] : [{ name, depth, ranges }];
    });
    this.read.set(unit, found);
    return found;
  }

  /** All functions in a unit that have code, in order. Their names are resolved last, because an origin may come after its function. */
  private walk(unit: CompilationUnit): { entry: Entry; depth: number; ranges: AddressRange[] }[] {
    const cursor = new Cursor(unit.data, unit.entries, unit.end);
    const found: { entry: Entry; depth: number; ranges: AddressRange[] }[] = [];
    /** For each open entry, whether it is a function. */
    const open: boolean[] = [];
    while (!cursor.done) {
      const at = cursor.at;
      const code = cursor.uleb();
      if (code === 0) {
        open.pop();
        continue;
      }
      const abbreviation = unit.abbreviations.get(code);
      if (abbreviation === undefined) throw cursor.refuse(`abbreviation ${code} is missing from the table`);
      const values = readAttributes(cursor, abbreviation, unit.context);
      const isFunction = abbreviation.tag === tags.subprogram || abbreviation.tag === tags.inlined;
      if (isFunction) {
        const text = (name: number) => {
          const value = values.get(name)?.value;
          return typeof value === 'string' ? value : null;
        };
        const reference = values.get(attributes.origin) ?? values.get(attributes.specification);
        const target = typeof reference?.value === 'number' ? reference.value : null;
        const absolute = reference?.form === forms.sectionReference;
        const entry: Entry = {
          name: demangle(text(attributes.linkage) ?? '') ?? text(attributes.name) ?? text(attributes.linkage),
          origin: target === null ? null : target + (absolute ? 0 : unit.start),
        };
        this.entries.set(at, entry);
        const ranges = this.ranges.of(values, unit.low, unit.context.version);
        if (ranges.length > 0) found.push({ entry, depth: open.filter(Boolean).length, ranges });
      }
      if (abbreviation.children) open.push(isFunction);
    }
    return found;
  }

  private nameOf({ name, origin }: Entry, left: number): string | null {
    if (name !== null || origin === null || left === 0) return name;
    const target = this.entries.get(origin) ?? this.elsewhere(origin);
    return target === undefined ? null : this.nameOf(target, left - 1);
  }

  /** An entry in another unit. A function refers to such an entry if link-time optimization moved the function. */
  private elsewhere(offset: number): Entry | undefined {
    const unit = this.units.find(({ start, end }) => start <= offset && offset < end);
    if (unit === undefined || this.read.has(unit)) return undefined;
    this.walk(unit);
    return this.entries.get(offset);
  }
}

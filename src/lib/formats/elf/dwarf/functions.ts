import { demangle } from '../demangle.js';
import type { ElfFile } from '../read.js';
import { forms, readAttributes } from './abbreviations.js';
import { Cursor } from './cursor.js';
import { type AddressRange, inRanges, RangeReader } from './ranges.js';
import { type CompilationUnit, compilationUnits } from './units.js';

/** A function, or a copy of one where it was put into another. */
export interface DebugFunction {
  name: string;
  /** Functions around it. */
  depth: number;
  ranges: AddressRange[];
}

interface Entry {
  name: string | null;
  /** Offset in .debug_info of the entry that has the name. */
  origin: number | null;
}

const tags = { inlined: 0x1d, subprogram: 0x2e } as const;
const attributes = { name: 3, origin: 49, specification: 71, linkage: 110 } as const;
/** A chain of origins is two or three long; a damaged one could go round. */
const longestChain = 8;

/**
 * Functions by .debug_info, which knows those that were put into others. A unit is read when an address in it is first asked for.
 * @throws AIOT_IMAGE_MALFORMED (also from `at`)
 */
export class DebugFunctions {
  readonly units: CompilationUnit[];
  private readonly ranges: RangeReader;
  private readonly read = new Map<CompilationUnit, DebugFunction[]>();
  private readonly entries = new Map<number, Entry>();

  constructor(elf: ElfFile) {
    this.units = compilationUnits(elf);
    this.ranges = new RangeReader(elf);
  }

  /** The innermost function at an address; null where no unit knows one. */
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

  /** All entries of a unit in their order; names wait until all are known, for an origin may come later. */
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
      if (abbreviation === undefined) throw cursor.refuse(`abbreviation ${code} is in no table`);
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

  /** An entry of another unit: of a function that the linker's optimizer took over. */
  private elsewhere(offset: number): Entry | undefined {
    const unit = this.units.find(({ start, end }) => start <= offset && offset < end);
    if (unit === undefined || this.read.has(unit)) return undefined;
    this.walk(unit);
    return this.entries.get(offset);
  }
}

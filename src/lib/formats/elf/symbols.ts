import { type ElfFile, findSection, sectionData, sectionTypes, stringAt } from './read.js';

/** A function in the symbol table. */
export interface FunctionSymbol {
  address: number;
  /** Size in bytes; 0 if the table does not contain the size, as for labels in assembler code. */
  size: number;
  name: string;
}

/** Positions of an entry's fields in 32-bit and 64-bit files. */
const entries = {
  narrow: { bytes: 16, info: 12, section: 14 },
  wide: { bytes: 24, info: 4, section: 6 },
} as const;
const kinds = { none: 0, function: 2 } as const;
const executable = 0x4;

/** Suffixes that a compiler adds to copies of a function. */
const copies = /(\.(constprop|isra|part|cold|lto_priv|localalias)(\.\d+)?)+$/;

/**
 * Functions and labels in code, by address. Source: System V ABI, "Symbol Table".
 * @throws AIOT_IMAGE_MALFORMED (a compressed table that cannot be inflated)
 */
export function functionsOf(elf: ElfFile): FunctionSymbol[] {
  const table = elf.sections.find(({ type }) => type === sectionTypes.symbols) ?? findSection(elf, '.symtab');
  const names = table === undefined ? undefined : elf.sections[table.link];
  if (table === undefined || names === undefined) return [];
  const bytes = sectionData(elf, table);
  const strings = sectionData(elf, names);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const found: (FunctionSymbol & { rank: number })[] = [];
  const entry = elf.wide ? entries.wide : entries.narrow;
  const wide = (at: number) => view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
  for (let at = 0; at + entry.bytes <= bytes.length; at += entry.bytes) {
    const info = view.getUint8(at + entry.info);
    const kind = info & 0xf;
    const section = elf.sections[view.getUint16(at + entry.section, true)];
    if ((kind !== kinds.function && kind !== kinds.none) || section === undefined) continue;
    if ((section.flags & executable) === 0) continue;
    const name = stringAt(strings, view.getUint32(at, true));
    // The assembler creates names such as `$x` and `.L4`.
    if (name === null || name === '' || /^[.$]/.test(name)) continue;
    const rank = (kind === kinds.function ? 2 : 0) + (info >> 4 !== 0 ? 1 : 0);
    found.push({
      address: elf.wide ? wide(at + 8) : view.getUint32(at + 4, true),
      size: elf.wide ? wide(at + 16) : view.getUint32(at + 8, true),
      name: plainName(name),
      rank,
    });
  }
  return found
    .sort((a, b) => a.address - b.address || a.rank - b.rank)
    .map(({ rank: _, ...symbol }) => symbol);
}

function plainName(name: string): string {
  const own = name.replace(copies, '');
  return demangle(own) ?? own;
}

/** The function that contains an address; null if there is none. */
export function functionAt(functions: readonly FunctionSymbol[], address: number): FunctionSymbol | null {
  let low = 0;
  let high = functions.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((functions[middle]?.address ?? 0) <= address) low = middle + 1;
    else high = middle;
  }
  // Searches backwards, past labels within a function, for the function that contains the address. A function without a size ends where the
  // next function starts.
  for (let index = low - 1; index >= 0 && low - index <= 64; index--) {
    const symbol = functions[index];
    if (symbol === undefined) return null;
    if (symbol.size > 0 && address < symbol.address + symbol.size) return symbol;
    if (symbol.size > 0) break;
  }
  const last = functions[low - 1];
  return last !== undefined && last.size === 0 ? last : null;
}

const structors: Record<string, (name: string) => string> = {
  C: (name) => name,
  D: (name) => `~${name}`,
};

/** C++ operators by their two-letter code. Source: Itanium C++ ABI, 5.1.3. */
const operators: Record<string, string> = {
  nw: ' new',
  na: ' new[]',
  dl: ' delete',
  da: ' delete[]',
  pl: '+',
  mi: '-',
  ml: '*',
  dv: '/',
  rm: '%',
  aS: '=',
  pL: '+=',
  mI: '-=',
  mL: '*=',
  dV: '/=',
  eq: '==',
  ne: '!=',
  lt: '<',
  gt: '>',
  le: '<=',
  ge: '>=',
  nt: '!',
  aa: '&&',
  oo: '||',
  pp: '++',
  mm: '--',
  cl: '()',
  ix: '[]',
  pt: '->',
  ls: '<<',
  rs: '>>',
  an: '&',
  or: '|',
  eo: '^',
  co: '~',
};

/**
 * `_ZN7sensors5Level4readEv` → `sensors::Level::read`: decodes plain C++ names without their parameters, for backtraces. Returns null for
 * all other names: templates, substitutions, local names, and names that are not mangled. Source: Itanium C++ ABI, 5.1.
 */
export function demangle(name: string): string | null {
  const nested = /^_ZN[rVK]*([RO]?)/.exec(name);
  if (nested === null) {
    const [whole = '', digits = ''] = /^_ZL?(\d+)/.exec(name) ?? [];
    const length = Number(digits);
    const source = name.slice(whole.length, whole.length + length);
    const after = name[whole.length + length];
    return whole === '' || source.length < length || after === 'I' ? null : plain(source);
  }
  const parts: string[] = [];
  let at = nested[0].length;
  if (name.startsWith('St', at)) {
    parts.push('std');
    at += 2;
  }
  for (;;) {
    const rest = name.slice(at);
    if (rest.startsWith('E')) return parts.length === 0 ? null : parts.join('::');
    const [whole, digits] = /^L?(\d+)/.exec(rest) ?? [];
    if (whole !== undefined && digits !== undefined) {
      const source = rest.slice(whole.length, whole.length + Number(digits));
      if (source.length < Number(digits)) return null;
      parts.push(plain(source));
      at += whole.length + source.length;
      continue;
    }
    const structor = /^([CD])[0-5]/.exec(rest)?.[1];
    const operator = operators[rest.slice(0, 2)];
    const last = parts.at(-1);
    if (structor !== undefined && last !== undefined) parts.push(structors[structor]?.(last) ?? last);
    else if (operator !== undefined) parts.push(`operator${operator}`);
    else return null;
    at += 2;
  }
}

function plain(source: string): string {
  return source.startsWith('_GLOBAL__N') ? '(anonymous namespace)' : source;
}

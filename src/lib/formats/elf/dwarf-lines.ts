import { posix, win32 } from 'node:path';
import { type Cursor, type FormContext, readForm } from './dwarf-units.js';

/** Line table rows for a contiguous range of code, in ascending order. `end` is the first address after the range. */
export interface LineSequence {
  start: number;
  end: number;
  addresses: number[];
  files: number[];
  lines: number[];
  /** Paths, indexed by `files`. */
  names: string[];
}

const standard = { copy: 1, advance: 2, line: 3, file: 4, constant: 8, fixed: 9 } as const;
const extended = { end: 1, address: 2, file: 3 } as const;

/** Runs a line program. Source: DWARF 5, 6.2.5. @throws AIOT_IMAGE_MALFORMED */
export function runLineProgram(unit: Cursor, header: LineHeader): LineSequence[] {
  const { instructionBytes, lineBase, lineRange, opcodeBase } = header;
  const names = [...header.files];
  const sequences: LineSequence[] = [];
  let rows = newRows(names);
  let address = 0;
  let file = 1;
  let line = 1;
  const row = () => {
    const last = rows.addresses.length - 1;
    // If several rows have the same address, the last one applies.
    const at = rows.addresses[last] === address ? last : last + 1;
    rows.addresses[at] = address;
    rows.files[at] = file;
    rows.lines[at] = line;
  };
  const restart = () => {
    rows = newRows(names);
    address = 0;
    file = 1;
    line = 1;
  };
  while (!unit.done) {
    const opcode = unit.u8();
    if (opcode >= opcodeBase) {
      const adjusted = opcode - opcodeBase;
      address += Math.floor(adjusted / lineRange) * instructionBytes;
      line += lineBase + (adjusted % lineRange);
      row();
    } else if (opcode === 0) {
      const next = unit.uleb() + unit.at;
      if (next > unit.end || next === unit.at) throw unit.refuse('an extended opcode has a wrong length');
      const kind = unit.u8();
      if (kind === extended.end) {
        const ended = finished(rows, address);
        if (ended !== null) sequences.push(ended);
        restart();
      } else if (kind === extended.address) address = next - unit.at === 8 ? unit.u64() : unit.u32();
      else if (kind === extended.file) names.push(unit.text());
      unit.at = next;
    } else if (opcode === standard.copy) row();
    else if (opcode === standard.advance) address += unit.uleb() * instructionBytes;
    else if (opcode === standard.line) line += unit.sleb();
    else if (opcode === standard.file) file = unit.uleb();
    else if (opcode === standard.constant) {
      address += Math.floor((255 - opcodeBase) / lineRange) * instructionBytes;
    } else if (opcode === standard.fixed) address += unit.u16();
    else for (let operand = header.operands[opcode - 1] ?? 0; operand > 0; operand--) unit.uleb();
  }
  return sequences;
}

function newRows(names: string[]): LineSequence {
  return { start: 0, end: 0, addresses: [], files: [], lines: [], names };
}

/** Completes a sequence. Returns null if the sequence has no code, for example because the linker removed the function. */
function finished(rows: LineSequence, end: number): LineSequence | null {
  const start = rows.addresses[0];
  return start === undefined || start === 0 || end <= start ? null : { ...rows, start, end };
}

/** Header of a line table. Source: DWARF 5, 6.2.4; for older tables, the standards for versions 2 to 4. */
interface LineHeader {
  version: number;
  addressBytes: number;
  instructionBytes: number;
  lineBase: number;
  lineRange: number;
  opcodeBase: number;
  /** Number of operands of each standard opcode: index 0 is opcode 1. */
  operands: number[];
  /** Paths. Indices start at 0 in version 5, and at 1 in earlier versions, where index 0 is empty. */
  files: string[];
}

const contentTypes = { path: 1, folder: 2 } as const;

/**
 * Reads the header of a line table. Returns null for an unknown version. `folder`: the compiler's working directory. @throws
 * AIOT_IMAGE_MALFORMED
 */
export function readLineHeader(
  unit: Cursor,
  context: Omit<FormContext, 'version'>,
  folder: string,
): LineHeader | null {
  const version = unit.u16();
  if (version < 2 || version > 5) return null;
  const addressBytes = version === 5 ? unit.u8() : 4;
  if (version === 5) unit.skip(1);
  const length = unit.word(context.wide);
  const program = unit.at + length;
  const instructionBytes = unit.u8();
  if (version >= 4) unit.skip(1);
  unit.skip(1);
  const lineBase = unit.i8();
  const lineRange = unit.u8();
  if (lineRange === 0) throw unit.refuse('the line range is 0');
  const opcodeBase = unit.u8();
  const operands = Array.from({ length: Math.max(0, opcodeBase - 1) }, () => unit.u8());
  const form = { ...context, version, addressBytes };
  const files = version === 5 ? filesOf5(unit, form, folder) : filesOf(unit, folder);
  if (program > unit.end) throw unit.refuse('the header extends past its table');
  unit.at = program;
  return { version, addressBytes, instructionBytes, lineBase, lineRange, opcodeBase, operands, files };
}

function filesOf(unit: Cursor, folder: string): string[] {
  const folders = [folder];
  for (let name = unit.text(); name !== ''; name = unit.text()) folders.push(joined(folder, name));
  const files = [''];
  for (let name = unit.text(); name !== ''; name = unit.text()) {
    files.push(joined(folders[unit.uleb()] ?? folder, name));
    unit.uleb();
    unit.uleb();
  }
  return files;
}

function filesOf5(unit: Cursor, context: FormContext, folder: string): string[] {
  const folders: string[] = [];
  for (const { path } of entries(unit, context)) folders.push(joined(folders[0] ?? folder, path));
  return [...entries(unit, context)].map((file) => joined(folders[file.folder] ?? folder, file.path));
}

function* entries(unit: Cursor, context: FormContext): Generator<{ path: string; folder: number }> {
  const formats = Array.from({ length: unit.u8() }, () => ({ type: unit.uleb(), form: unit.uleb() }));
  const count = unit.uleb();
  for (let index = 0; index < count; index++) {
    const start = unit.at;
    const entry = { path: '', folder: 0 };
    for (const { type, form } of formats) {
      const value = readForm(unit, form, context);
      if (type === contentTypes.path && typeof value === 'string') entry.path = value;
      if (type === contentTypes.folder && typeof value === 'number') entry.folder = value;
    }
    // If the count is damaged, reading entries of zero bytes would never end.
    if (unit.at === start) return;
    yield entry;
  }
}

/** Joins paths in the compiling machine's form, without converting them to this machine's form. */
function joined(folder: string, path: string): string {
  if (posix.isAbsolute(path) || win32.isAbsolute(path) || folder === '') return path;
  return `${folder}/${path}`;
}

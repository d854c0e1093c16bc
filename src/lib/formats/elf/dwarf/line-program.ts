import type { Cursor } from './cursor.js';
import type { LineHeader } from './line-header.js';

/** Rows of one stretch of code, ascending; `end` is the first address behind it. */
export interface LineSequence {
  start: number;
  end: number;
  addresses: number[];
  files: number[];
  lines: number[];
  /** Paths by the numbers in `files`. */
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
    // Of several rows for one address the last holds.
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

/** null for a stretch without code: of a function that the linker left out. */
function finished(rows: LineSequence, end: number): LineSequence | null {
  const start = rows.addresses[0];
  return start === undefined || start === 0 || end <= start ? null : { ...rows, start, end };
}

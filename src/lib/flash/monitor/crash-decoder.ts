import { createHash } from 'node:crypto';
import { readBytes } from '../../core/files.js';
import { type ElfFile, readElf, sectionTypes } from '../../formats/elf/read.js';
import { symbolize } from '../../formats/elf/symbolize.js';
import { type CrashDecoder, frame } from './crashes.js';

/** Opens the ELF file of a program to decode its crashes. @throws AIOT_FILE_NOT_FOUND, AIOT_IMAGE_MALFORMED */
export async function openDecoder(path: string): Promise<CrashDecoder> {
  const bytes = await readBytes(path);
  const code = new ProgramCode(bytes, path);
  const hash = createHash('sha256').update(bytes).digest('hex');
  return {
    frames: (addresses) => {
      const seen = new Set<string>();
      const inCode = addresses.filter(({ address, from }) => {
        const key = `${from}/${address}`;
        const fresh = !seen.has(key);
        seen.add(key);
        return fresh && (from === 'stack' ? code.followsCall(address) : code.has(address));
      });
      // A return address points after the call, so the address before it is looked up.
      const places = symbolize(
        code.elf,
        inCode.map(({ address, from }) => (isWayBack(from) ? address - 1 : address)),
      );
      return inCode.map((each, i) => ({ ...frame(each), ...place(places[i]) }));
    },
    isFrom: (elfHash) => hash.startsWith(elfHash),
  };
}

const isWayBack = (from: string) => from === 'stack' || from === 'RA' || from === 'A0';

function place(found: { function: string | null; file: string | null; line: number | null } | undefined) {
  return found
    ? { function: found.function, file: found.file, line: found.line }
    : { function: null, file: null, line: null };
}

/** Flag of ELF sections that contain code (SHF_EXECINSTR). */
const executable = 0x4;

/** Determines which addresses can be in a program's code. */
class ProgramCode {
  readonly elf: ElfFile;
  private readonly ranges: { start: number; end: number; bytes: Uint8Array }[];

  /** @throws AIOT_IMAGE_MALFORMED */
  constructor(bytes: Uint8Array, what: string) {
    this.elf = readElf(bytes, what);
    this.ranges = this.elf.sections
      .filter(({ type, flags, size }) => type === sectionTypes.progbits && flags & executable && size > 0)
      .map(({ address, offset, size }) => ({
        start: address,
        end: address + size,
        bytes: bytes.subarray(offset, offset + size),
      }));
  }

  has(address: number): boolean {
    return this.ranges.some(({ start, end }) => address >= start && address < end);
  }

  /**
   * Whether the instruction before this address is a call, so that the address can be a return address on the stack. RISC-V only (the ISA
   * manual, 2.5 and 16.5): JAL and JALR into ra, C.JAL, C.JALR.
   */
  followsCall(address: number): boolean {
    const range = this.ranges.find(({ start, end }) => address > start && address <= end);
    if (!range || address % 2 !== 0 || this.elf.machine !== 'riscv') return false;
    const half = (at: number) => (range.bytes[at] ?? 0) | ((range.bytes[at + 1] ?? 0) << 8);
    const at = address - range.start;
    const short = at >= 2 ? half(at - 2) : 0;
    // C.JALR: 1001 rs1≠0 00000 10; C.JAL (RV32): 001 … 01.
    if ((short & 0xf07f) === 0x9002 && (short & 0x0f80) !== 0) return true;
    if ((short & 0xe003) === 0x2001) return true;
    const long = at >= 4 ? half(at - 4) : 0;
    const opcode = long & 0x7f;
    return (opcode === 0x6f || opcode === 0x67) && ((long >> 7) & 0x1f) === 1;
  }
}

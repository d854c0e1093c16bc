import type { EspImage } from '../../../src/lib/formats/esp-image/read.js';

/** The program's calls into the ROM. */
const rom = { printf: 0x40000040, delay: 0x40000050 } as const;
const ramStart = 0x3fc80000;
const ramEnd = 0x403e0000;

/**
 * Loads an image like the C3's ROM, and runs it. Supports the part of RV32IMC, without interrupts, that the small program in this
 * folder needs. Returns the program's output up to its `delays`th delay. Source: the RISC-V instruction set manual, volume I.
 */
export function runOnC3(
  image: EspImage,
  bytes: Uint8Array,
  delays = 2,
  longestRun = 1_000_000,
): { printed: string; written: Map<number, number> } {
  const memory = new DataView(new ArrayBuffer(ramEnd - ramStart));
  const written = new Map<number, number>();
  for (const { address, offset, length } of image.segments) {
    if (address === 0) continue;
    new Uint8Array(memory.buffer).set(bytes.subarray(offset, offset + length), address - ramStart);
  }
  const x = new Int32Array(32);
  let pc = image.entry;
  let printed = '';
  let left = delays;
  const isRam = (address: number) => address >= ramStart && address < ramEnd;
  const load = (address: number, kind: number): number => {
    if (!isRam(address)) return written.get(address) ?? 0;
    const at = address - ramStart;
    if (kind === 0) return memory.getInt8(at);
    if (kind === 1) return memory.getInt16(at, true);
    if (kind === 2) return memory.getInt32(at, true);
    return kind === 4 ? memory.getUint8(at) : memory.getUint16(at, true);
  };
  const store = (address: number, kind: number, value: number) => {
    if (!isRam(address)) written.set(address, value >>> 0);
    else if (kind === 0) memory.setInt8(address - ramStart, value);
    else if (kind === 1) memory.setInt16(address - ramStart, value, true);
    else memory.setInt32(address - ramStart, value, true);
  };
  const text = (address: number): string => {
    let end = address;
    while (load(end, 4) !== 0) end++;
    return Buffer.from(memory.buffer, address - ramStart, end - address).toString();
  };
  for (let step = 0; step < longestRun; step++) {
    if (pc === rom.printf || pc === rom.delay) {
      if (pc === rom.delay && --left === 0) return { printed, written };
      let argument = 11;
      if (pc === rom.printf) printed += text(x[10]! >>> 0).replace(/%d/g, () => String(x[argument++]));
      pc = x[1]! >>> 0;
      continue;
    }
    const half = load(pc, 5);
    const short = (half & 3) !== 3;
    const word = short ? expand(half) : load(pc, 2);
    const next = pc + (short ? 2 : 4);
    pc = execute(word, x, pc, next, load, store) >>> 0;
    x[0] = 0;
  }
  throw new Error(
    `still running after ${longestRun} instructions, at 0x${pc.toString(16)}; printed: ${printed}`,
  );
}

/** Executes a 32-bit instruction. Returns the next address. */
function execute(
  word: number,
  x: Int32Array,
  pc: number,
  next: number,
  load: (address: number, kind: number) => number,
  store: (address: number, kind: number, value: number) => void,
): number {
  const rd = (word >> 7) & 31;
  const kind = (word >> 12) & 7;
  const a = x[(word >> 15) & 31]!;
  const b = x[(word >> 20) & 31]!;
  const immediate = word >> 20;
  switch (word & 0x7f) {
    case 0x37:
      x[rd] = word & 0xfffff000;
      return next;
    case 0x17:
      x[rd] = pc + (word & 0xfffff000);
      return next;
    case 0x6f: {
      const offset = ((word >> 31) << 20) | (word & 0xff000) | ((word >> 9) & 0x800) | ((word >> 20) & 0x7fe);
      x[rd] = next;
      return pc + offset;
    }
    case 0x67:
      x[rd] = next;
      return (a + immediate) & ~1;
    case 0x63: {
      const taken = [a === b, a !== b, false, false, a < b, a >= b, a >>> 0 < b >>> 0, a >>> 0 >= b >>> 0][
        kind
      ];
      const offset =
        ((word >> 31) << 12) | ((word << 4) & 0x800) | ((word >> 20) & 0x7e0) | ((word >> 7) & 0x1e);
      return taken ? pc + offset : next;
    }
    case 0x03:
      x[rd] = load((a + immediate) >>> 0, kind);
      return next;
    case 0x23:
      store((a + (((word >> 25) << 5) | rd)) >>> 0, kind, b);
      return next;
    case 0x13:
      x[rd] = arithmetic(kind, a, immediate, kind === 5 && (word & 0x40000000) !== 0);
      return next;
    case 0x33:
      x[rd] =
        word >>> 25 === 1 ? multiply(kind, a, b) : arithmetic(kind, a, b, (word & 0x40000000) !== 0, true);
      return next;
    default:
      throw new Error(`instruction 0x${(word >>> 0).toString(16)} at 0x${pc.toString(16)} is not known here`);
  }
}

function arithmetic(kind: number, a: number, b: number, other: boolean, register = false): number {
  switch (kind) {
    case 0:
      return register && other ? a - b : a + b;
    case 1:
      return a << (b & 31);
    case 2:
      return a < b ? 1 : 0;
    case 3:
      return a >>> 0 < b >>> 0 ? 1 : 0;
    case 4:
      return a ^ b;
    case 5:
      return other ? a >> (b & 31) : a >>> (b & 31);
    case 6:
      return a | b;
    default:
      return a & b;
  }
}

function multiply(kind: number, a: number, b: number): number {
  if (kind === 0) return Math.imul(a, b);
  // The high word of the product of two signed, a signed and an unsigned, or two unsigned numbers (mulh, mulhsu, mulhu).
  if (kind === 1) return Number((BigInt(a) * BigInt(b)) >> 32n);
  if (kind === 2) return Number(BigInt.asIntN(32, (BigInt(a) * BigInt(b >>> 0)) >> 32n));
  if (kind === 3) return Number(BigInt.asIntN(32, (BigInt(a >>> 0) * BigInt(b >>> 0)) >> 32n));
  if (kind === 4) return b === 0 ? -1 : Math.trunc(a / b);
  if (kind === 5) return b === 0 ? -1 : Math.floor((a >>> 0) / (b >>> 0));
  if (kind === 6) return b === 0 ? a : a % b;
  return b === 0 ? a : (a >>> 0) % (b >>> 0);
}

const register = (half: number, at: number) => 8 + ((half >> at) & 7);
const iType = (immediate: number, rs1: number, kind: number, rd: number, opcode: number) =>
  ((immediate & 0xfff) << 20) | (rs1 << 15) | (kind << 12) | (rd << 7) | opcode;
const rType = (seven: number, rs2: number, rs1: number, kind: number, rd: number) =>
  (seven << 25) | (rs2 << 20) | (rs1 << 15) | (kind << 12) | (rd << 7) | 0x33;
const sType = (immediate: number, rs2: number, rs1: number) =>
  ((immediate >> 5) << 25) | (rs2 << 20) | (rs1 << 15) | (2 << 12) | ((immediate & 31) << 7) | 0x23;

/** Expands a compressed instruction to its 32-bit form (chapter "C" of the manual). */
function expand(half: number): number {
  const rd = (half >> 7) & 31;
  const rs2 = (half >> 2) & 31;
  const low = register(half, 7);
  const lowB = register(half, 2);
  const six = (((half << 19) >> 31) << 5) | ((half >> 2) & 31);
  const wordOffset = ((half >> 7) & 0x38) | ((half >> 4) & 4) | ((half << 1) & 0x40);
  const jump =
    (((half << 19) >> 31) << 11) |
    ((half >> 1) & 0x300) |
    ((half << 2) & 0x400) |
    ((half >> 1) & 0x40) |
    ((half << 1) & 0x80) |
    ((half >> 7) & 0x10) |
    ((half >> 2) & 0xe) |
    ((half << 3) & 0x20);
  const branch =
    (((half << 19) >> 31) << 8) |
    ((half >> 7) & 0x18) |
    ((half << 1) & 0xc0) |
    ((half >> 2) & 6) |
    ((half << 3) & 0x20);
  const jType = (link: number) =>
    (((jump >> 20) & 1) << 31) |
    ((jump & 0x7fe) << 20) |
    (((jump >> 11) & 1) << 20) |
    (jump & 0xff000) |
    (link << 7) |
    0x6f;
  const bType = (kind: number) =>
    (((branch >> 12) & 1) << 31) |
    (((branch >> 5) & 0x3f) << 25) |
    (low << 15) |
    (kind << 12) |
    (((branch >> 1) & 15) << 8) |
    (((branch >> 11) & 1) << 7) |
    0x63;
  switch (((half & 3) << 3) | (half >> 13)) {
    case 0o00:
      return iType(
        ((half >> 7) & 0x30) | ((half >> 1) & 0x3c0) | ((half >> 4) & 4) | ((half >> 2) & 8),
        2,
        0,
        lowB,
        0x13,
      );
    case 0o02:
      return iType(wordOffset, low, 2, lowB, 0x03);
    case 0o06:
      return sType(wordOffset, lowB, low);
    case 0o10:
      return iType(six, rd, 0, rd, 0x13);
    case 0o11:
      return jType(1);
    case 0o12:
      return iType(six, 0, 0, rd, 0x13);
    case 0o13:
      if (rd !== 2) return (six << 12) | (rd << 7) | 0x37;
      return iType(
        (((half << 19) >> 31) << 9) |
          ((half >> 2) & 0x10) |
          ((half << 1) & 0x40) |
          ((half << 4) & 0x180) |
          ((half << 3) & 0x20),
        ...([2, 0, 2, 0x13] as const),
      );
    case 0o14: {
      const how = (half >> 10) & 3;
      if (how < 2) return iType((six & 31) | (how << 10), low, 5, low, 0x13);
      if (how === 2) return iType(six, low, 7, low, 0x13);
      const operation = (half >> 5) & 3;
      return rType(operation === 0 ? 0x20 : 0, lowB, low, [0, 4, 6, 7][operation]!, low);
    }
    case 0o15:
      return jType(0);
    case 0o16:
      return bType(0);
    case 0o17:
      return bType(1);
    case 0o20:
      return iType(six & 31, rd, 1, rd, 0x13);
    case 0o22:
      return iType(((half >> 7) & 0x20) | ((half >> 2) & 0x1c) | ((half << 4) & 0xc0), 2, 2, rd, 0x03);
    case 0o24:
      if (rs2 !== 0) return rType(0, rs2, half & 0x1000 ? rd : 0, 0, rd);
      return iType(0, rd, 0, half & 0x1000 ? 1 : 0, 0x67);
    case 0o26:
      return sType(((half >> 7) & 0x3c) | ((half >> 1) & 0xc0), rs2, 2);
    default:
      throw new Error(`compressed instruction 0x${half.toString(16)} is not known here`);
  }
}

/** Values of e_machine that a device which is a computer may have. Source: System V ABI, and its supplements. */
const machines: Record<number, string> = { 40: 'arm', 62: 'x86-64', 183: 'aarch64', 243: 'riscv' };

/** The machine of a program for Linux (ELF, executable or position-independent); null = it is none. */
export function readProgram(bytes: Uint8Array): string | null {
  if (bytes.length < 52) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [magic, little] = [view.getUint32(0), bytes[5] === 1];
  if (magic !== 0x7f454c46 || !little) return null;
  const [type, machine] = [view.getUint16(16, true), view.getUint16(18, true)];
  // ET_EXEC and ET_DYN; one of 32 bits for RISC-V is a chip's, and comes as an image.
  if ((type !== 2 && type !== 3) || (machine === 243 && bytes[4] === 1)) return null;
  return machines[machine] ?? null;
}

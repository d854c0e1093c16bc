import {
  blockLock,
  blockOffset,
  blockWords,
  burnLayouts,
  checkBytesOf,
  firstKeyBlock,
  fuseCommands,
  fuseRegisters,
  keyBlockCount,
} from '../../formats/efuse-burn.js';
import type { ChipName } from '../../formats/esp-image/chips.js';
import { putWord, wordAt } from './protocol.js';

/** Bytes of a block as they are stored: the data, and the check bytes, which all blocks except the first have. */
const storedBytes = 44;

const dataBytes = 32;

/**
 * The fuses of a chip that aiot can lock, and the controller that burns them. A fuse can only change from 0 to 1. The chip sees
 * the fuses as they were at its reset, or at the controller's last read. Source: technical reference manuals, "eFuse Controller".
 */
export class FuseArray {
  private readonly stored: Uint8Array[];
  private seen: Uint8Array[] = [];
  private readonly registers = new Map<number, number>();
  /** Whether a host has burned fuses, or they are from a file. Only then do they determine the behavior of the chip. */
  burned = false;

  /**
   * @param words initial words by address @param saved the result of an earlier `save`
   * @param powerFails called before bits are burned; returns whether the power fails then, so that only some bits are burned
   */
  constructor(
    readonly chip: ChipName,
    private readonly controller: number,
    words: ReadonlyMap<number, number>,
    saved: Uint8Array | undefined,
    private readonly powerFails: () => boolean,
  ) {
    this.stored = blockWords.map((count, block) => {
      const bytes = new Uint8Array(storedBytes);
      const address = controller + blockOffset(block);
      for (let word = 0; word < count; word++) putWord(bytes, 4 * word, words.get(address + 4 * word) ?? 0);
      if (block > 0) bytes.set(checkBytesOf(bytes.subarray(0, dataBytes)), dataBytes);
      return bytes;
    });
    if (saved !== undefined) {
      this.burned = true;
      for (const [block, bytes] of this.stored.entries())
        bytes.set(saved.subarray(block * storedBytes, (block + 1) * storedBytes));
    }
    this.reset();
  }

  /** The fuses as a file, 484 bytes. */
  save(): Uint8Array {
    return Buffer.concat(this.stored);
  }

  /** Reads the fuses again, as a reset does. */
  reset(): void {
    this.registers.clear();
    this.latch();
  }

  has(address: number): boolean {
    return address >= this.controller && address < this.controller + fuseRegisters.end;
  }

  read(address: number): number {
    const offset = address - this.controller;
    const known = this.registers.get(offset);
    if (known !== undefined) return known;
    for (const [block, words] of blockWords.entries()) {
      const at = offset - blockOffset(block);
      if (at >= 0 && at < 4 * words) return wordAt(this.seen[block] ?? new Uint8Array(0), at);
    }
    return this.errorsAt(offset);
  }

  write(address: number, value: number): void {
    const offset = address - this.controller;
    if (offset !== fuseRegisters.command) {
      this.registers.set(offset, value >>> 0);
      return;
    }
    const mode = this.registers.get(fuseRegisters.configuration);
    if (value & fuseCommands.program && mode === fuseCommands.write) this.program((value >>> 2) & 0xf);
    else if (value & fuseCommands.readAll && mode === fuseCommands.read) this.latch();
  }

  /** Block 0, as the chip sees it. */
  get words(): number[] {
    return Array.from({ length: blockWords[0] }, (_, word) => wordAt(this.seen[0]!, 4 * word));
  }

  /** The contents of a key block. The hardware also sees keys that software cannot read. */
  key(block: number): Uint8Array {
    return this.stored[firstKeyBlock + block]!.slice(0, dataBytes);
  }

  /** Number of check bytes that do not match the data. The controller reports up to 7 of them. */
  private errorsAt(offset: number): number {
    let word = 0;
    const from = (offset - fuseRegisters.codeErrors) * 2 + 1;
    if (offset !== fuseRegisters.codeErrors && offset !== fuseRegisters.codeErrors + 4) return 0;
    for (let index = 0; index < 8; index++) {
      const bytes = this.stored[from + index];
      if (bytes === undefined) break;
      const right = checkBytesOf(bytes.subarray(0, dataBytes));
      const wrong = right.filter((byte, at) => byte !== bytes[dataBytes + at]).length;
      word |= Math.min(wrong, 7) << (4 * index);
      if (wrong > 0) word |= 8 << (4 * index);
    }
    return word >>> 0;
  }

  private program(block: number): void {
    const bytes = this.stored[block];
    if (bytes === undefined || this.isLocked(blockLock(block), block)) return;
    this.burned = true;
    const wanted = new Uint8Array(storedBytes);
    for (let word = 0; word < storedBytes / 4; word++)
      putWord(wanted, 4 * word, this.registers.get(fuseRegisters.data + 4 * word) ?? 0);
    if (block === 0) this.dropLocked(wanted);
    const bits = bitsOf(wanted).filter((bit) => !((bytes[bit >>> 3] ?? 0) & (1 << (bit & 7))));
    const kept = this.powerFails() ? bits.slice(0, Math.floor(bits.length / 2)) : bits;
    for (const bit of kept) bytes[bit >>> 3]! |= 1 << (bit & 7);
    for (let word = 0; word < storedBytes / 4; word++) this.registers.delete(fuseRegisters.data + 4 * word);
  }

  private isLocked(lock: number, block: number): boolean {
    return block > 0 && ((wordAt(this.stored[0]!, 0) >>> lock) & 1) === 1;
  }

  /** Removes the bits of write-protected fuses, and words that do not exist. */
  private dropLocked(wanted: Uint8Array): void {
    const locks = wordAt(this.stored[0]!, 0);
    wanted.fill(0, 4 * blockWords[0]);
    for (const field of Object.values(burnLayouts[this.chip]?.fields ?? {})) {
      if (field === undefined) continue;
      const { word, bit, bits, lock } = field;
      if (lock === null || ((locks >>> lock) & 1) === 0) continue;
      const mask = (2 ** bits - 1) * 2 ** bit;
      putWord(wanted, 4 * word, (wordAt(wanted, 4 * word) & ~mask) >>> 0);
    }
  }

  private latch(): void {
    this.seen = this.stored.map((bytes) => bytes.slice(0, dataBytes));
    const unreadable = wordAt(this.stored[0]!, 4);
    for (let key = 0; key < keyBlockCount; key++)
      if ((unreadable >>> key) & 1) this.seen[firstKeyBlock + key]!.fill(0);
  }
}

/** Numbers of the bits that are set, from the first byte's lowest. */
function bitsOf(bytes: Uint8Array): number[] {
  const bits: number[] = [];
  for (let bit = 0; bit < 8 * bytes.length; bit++)
    if ((bytes[bit >>> 3] ?? 0) & (1 << (bit & 7))) bits.push(bit);
  return bits;
}

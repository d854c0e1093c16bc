import { createHash } from 'node:crypto';
import { sectorBytes } from './protocol.js';

/** How long a flash chip takes, in ms. Typical values of a W25Q32's data sheet, section "AC electrical characteristics". */
export const norTimes = {
  program256Bytes: 0.4,
  eraseSector: 45,
  eraseBlock64KiB: 150,
  eraseMiB: 2500,
  /** Reading and hashing, by the chip's CPU. */
  md5KiB: 0.4,
} as const;

const blockBytes = 0x10000;

/**
 * NOR flash: erasing a sector sets all bits, programming only clears bits. Keeps the count of erases per sector. All
 * offsets and lengths are bytes.
 */
export class NorFlash {
  readonly bytes: Uint8Array;
  /** How often each sector of 4096 bytes was erased. */
  readonly erases: Uint32Array;

  constructor(size: number, content?: Uint8Array) {
    this.bytes = new Uint8Array(size).fill(0xff);
    this.erases = new Uint32Array(Math.ceil(size / sectorBytes));
    if (content) this.bytes.set(content.subarray(0, size));
  }

  get size(): number {
    return this.bytes.length;
  }

  /** Clears bits. False when the flash does not hold `data` afterwards: it was not erased before. */
  program(offset: number, data: Uint8Array): boolean {
    let held = true;
    const end = Math.min(data.length, this.size - offset);
    for (let at = 0; at < end; at++) {
      const wanted = data[at] as number;
      const now = (this.bytes[offset + at] as number) & wanted;
      this.bytes[offset + at] = now;
      if (now !== wanted) held = false;
    }
    return held && end === data.length;
  }

  /** Erases the sectors that [offset, offset + length) touches; returns the ms a chip takes, blocks of 64 KiB at once. */
  erase(offset: number, length: number): number {
    let ms = 0;
    let at = offset - (offset % sectorBytes);
    const end = Math.min(this.size, offset + length);
    while (at < end) {
      const whole = at % blockBytes === 0 && at + blockBytes <= end;
      ms += whole ? norTimes.eraseBlock64KiB : norTimes.eraseSector;
      const next = at + (whole ? blockBytes : sectorBytes);
      for (let sector = at; sector < next; sector += sectorBytes) this.eraseSector(sector);
      at = next;
    }
    return ms;
  }

  eraseAll(): number {
    for (let at = 0; at < this.size; at += sectorBytes) this.eraseSector(at);
    return (this.size / 2 ** 20) * norTimes.eraseMiB;
  }

  isBlank(sector: number): boolean {
    return this.bytes.subarray(sector, sector + sectorBytes).every((byte) => byte === 0xff);
  }

  md5(offset: number, length: number): Uint8Array {
    return createHash('md5')
      .update(this.bytes.subarray(offset, offset + length))
      .digest();
  }

  private eraseSector(offset: number): void {
    this.bytes.fill(0xff, offset, offset + sectorBytes);
    const sector = offset / sectorBytes;
    this.erases[sector] = (this.erases[sector] ?? 0) + 1;
  }
}

import type { EfuseWords } from './efuse.js';
import type { ChipIdentity } from './identity.js';
import type { SpiController } from './spi.js';

const uartClock = 40_000_000;
const esp32UartDivider = 0x3ff40014;

/** The chip's address space as READ_REG and WRITE_REG see it: fuses, SPI controller, UART divider, else plain memory. */
export class Registers {
  private readonly memory = new Map<number, number>();

  constructor(
    private readonly identity: ChipIdentity,
    private readonly fixed: EfuseWords,
    private readonly spi: SpiController,
    private readonly baud: () => number,
  ) {}

  read(address: number): number {
    const fuse = this.fixed.get(address);
    if (fuse !== undefined) return fuse;
    if (address === 0x40001000) return this.identity.magic;
    if (this.spi.has(address)) return this.spi.read(address);
    if (this.identity.name === 'esp32' && address === esp32UartDivider)
      return Math.round(uartClock / this.baud());
    return this.memory.get(address) ?? 0;
  }

  /** Only the bits of `mask` change. */
  write(address: number, value: number, mask: number): void {
    const next = ((this.read(address) & ~mask) | (value & mask)) >>> 0;
    if (this.spi.has(address)) this.spi.write(address, next);
    else this.memory.set(address, next);
  }

  reset(): void {
    this.memory.clear();
    this.spi.reset();
  }
}

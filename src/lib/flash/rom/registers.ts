import type { EfuseWords } from './efuse.js';
import type { ChipIdentity } from './identity.js';
import { type SpiController, spiOp } from './spi.js';

/** Bits 0 to 19 whole, 20 to 23 sixteenths: ESP32 technical reference manual, UART_CLKDIV_REG. */
const esp32UartDivider = 0x3ff40014;

/** The chip's address space as READ_REG and WRITE_REG see it: fuses, SPI controller, UART divider, else plain memory. */
export class Registers {
  private readonly memory = new Map<number, number>();

  constructor(
    private readonly identity: ChipIdentity,
    private readonly fixed: EfuseWords,
    private readonly spi: SpiController,
    private readonly uart: { baud: number; clockHz: number },
  ) {}

  read(address: number): number {
    const fuse = this.fixed.get(address);
    if (fuse !== undefined) return fuse;
    if (address === 0x40001000) return this.identity.magic;
    if (this.spi.has(address)) return this.spi.read(address);
    if (this.identity.name === 'esp32' && address === esp32UartDivider) return this.uartDivider();
    return this.memory.get(address) ?? 0;
  }

  /** Only the bits of `mask` change. */
  write(address: number, value: number, mask: number): void {
    const next = ((this.read(address) & ~mask) | (value & mask)) >>> 0;
    if (this.spi.has(address)) this.spi.write(address, next);
    else this.memory.set(address, next);
  }

  private uartDivider(): number {
    const sixteenths = Math.round((16 * this.uart.clockHz) / this.uart.baud);
    return (sixteenths >> 4) | ((sixteenths & 15) << 20);
  }

  /** The newer stub sets the SPI controller up for user commands, and the ESP32's bus to 80 MHz, when it starts. */
  stubStarts(): void {
    this.setUser(0x80000000);
    if (this.identity.name === 'esp32') this.uart.clockHz = 80_000_000;
  }

  /** Where ROM or stub read the flash, the SPI controller keeps their command with its address and its answer. */
  flashWasRead(): void {
    this.setUser(0xd0000000);
    const { base, user2 } = this.identity.spi;
    this.write(base + user2, 0x70000000 | spiOp.read, 0xffffffff);
  }

  private setUser(bits: number): void {
    const { base, user } = this.identity.spi;
    this.write(base + user, bits, bits);
  }

  /** @param strap the strapping pins, as they were when the chip came up */
  reset(strap: number): void {
    this.memory.clear();
    this.spi.reset();
    this.memory.set(this.identity.strapRegister, strap);
  }
}

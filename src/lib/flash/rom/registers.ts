import type { NorFlash } from './flash-memory.js';
import type { FuseArray } from './fuse-array.js';
import type { ChipIdentity, EfuseWords, SpiLayout } from './identity.js';

/** Bits 0 to 19 are the integer part, 20 to 23 sixteenths: ESP32 technical reference manual, UART_CLKDIV_REG. */
const esp32UartDivider = 0x3ff40014;

/** The chip's address space for READ_REG and WRITE_REG: fuses, SPI controller and UART divider. All other addresses are plain memory. */
export class Registers {
  private readonly memory = new Map<number, number>();

  constructor(
    private readonly identity: ChipIdentity,
    private readonly fixed: EfuseWords,
    private readonly spi: SpiController,
    private readonly uart: { baud: number; clockHz: number },
    /** Null for a chip whose fuses cannot be burned. */
    private readonly fuses: FuseArray | null,
  ) {}

  read(address: number): number {
    if (this.fuses?.has(address)) return this.fuses.read(address);
    const fuse = this.fixed.get(address);
    if (fuse !== undefined) return fuse;
    if (address === 0x40001000) return this.identity.magic;
    if (this.spi.has(address)) return this.spi.read(address);
    if (this.identity.name === 'esp32' && address === esp32UartDivider) return this.uartDivider();
    return this.memory.get(address) ?? 0;
  }

  /** Changes only the bits of `mask`. */
  write(address: number, value: number, mask: number): void {
    const next = ((this.read(address) & ~mask) | (value & mask)) >>> 0;
    if (this.spi.has(address)) this.spi.write(address, next);
    else if (this.fuses?.has(address)) this.fuses.write(address, next);
    else this.memory.set(address, next);
  }

  private uartDivider(): number {
    const sixteenths = Math.round((16 * this.uart.clockHz) / this.uart.baud);
    return (sixteenths >> 4) | ((sixteenths & 15) << 20);
  }

  /**
   * Applies the settings that the newer stub makes at its start: it configures the SPI controller for user commands, and the ESP32's bus
   * for 80 MHz.
   */
  stubStarts(): void {
    this.setUser(0x80000000);
    if (this.identity.name === 'esp32') this.uart.clockHz = 80_000_000;
  }

  /**
   * Called after the ROM or the stub has read the flash. The SPI controller then contains the command, address and answer of that
   * read.
   */
  flashWasRead(): void {
    this.setUser(0xd0000000);
    const { base, user2 } = this.identity.spi;
    this.write(base + user2, 0x70000000 | spiOp.read, 0xffffffff);
  }

  private setUser(bits: number): void {
    const { base, user } = this.identity.spi;
    this.write(base + user, bits, bits);
  }

  /** Resets the registers. @param strap the strapping pins at the time of the reset */
  reset(strap: number): void {
    this.memory.clear();
    this.spi.reset();
    this.fuses?.reset();
    this.memory.set(this.identity.strapRegister, strap);
  }
}

const start = 1 << 18;

/** Commands of serial NOR flash (JEDEC JESD216, W25Q32 data sheet "Instructions"). */
const spiOp = { read: 0x03, sfdp: 0x5a, readId: 0x9f } as const;

/** JESD216 header with one parameter table at 30h. */
const sfdpHeader = Uint8Array.of(
  0x53,
  0x46,
  0x44,
  0x50,
  0x06,
  0x01,
  0x00,
  0xff,
  0x00,
  0x06,
  0x01,
  0x10,
  0x30,
  0x00,
  0x00,
  0xff,
);

/** The flash chip, as accessed by the SPI controller. */
interface FlashPart {
  flash: NorFlash;
  /** JEDEC id: manufacturer, type, capacity as a power of two. */
  id: readonly [number, number, number];
  /** Whether the flash has a parameter table; some older parts have none. */
  sfdp: boolean;
}

/**
 * Registers of the SPI controller: setting bit 18 of CMD runs the user command at once and clears the bit. Source: ESP32
 * technical reference manual, "SPI Controller", user-defined commands.
 */
export class SpiController {
  private readonly words = new Map<number, number>();

  constructor(
    private readonly layout: SpiLayout,
    private readonly part: FlashPart,
  ) {
    this.reset();
  }

  reset(): void {
    this.words.clear();
    this.words.set(this.layout.user, this.layout.userAtRest);
    this.words.set(this.layout.user2, 0x70000000);
  }

  /** Whether this is the address of one of the controller's registers. */
  has(address: number): boolean {
    return address >= this.layout.base && address < this.layout.base + 0x100;
  }

  read(address: number): number {
    return this.words.get(address - this.layout.base) ?? 0;
  }

  write(address: number, value: number): void {
    const offset = address - this.layout.base;
    if (offset === 0 && value & start) this.run();
    else this.words.set(offset, value >>> 0);
  }

  private run(): void {
    const of = (offset: number) => this.words.get(offset) ?? 0;
    this.words.set(0, 0);
    const user = of(this.layout.user);
    if (!(user & (1 << 28))) return;
    const bits = (of(this.layout.misoLength) & 0x3fff) + 1;
    const address = this.layout.addressAtTop ? of(4) >>> 8 : of(4) & 0xffffff;
    const answer = this.answer(of(this.layout.user2) & 0xff, address, Math.ceil(bits / 8));
    for (let at = 0; at < Math.max(4, answer.length); at += 4) {
      const word = ((answer[at] ?? 0) | ((answer[at + 1] ?? 0) << 8) | ((answer[at + 2] ?? 0) << 16)) >>> 0;
      this.words.set(this.layout.data + at, (word + (answer[at + 3] ?? 0) * 2 ** 24) >>> 0);
    }
  }

  private answer(command: number, address: number, length: number): Uint8Array {
    const out = new Uint8Array(length);
    if (command === spiOp.readId) out.set(this.part.id.slice(0, length));
    else if (command === spiOp.sfdp && this.part.sfdp) {
      for (let at = 0; at < length; at++) out[at] = sfdpHeader[address + at] ?? 0xff;
    } else if (command === spiOp.read) out.set(this.part.flash.bytes.subarray(address, address + length));
    return out;
  }
}

/** The id of a flash of this size, a power of two: a GigaDevice GD25Q. */
export function flashId(bytes: number): readonly [number, number, number] {
  return [0xc8, 0x40, Math.log2(bytes)];
}

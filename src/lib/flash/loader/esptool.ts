import type { ESPLoader, ROM, Transport } from 'esptool-js';
import { type ChipName, chipNames, espChips } from '../../formats/esp-image/chips.js';
import { hex, op, quick, words } from './commands.js';
import type { Exchange } from './exchange.js';

/**
 * esptool-js, of which we take what it knows: the chips' registers, descriptions and stubs, and how to speak to a flash
 * chip through SPI registers. Its requests go over our exchange instead of its transport, which polls, copies byte by
 * byte and gives up at the first stray byte; its connecting, writing and resetting are ours
 * (docs/decisions/011-esptool-js-below-a-loader-of-our-own.md).
 */
export interface Esptool extends ESPLoader {
  /** Reads of fuses are remembered from now on; they cannot change while we look. */
  remember(on: boolean): void;
}

export async function makeEsptool(exchange: Exchange): Promise<Esptool> {
  const { ESPLoader } = await import('esptool-js');
  const { wire } = exchange;

  class OverExchange extends ESPLoader implements Esptool {
    private remembered: Map<number, number> | null = null;

    remember(on: boolean): void {
      this.remembered = on ? new Map() : null;
    }

    override async readReg(address: number): Promise<number> {
      const known = this.remembered?.get(address);
      if (known !== undefined) return known;
      const { value } = await exchange.ask({ op: op.readReg, data: words(address), ...quick });
      // esptool-js works with signed words.
      this.remembered?.set(address, value | 0);
      return value | 0;
    }

    /** Only writeReg of esptool-js comes here: a register may be written twice. */
    override async checkCommand(what = '', code: number | null = null, data = new Uint8Array(0), sum = 0) {
      if (code !== op.writeReg) throw new Error(`${what}: request ${hex(code ?? 0)} does not go this way`);
      const { value } = await exchange.ask({ op: code, data, checksum: sum, ...quick });
      return value;
    }
  }

  const quiet = { clean: () => {}, write: () => {}, writeLine: () => {} };
  return new OverExchange({ transport: transportFor(exchange), baudrate: wire.line.baud, terminal: quiet });
}

/** As much of a transport as esptool-js asks about itself; bytes do not go through it. */
function transportFor({ wire: { line } }: Exchange): Transport {
  const transport = {
    tracing: false,
    trace: () => {},
    getInfo: () => line.address,
    getVid: () => line.usb?.vendorId,
    getPid: () => line.usb?.productId,
    get baudrate() {
      return line.baud;
    },
  };
  return transport as unknown as Transport;
}

/** esptool-js's description of a chip. */
export async function targetOf(chip: ChipName): Promise<ROM> {
  const { CHIP_DEFS } = await import('esptool-js/lib/targets/index.js');
  return CHIP_DEFS[chip];
}

/** The chip with this magic word at 0x40001000 (esptool-js keeps the list to itself, so the two that need it are here). */
export function chipOfMagic(magic: number): ChipName | null {
  if (magic === 0x00f0_1d83) return 'esp32';
  return magic === 0x0000_07c6 ? 'esp32s2' : null;
}

/** The title of a chip as people write it, or what they may choose from. */
export const chipTitle = (chip: ChipName) => espChips[chip].title;
export const allChips = () => chipNames.join(', ');

import { op, quick, words } from './commands.js';
import type { Esptool } from './esptool.js';
import { type Exchange, Refusal } from './exchange.js';
import type { ChipInfo } from './types.js';

/**
 * Connects the ROM to its flash chip (a stub has done that itself), asks the flash for its id, and tells the loader its
 * size, which limits later addresses. An id of all zeros or ones: no flash answers.
 */
export async function attachFlash(
  exchange: Exchange,
  esptool: Esptool,
  facts: { esp32: boolean; stub: boolean; registers: boolean },
): Promise<ChipInfo['flash']> {
  if (!facts.stub) {
    const pins = facts.esp32 && facts.registers ? await esp32FlashPins(esptool) : 0;
    await exchange.ask({ op: op.spiAttach, data: words(pins, 0), ...quick });
  }
  if (!facts.registers) return { id: '', bytes: null };
  const raw = (await esptool.readFlashId()) & 0xff_ffff;
  const id = [raw, raw >>> 8, raw >>> 16].map((byte) => (byte & 0xff).toString(16).padStart(2, '0')).join('');
  const bytes = sizeOf(esptool, raw);
  if (bytes !== null) await setSize(exchange, bytes);
  return { id, bytes };
}

/** The third byte of a JEDEC id tells the size; esptool-js knows the makers' habits. */
function sizeOf(esptool: Esptool, raw: number): number | null {
  if (raw === 0 || raw === 0xff_ffff || raw === 0x3f_ffff) return null;
  const found = /^(\d+)(K|M)B$/.exec(esptool.DETECTED_FLASH_SIZES[raw >>> 16] ?? '');
  return found ? Number(found[1]) * (found[2] === 'M' ? 1 << 20 : 1 << 10) : null;
}

async function setSize(exchange: Exchange, bytes: number): Promise<void> {
  const geometry = words(0, bytes, 0x1_0000, 0x1000, 0x100, 0xffff);
  try {
    await exchange.ask({ op: op.spiSetParams, data: geometry, ...quick });
  } catch (error) {
    // A loader that takes no size has its own; what lies beyond it is refused when it is asked for.
    if (!(error instanceof Refusal)) throw error;
  }
}

/**
 * An ESP32's own pins for its flash, as packages with flash inside have them burnt in; 0 for the usual ones. Source:
 * ESP32 Technical Reference Manual, eFuse words 3 and 5; esptool, SPI_ATTACH.
 */
async function esp32FlashPins(esptool: Esptool): Promise<number> {
  const word3 = await esptool.readReg(0x3ff5_a00c);
  const word5 = await esptool.readReg(0x3ff5_a014);
  const pin = (word: number, shift: number) => (word >>> shift) & 0x1f;
  const [clk, q, d, cs, hd] = [pin(word5, 0), pin(word5, 5), pin(word5, 10), pin(word5, 15), pin(word3, 4)];
  return (hd << 24) | (cs << 18) | (d << 12) | (q << 6) | clk;
}

import { AiotError } from '../../core/index.js';
import { op, words } from './commands.js';
import type { Esptool } from './esptool.js';
import { type Exchange, Refusal } from './exchange.js';
import { NoAnswer, type Wire } from './wire.js';

/**
 * Changes the speed of chip and line, and makes sure that they understand each other; otherwise goes back to the speed
 * before. Both sides switch after the answer, which still comes at the old speed.
 *
 * @returns the speed now
 * @throws AIOT_SERIAL_BAUD when only the chip changed: then it can be heard no more until it is reset
 */
export async function changeBaud(
  exchange: Exchange,
  esptool: Esptool,
  to: { baud: number; stub: boolean; esp32: boolean },
): Promise<number> {
  const { wire } = exchange;
  const { line } = wire;
  const from = line.baud;
  if (from === to.baud) return from;
  const asked = to.esp32 && !to.stub ? await esp32RomBaud(esptool, to.baud) : to.baud;
  try {
    // A ROM wants 0 as the old speed, a stub the speed itself.
    await exchange.ask({ op: op.changeBaud, data: words(asked, to.stub ? from : 0) });
  } catch (error) {
    // A lost answer: where the chip is now, greeting it shows.
    if (!(error instanceof NoAnswer || error instanceof Refusal)) throw error;
  }
  const greeted = () => exchange.comeIntoStep({ times: 3, timeoutMs: 500 });
  // A late answer to a greeting at the new speed may come at the old one: that counts once it is answered again.
  for (const baud of [to.baud, from, to.baud]) {
    if (!(await settles(wire, baud))) continue;
    if ((await greeted()) && (baud === to.baud || (await greeted()))) return baud;
  }
  throw new AiotError(
    'AIOT_SERIAL_BAUD',
    `chip and adapter at ${line.address} do not understand each other at ${to.baud} baud`,
    { next: 'Reset the board into its loader, and repeat with --baud 115200.', endpoint: line.address },
  );
}

async function settles(wire: Wire, baud: number): Promise<boolean> {
  try {
    await wire.line.setBaud(baud);
  } catch (error) {
    if (!(error instanceof AiotError && error.code === 'AIOT_SERIAL_BAUD')) throw error;
    return false;
  }
  // The switch leaves a torn byte on the line.
  await wire.pause(50);
  wire.flush();
  return true;
}

/**
 * An ESP32's ROM derives its divider from the crystal as it measured it against its RC oscillator, which may be off by
 * some percent: it has to be asked for a speed wrong by as much. Source: esptool, ESP32ROM.change_baud.
 */
async function esp32RomBaud(esptool: Esptool, baud: number): Promise<number> {
  const calibration = (await esptool.readReg(0x3ff5_f06c)) >>> 7;
  const rcOscillator = (await esptool.readReg(0x3ff5_a010)) & 0xff;
  const measured = (calibration * 15_625 * rcOscillator) / 40;
  if (measured === 0) return baud;
  const crystal = measured > 33_000_000 ? 40_000_000 : 26_000_000;
  return Math.floor((baud * measured) / crystal);
}

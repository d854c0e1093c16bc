import { AiotError } from '../../core/errors.js';
import { whyInterrupted } from '../diagnosis.js';
import { op, words } from './commands.js';
import { romBaud } from './connect.js';
import type { Esptool } from './esptool.js';
import { type Exchange, Refusal, sync } from './exchange.js';
import type { ChipInfo, LoaderOptions, LoaderProgress } from './types.js';
import { NoAnswer, type Wire } from './wire.js';

/** What all work on one connected chip shares. */
export interface Session {
  wire: Wire;
  exchange: Exchange;
  esptool: Esptool;
  chip: ChipInfo;
  stub: boolean;
  /** The line has DTR and RTS, which can start the chip's program. */
  canReset: boolean;
  options: LoaderOptions;
  /** Raises the speed to the one asked for, at the first call. @throws AIOT_SERIAL_BAUD */
  raiseSpeed(): Promise<void>;
}

/** Below this, changing the speed and changing it back takes longer than the bytes do at the ROM's. */
const bulkBytes = 2048;

/** Makes the line fast enough for so many bytes. An image that is there already needs no more than the ROM's speed. */
export async function prepareFor(session: Session, bytes: number): Promise<void> {
  if (bytes > bulkBytes) await session.raiseSpeed();
}

export function report(session: Pick<Session, 'options'>, progress: LoaderProgress): void {
  session.options.progress?.(progress);
}

/** Whether trouble may be over when the work is begun again. */
export function isTrouble(error: unknown): error is NoAnswer | Refusal {
  return error instanceof NoAnswer || (error instanceof Refusal && !error.unsupported);
}

/**
 * Comes into step with the loader again after lost or damaged packets: what is on its way passes, then it is greeted.
 * The bare delimiters end a packet that it still waits for.
 *
 * @returns whether the same loader is there as before: a chip that was reset has none of our state
 */
export async function resync(session: Pick<Session, 'wire' | 'exchange' | 'stub'>): Promise<boolean> {
  await session.wire.drain(100, 1000);
  return (await session.exchange.comeIntoStep()) === (session.stub ? 'stub' : 'rom');
}

/** Does some work and turns what goes wrong into an error for people. @throws AIOT_CHIP_*, AIOT_FLASH_*, AIOT_SERIAL_LOST */
export async function doing<T>(session: Session, what: string, work: () => Promise<T>): Promise<T> {
  const { wire } = session;
  wire.forget();
  try {
    return await work();
  } catch (error) {
    if (error instanceof AiotError || !(error instanceof NoAnswer || error instanceof Refusal)) throw error;
    const alive = error instanceof Refusal || (await resync(session));
    const restarted = !alive && (await wasReset(wire));
    throw whyInterrupted(error, {
      address: wire.line.address,
      doing: what,
      heard: wire.stray,
      alive,
      restarted,
    });
  }
}

/** A chip that was reset speaks at its ROM's speed again, and most often says why. */
async function wasReset(wire: Wire): Promise<boolean> {
  if (wire.line.baud !== romBaud) {
    await wire.line.setBaud(romBaud);
    await wire.drain(100, 1000);
  }
  return (await sync(wire, 300)) === 'rom';
}

/** @throws AIOT_USAGE for a place beyond the end of the flash */
export function requireInFlash({ chip }: Session, offset: number, length: number): void {
  const { bytes } = chip.flash;
  const end = offset + length;
  if (offset < 0 || length < 0 || !Number.isSafeInteger(end)) {
    throw new AiotError('AIOT_USAGE', `expected a place in flash, got ${offset} and ${length} bytes`);
  }
  if (bytes === null || end <= bytes) return;
  throw new AiotError(
    'AIOT_USAGE',
    `0x${offset.toString(16)} and ${length} bytes end at 0x${end.toString(16)}, past the flash's end at 0x${bytes.toString(16)}`,
    { next: 'aiot flash info shows how large the flash is.' },
  );
}

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

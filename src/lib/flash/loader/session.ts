import type { ESPLoader } from 'esptool-js';
import { AiotError } from '../../core/errors.js';
import { hex } from '../../core/figures.js';
import { whyInterrupted } from '../diagnosis.js';
import { type Exchange, op, Refusal, romBaud, sync, words } from './exchange.js';
import type { ChipInfo, LoaderOptions, LoaderProgress, SecurityInfo } from './types.js';
import { NoAnswer, type Wire } from './wire.js';

/**
 * Our use of esptool-js. It provides the chips' registers, descriptions and stubs, and access to a flash chip through SPI registers. Its
 * requests go through our exchange instead of its transport, which polls, copies byte by byte and fails at the first unexpected byte.
 * Connecting, writing and resetting are our own code (docs/background/decisions/011-flash-loader.md).
 */
export interface Esptool extends ESPLoader {
  /** Turns the cache for fuse reads on or off. Fuses cannot change during a session. */
  remember(on: boolean): void;
}

/** State shared by all operations on one connected chip. */
export interface Session {
  wire: Wire;
  exchange: Exchange;
  esptool: Esptool;
  chip: ChipInfo;
  securityInfo: SecurityInfo | null;
  stub: boolean;
  /** Whether the line has DTR and RTS, which can start the chip's program. */
  canReset: boolean;
  options: LoaderOptions;
  /** Whether a program in RAM runs instead of the loader. */
  programRuns?: boolean;
  /** Raises the speed to the requested one on the first call. @throws AIOT_SERIAL_BAUD */
  raiseSpeed(): Promise<void>;
}

/** Up to this many bytes, staying at the ROM's speed is faster than changing the speed twice. */
const bulkBytes = 2048;

/** Raises the speed if this many bytes justify it. Comparing an image that is already in flash does not. */
export async function prepareFor(session: Session, bytes: number): Promise<void> {
  if (bytes > bulkBytes) await session.raiseSpeed();
}

export function report(session: Pick<Session, 'options'>, progress: LoaderProgress): void {
  session.options.progress?.(progress);
}

/** Whether an error came from the line or the chip, so that repeating the operation may help. */
export function isTrouble(error: unknown): error is NoAnswer | Refusal {
  return error instanceof NoAnswer || (error instanceof Refusal && !error.unsupported);
}

/**
 * Resynchronizes with the loader after lost or damaged packets: waits for packets in transit, then sends a greeting. The delimiter before
 * the greeting ends a packet that the loader is still waiting for.
 * @returns whether the same loader answers as before; a chip that was reset has lost our state
 */
export async function resync(session: Pick<Session, 'wire' | 'exchange' | 'stub'>): Promise<boolean> {
  await session.wire.drain(100, 1000);
  return (await session.exchange.comeIntoStep()) === (session.stub ? 'stub' : 'rom');
}

/** Runs an operation and converts failures to readable errors. @throws AIOT_CHIP_*, AIOT_FLASH_*, AIOT_SERIAL_LOST */
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

/** Whether the chip was reset. It then uses its ROM's speed again, and usually prints the cause. */
async function wasReset(wire: Wire): Promise<boolean> {
  if (wire.line.baud !== romBaud) {
    await wire.line.setBaud(romBaud);
    await wire.drain(100, 1000);
  }
  return (await sync(wire, 300)) === 'rom';
}

/** Rejects a range beyond the end of the flash. @throws AIOT_USAGE */
export function requireInFlash({ chip }: Session, offset: number, length: number): void {
  const { bytes } = chip.flash;
  const end = offset + length;
  if (offset < 0 || length < 0 || !Number.isSafeInteger(end)) {
    throw new AiotError('AIOT_USAGE', `expected a range within the flash, got ${length} bytes at ${offset}`);
  }
  if (bytes === null || end <= bytes) return;
  throw new AiotError(
    'AIOT_USAGE',
    `${length} bytes at ${hex(offset)} end at ${hex(end)}, past the end of the flash at ${hex(bytes)}`,
    { next: 'To see the flash size, run `aiot board info`.' },
  );
}

/**
 * Changes the speed of chip and line, and checks the communication. On failure, returns to the previous speed. Both sides switch after
 * the answer, which is still sent at the old speed.
 * @returns the new speed
 * @throws AIOT_SERIAL_BAUD if only the chip has switched; the chip then cannot be reached until it is reset
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
    // In this request, a ROM expects 0 as the old speed; a stub expects the actual speed.
    await exchange.ask({ op: op.changeBaud, data: words(asked, to.stub ? from : 0) });
  } catch (error) {
    // If the answer was lost, greetings reveal the speed that the chip uses now.
    if (!(error instanceof NoAnswer || error instanceof Refusal)) throw error;
  }
  const greeted = () => exchange.comeIntoStep({ times: 3, timeoutMs: 500 });
  // A late answer to a greeting at the new speed may arrive at the old one, so the speed must be confirmed by a second answer.
  for (const baud of [to.baud, from, to.baud]) {
    if (!(await settles(wire, baud))) continue;
    if ((await greeted()) && (baud === to.baud || (await greeted()))) return baud;
  }
  throw new AiotError(
    'AIOT_SERIAL_BAUD',
    `the chip and the adapter at ${line.address} cannot communicate at ${to.baud} baud`,
    { next: 'Reset the board into its bootloader, and repeat with --baud 115200.', endpoint: line.address },
  );
}

async function settles(wire: Wire, baud: number): Promise<boolean> {
  try {
    await wire.line.setBaud(baud);
  } catch (error) {
    if (!(error instanceof AiotError && error.code === 'AIOT_SERIAL_BAUD')) throw error;
    return false;
  }
  // The switch leaves a corrupted byte on the line.
  await wire.pause(50);
  wire.flush();
  return true;
}

/**
 * An ESP32's ROM derives its divider from the crystal frequency as measured against its RC oscillator, which may be off by a few
 * percent. The requested speed must be off by the same factor. Source: esptool, ESP32ROM.change_baud.
 */
async function esp32RomBaud(esptool: Esptool, baud: number): Promise<number> {
  const calibration = (await esptool.readReg(0x3ff5_f06c)) >>> 7;
  const rcOscillator = (await esptool.readReg(0x3ff5_a010)) & 0xff;
  const measured = (calibration * 15_625 * rcOscillator) / 40;
  if (measured === 0) return baud;
  const crystal = measured > 33_000_000 ? 40_000_000 : 26_000_000;
  return Math.floor((baud * measured) / crystal);
}

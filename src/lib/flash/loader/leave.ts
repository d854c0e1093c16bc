import { changeBaud } from './baud.js';
import { beginWords } from './begin.js';
import { op, words } from './commands.js';
import { romBaud } from './connect.js';
import { resetBoard } from './reset.js';
import type { Session } from './session.js';
import type { AfterMode, Loader } from './types.js';

/**
 * Leaves the chip as asked: its program running, or the loader waiting at the speed that the next session meets it at.
 * What cannot be reset (no DTR and RTS) stays in the loader.
 */
export async function leave(session: Session): Promise<void> {
  const { wire, options } = session;
  const { line } = wire;
  switch (options.after) {
    case 'hard-reset':
      if (await resetBoard(line, 'hard-reset', wire.clock)) return;
      break;
    case 'watchdog-reset':
      if (await watchdogReset(session)) return;
      break;
    case 'soft-reset':
      await runProgram(session);
      if (!session.stub) return;
      break;
    case 'no-reset':
    case 'no-reset-stub':
      break;
  }
  await backToRomBaud(session);
}

async function backToRomBaud({ wire, exchange, esptool, chip, stub }: Session): Promise<void> {
  if (wire.line.baud === romBaud) return;
  await changeBaud(exchange, esptool, { baud: romBaud, stub, esp32: chip.chip === 'esp32' });
}

/** Ends an empty write with "reboot": a ROM obeys, the stub in use answers and stays (its reboot is not written yet). */
async function runProgram(session: Session): Promise<void> {
  const { exchange, stub } = session;
  const begin = { size: 0, blocks: 0, blockBytes: stub ? 0x4000 : 0x400, offset: 0 };
  await exchange.ask({ op: op.flashBegin, data: beginWords(session, begin) });
  await exchange.ask({ op: op.flashEnd, data: words(0) });
}

/** Registers of the RTC watchdog: write protection, its key, configuration 0 and 1. Source: esptool, "watchdog-reset". */
const watchdogs = {
  esp32s2: { protect: 0x3f40_80ac, config0: 0x3f40_8094, config1: 0x3f40_8098 },
  esp32s3: { protect: 0x6000_80b0, config0: 0x6000_8098, config1: 0x6000_809c },
  esp32c3: { protect: 0x6000_80a8, config0: 0x6000_8090, config1: 0x6000_8094 },
} as const;
const watchdogKey = 0x50d8_3aa1;

/** Whether the program runs after leaving in this way. */
export function startsProgram(
  { chip, stub, canReset }: Pick<Loader, 'chip' | 'stub' | 'canReset'>,
  after: AfterMode,
): boolean {
  if (after === 'hard-reset') return canReset;
  if (after === 'soft-reset') return !stub;
  return after === 'watchdog-reset' && chip.chip in watchdogs && !chip.security.secureDownload;
}

/** Lets the watchdog reset the chip, which needs no lines. @returns false for a chip that this is not known of */
async function watchdogReset({ esptool, chip, wire }: Session): Promise<boolean> {
  if (!(chip.chip in watchdogs) || chip.security.secureDownload) return false;
  const { protect, config0, config1 } = watchdogs[chip.chip as keyof typeof watchdogs];
  await esptool.writeReg(protect, watchdogKey);
  await esptool.writeReg(config1, 2000);
  // Enabled; stage 0 resets the system; lengths of the reset pulses.
  await esptool.writeReg(config0, (1 << 31) | (5 << 28) | (1 << 8) | 2);
  await esptool.writeReg(protect, 0);
  await wire.pause(500);
  return true;
}

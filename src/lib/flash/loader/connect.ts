import { whyNotConnected } from '../diagnosis.js';
import { sync } from './exchange.js';
import { downloadResets, runSteps } from './reset.js';
import type { BeforeMode } from './types.js';
import type { Wire } from './wire.js';

/** The speed that a ROM's loader is met at. */
export const romBaud = 115_200;

const attempts = 7;
const greetingsPerAttempt = 3;
const greetingMs = 100;
const confirmMs = 1000;

/**
 * Brings the chip into its loader and greets it. Where the line has no DTR and RTS (a bare pty, a socket), or the user
 * wants no reset, it only greets: the chip waits there already, or someone holds BOOT and presses RESET. A chip that an
 * ended session left at its own speed is looked for there too.
 *
 * @returns who answers: the ROM, or a stub that an earlier session left there
 * @throws AIOT_CHIP_* with the reason that was heard, AIOT_SERIAL_LOST
 */
export async function connect(
  wire: Wire,
  options: { before: BeforeMode; baud: number; attempt?: (number: number, of: number) => void },
): Promise<'rom' | 'stub'> {
  const { line } = wire;
  const { before } = options;
  if (before === 'no-reset-no-sync') return 'rom';
  const resets =
    line.hasControlLines && before !== 'no-reset' ? downloadResets(line, before === 'usb-reset') : [];
  const bauds = resets.length > 0 ? [romBaud] : speedsToTry(options.baud);
  const heard = { atRomBaud: new Uint8Array(0), elsewhere: new Uint8Array(0) };
  for (let attempt = 0; attempt < attempts; attempt++) {
    const baud = bauds[attempt % bauds.length] ?? romBaud;
    if (attempt > 0) options.attempt?.(attempt + 1, attempts);
    if (line.baud !== baud) await line.setBaud(baud);
    wire.forget();
    const steps = resets[attempt % resets.length];
    if (steps) {
      await runSteps(line, steps, (ms) => wire.pause(ms));
      // A chip that was reset answers nothing of before.
      wire.greetingsOwed = 0;
    }
    const by = await greet(wire, attempt);
    // A late answer may be to a greeting at the speed before: the chip is at this one when it answers again.
    if (by && (attempt === 0 || resets.length > 0 || (await sync(wire, confirmMs)))) return by;
    const where = baud === romBaud ? 'atRomBaud' : 'elsewhere';
    heard[where] = Buffer.concat([heard[where], wire.stray]);
  }
  if (line.baud !== romBaud) await line.setBaud(romBaud);
  // What a chip says at its own speed can be read; at another one it is noise.
  const told = heard.atRomBaud.length > 0 ? heard.atRomBaud : heard.elsewhere;
  throw await whyNotConnected({ line, heard: told, echoed: wire.echoed, reset: resets.length > 0 });
}

/** The ROM's speed first and again between others: it is by far the likeliest. */
function speedsToTry(wanted: number): number[] {
  const others = [...new Set([wanted, 921_600, 460_800])].filter((baud) => baud !== romBaud);
  return [...others.flatMap((baud) => [romBaud, baud]), romBaud];
}

async function greet(wire: Wire, attempt: number): Promise<'rom' | 'stub' | null> {
  for (let i = 0; i < greetingsPerAttempt; i++) {
    // Later ones wait longer: a line through a network or a busy machine may be slow.
    const by = await sync(wire, greetingMs * (1 + attempt / 2));
    if (by) {
      // Answers to earlier greetings may still be on their way.
      if (attempt + i > 0) await wire.drain(100, 5000);
      return by;
    }
    await wire.pause(50);
  }
  return null;
}

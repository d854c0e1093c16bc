import { type Clock, systemClock } from '../../core/time.js';
import type { ControlLines, SerialLine } from '../port/line.js';

/** A reset step: lines to set (true = asserted), or milliseconds to wait. */
type Step = ControlLines | number;

const lines = (dtr: boolean, rts: boolean): ControlLines => ({ dtr, rts });

/**
 * Enters the loader through the usual two-transistor circuit: RTS pulls EN low, DTR pulls GPIO0 low, both together do nothing.
 * `bothAtOnce` sets both in one step (Linux, macOS), which some circuits need. The longer pause is for boards with a large capacitor at
 * EN. Source: esptool, "Boot Mode Selection".
 */
function classicReset(bothAtOnce: boolean, pauseMs: number): Step[] {
  const head = bothAtOnce ? [lines(false, false), lines(true, true)] : [];
  return [...head, lines(false, true), 100, lines(true, false), pauseMs, lines(false, false)];
}

/** Enters the loader of a chip with its own USB Serial/JTAG unit, which reacts to the order of these steps. */
const usbReset: Step[] = [
  lines(false, false),
  100,
  lines(true, false),
  100,
  lines(true, true),
  lines(false, true),
  100,
  lines(false, false),
];

/** Starts the program: pulls EN low briefly and leaves GPIO0 unchanged. */
const hardReset: Step[] = [lines(false, true), 100, lines(false, false)];
const usbOtgHardReset: Step[] = [lines(false, true), 200, lines(false, false), 200];

export type BoardReset = 'hard-reset' | 'download' | 'usb-reset';

const espressif = 0x303a;
export const isUsbJtag = (line: SerialLine) =>
  line.usb?.vendorId === espressif && line.usb.productId === 0x1001;
/** Whether the line is the native USB port of an S2 or S3 in its loader. The port's USB product ID then identifies the chip. */
export const isUsbOtg = (line: SerialLine) => line.usb?.vendorId === espressif && !isUsbJtag(line);

/** The resets into the loader to try, in order. */
export function downloadResets(line: SerialLine, usb: boolean): Step[][] {
  if (usb || isUsbJtag(line)) return [usbReset];
  const short = classicReset(false, 50);
  const long = classicReset(false, 550);
  // Windows sets the lines one after another anyway. Espressif's RFC 2217 server recognizes this reset by its first steps.
  if (process.platform === 'win32' || line.kind === 'rfc2217') return [short, long];
  return [classicReset(true, 50), classicReset(true, 550), short, long];
}

export async function runSteps(
  line: SerialLine,
  steps: readonly Step[],
  pause: (ms: number) => Promise<void>,
): Promise<void> {
  line.resetting?.(true);
  for (const step of steps) {
    if (typeof step === 'number') await pause(step);
    else await line.setControlLines(step);
  }
}

/**
 * Resets the board on a line, into its program or into the loader.
 * @returns false if the line has no DTR and RTS, so that the board was not reset. @throws AIOT_SERIAL_LOST
 */
export async function resetBoard(
  line: SerialLine,
  mode: BoardReset = 'hard-reset',
  clock: Clock = systemClock,
): Promise<boolean> {
  if (!line.hasControlLines) return false;
  const [download = []] = downloadResets(line, mode === 'usb-reset');
  const program = isUsbOtg(line) ? usbOtgHardReset : hardReset;
  await runSteps(line, mode === 'hard-reset' ? program : download, (ms) => clock.sleep(ms));
  return true;
}

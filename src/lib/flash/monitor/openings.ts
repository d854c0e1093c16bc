import { stat } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { AiotError, type ErrorCode } from '../../core/index.js';
import type { SerialLine, UsbIdentity } from '../port/types.js';
import { choosePort } from '../ports/choose.js';
import { listPorts } from '../ports/list.js';

export interface OpeningsOptions {
  /** Undefined: the only board, once there is one. */
  port: string | undefined;
  /** Neither wait for the port nor for it to come back. */
  once: boolean;
  open: (address: string) => Promise<SerialLine>;
  /** Told once for each new reason to wait. */
  onWait: (port: string | null, why: string) => void;
  signal: AbortSignal;
}

const pollMs = 250;
/** So long after a board came back others may still hold its port, or the system has not set who may open it. */
const settlingMs = 5000;

/**
 * Opens a port again and again: each line is given once it is there, the next one after the one before has ended. A board
 * that comes back under another name is known by its USB serial number.
 *
 * @throws what opening it throws, where waiting cannot help: AIOT_SERIAL_BUSY, AIOT_SERIAL_DENIED, AIOT_SERIAL_AMBIGUOUS, …
 */
export async function* openings(options: OpeningsOptions): AsyncGenerator<SerialLine> {
  let { port } = options;
  let board: UsbIdentity | null = null;
  for (let lostAt = 0; ; lostAt = Date.now()) {
    const line: SerialLine = await nextLine(options, () => whereIs(port, board), lostAt);
    board = line.usb ?? board;
    port ??= line.address;
    yield line;
  }
}

async function nextLine(
  options: OpeningsOptions,
  address: () => Promise<string>,
  lostAt: number,
): Promise<SerialLine> {
  let told = '';
  for (;;) {
    options.signal.throwIfAborted();
    let port: string | null = options.port ?? null;
    try {
      port = await address();
      return await options.open(port);
    } catch (error) {
      options.signal.throwIfAborted();
      if (options.once || !(await mayCome(error, port, Date.now() - lostAt < settlingMs))) throw error;
      const why = error instanceof Error ? error.message : String(error);
      if (why !== told) options.onWait(port, why);
      told = why;
    }
    await delay(pollMs, undefined, { signal: options.signal });
  }
}

const absent: ErrorCode[] = ['AIOT_SERIAL_NOT_FOUND', 'AIOT_SERIAL_LOST'];
const settling: ErrorCode[] = ['AIOT_SERIAL_BUSY', 'AIOT_SERIAL_DENIED'];

/** Whether the same call may succeed by waiting alone. */
async function mayCome(error: unknown, port: string | null, settlingNow: boolean): Promise<boolean> {
  if (!(error instanceof AiotError)) return false;
  if (settling.includes(error.code)) return settlingNow;
  if (!absent.includes(error.code)) return false;
  const file = port === null ? null : await stat(port).catch(() => null);
  // What is no serial port does not become one.
  return file === null || file.isCharacterDevice();
}

/** The port's name now: as it was, or the one that the same board has got instead. */
async function whereIs(port: string | undefined, board: UsbIdentity | null): Promise<string> {
  if (port === undefined) return choosePort();
  if (!board?.serialNumber || (await stat(port).catch(() => null))) return port;
  const same = (await listPorts()).find(
    ({ usb }) =>
      usb?.serialNumber === board.serialNumber &&
      Number.parseInt(usb.vendorId, 16) === board.vendorId &&
      Number.parseInt(usb.productId, 16) === board.productId,
  );
  return same?.path ?? port;
}

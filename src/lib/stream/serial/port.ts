import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import type { SerialPort } from 'serialport';
import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { nativePart } from '../../core/process.js';
import { queryBoolean, queryCount, readQuery, type StreamUrl } from '../url.js';

const shape = {
  /** Bits per second; default 115200. */
  baud: queryCount.pipe(z.number().min(1)).optional(),
  /** Hardware flow control. Without flow control, data is lost if it arrives faster than we read it. */
  rtscts: queryBoolean.optional(),
  parity: z.enum(['none', 'even', 'odd']).optional(),
  dataBits: z.enum(['7', '8']).optional(),
  stopBits: z.enum(['1', '2']).optional(),
  /** Topic of the messages; default = the name of the port. */
  topic: z.string().min(1).optional(),
  /** Maximum length of a line, bytes; longer lines are split. Default 65536. */
  line: queryCount.pipe(z.number().min(1)).optional(),
};

interface SerialSettings {
  path: string;
  baudRate: number;
  rtscts: boolean;
  parity: 'none' | 'even' | 'odd';
  dataBits: 7 | 8;
  stopBits: 1 | 2;
  topic: string;
  longestLine: number;
}

/** Parses the settings in a URL such as `serial:///dev/ttyUSB0?baud=9600`. @throws AIOT_STREAM_URL */
export function serialSettings(url: StreamUrl): SerialSettings {
  const { path } = url;
  if (path === '') {
    throw new AiotError('AIOT_STREAM_URL', 'serial: expected a port after it, got none', {
      next: 'Use a URL such as serial:///dev/ttyUSB0?baud=115200. To list the ports, run `aiot board ports`.',
    });
  }
  const { baud, rtscts, parity, dataBits, stopBits, topic, line } = readQuery(url, shape);
  return {
    path,
    baudRate: baud ?? 115_200,
    rtscts: rtscts ?? false,
    parity: parity ?? 'none',
    dataBits: dataBits === '7' ? 7 : 8,
    stopBits: stopBits === '2' ? 2 : 1,
    topic: topic ?? basename(path),
    longestLine: line ?? 65_536,
  };
}

/** Interval of checks for a missing port, ms. */
const lookEveryMs = 500;

/**
 * Identity of the device at a path; '' if there is none. Needed because the library may not notice that a port is gone.
 * Reading a hung-up port returns no data, and the library's binding (bindings-cpp 13, unixRead) then simply reads
 * again.
 */
async function identityOf(path: string): Promise<string> {
  if (process.platform === 'win32') return path;
  const found = await stat(path).catch(() => undefined);
  return found ? `${found.dev}:${found.ino}:${found.rdev}` : '';
}

/** A port that is reopened when it is plugged in again. */
interface PluggedPort {
  /** The open port; undefined while it is unplugged. */
  readonly port: SerialPort | undefined;
  close(): Promise<void>;
}

/** @throws the errors of openPort, but only for the first attempt; later attempts are retried */
export async function keepPlugged(
  settings: SerialSettings,
  on: { open(port: SerialPort): void; lost(): void },
): Promise<PluggedPort> {
  let port: SerialPort | undefined;
  let timer: NodeJS.Timeout | undefined;
  let watch: NodeJS.Timeout | undefined;
  let closed = false;
  let opening = Promise.resolve();
  const take = (opened: SerialPort) => {
    port = opened;
    const gone = () => {
      if (closed || port !== opened) return;
      port = undefined;
      clearInterval(watch);
      on.lost();
      look();
    };
    const identity = identityOf(settings.path);
    watch = setInterval(async () => {
      if ((await identityOf(settings.path)) === (await identity)) return;
      // If the missing port stayed open, the device would get another name on reconnection.
      await closePort(opened);
      gone();
    }, lookEveryMs);
    opened.on('error', () => {});
    opened.on('close', gone);
    on.open(opened);
  };
  const look = () => {
    timer = setTimeout(() => {
      opening = openPort(settings).then(
        async (opened) => {
          if (closed) await closePort(opened);
          else take(opened);
        },
        () => {
          if (!closed) look();
        },
      );
    }, lookEveryMs);
  };
  take(await openPort(settings));
  return {
    get port() {
      return port;
    },
    async close() {
      closed = true;
      clearTimeout(timer);
      clearInterval(watch);
      await opening;
      if (port) await closePort(port);
    },
  };
}

/**
 * Opens a port, and locks it against other programs that request a lock.
 * @throws AIOT_SERIAL_NOT_FOUND, AIOT_SERIAL_DENIED, AIOT_SERIAL_BUSY
 */
async function openPort(settings: SerialSettings): Promise<SerialPort> {
  const { path, baudRate, rtscts, parity, dataBits, stopBits } = settings;
  await requirePort(path);
  const { SerialPort } = await nativePart('serialport', () => import('serialport'));
  return new Promise((resolve, reject) => {
    // With hupcl, closing the port would drop DTR, which resets many boards.
    const line = { baudRate, rtscts, parity, dataBits, stopBits, hupcl: false };
    const port = new SerialPort({ path, ...line, autoOpen: false, lock: true });
    port.open((cause) => {
      if (!cause) return resolve(port);
      const message = `${path} could not be opened at ${baudRate} baud: another program is using it, or it does not support this rate`;
      reject(new AiotError('AIOT_SERIAL_BUSY', message, { endpoint: path, cause, retryable: true }));
    });
  });
}

/**
 * Checks the port first, because the system's error codes are more specific than the library's. On Windows, ports are
 * not files.
 */
async function requirePort(path: string): Promise<void> {
  if (process.platform === 'win32') return;
  const found = await stat(path).catch(() => null);
  if (!found?.isCharacterDevice()) {
    const what = found ? 'not a serial port:' : 'no serial port at';
    throw new AiotError('AIOT_SERIAL_NOT_FOUND', `${what} ${path}`, { endpoint: path });
  }
  try {
    await access(path, constants.R_OK | constants.W_OK);
  } catch (cause) {
    throw new AiotError('AIOT_SERIAL_DENIED', `you do not have permission to open ${path}`, {
      endpoint: path,
      cause,
    });
  }
}

function closePort(port: SerialPort): Promise<void> {
  return new Promise((resolve) => {
    if (port.isOpen) port.close(() => resolve());
    else resolve();
  });
}

import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import type { SerialPort } from 'serialport';
import { AiotError, nativePart } from '../../core/index.js';
import type { SerialSettings } from './settings.js';

/**
 * A port that is open, locked for other programs that ask for a lock.
 * @throws AIOT_SERIAL_NOT_FOUND, AIOT_SERIAL_DENIED, AIOT_SERIAL_BUSY
 */
export async function openPort(settings: SerialSettings): Promise<SerialPort> {
  const { path, baudRate, rtscts, parity, dataBits, stopBits } = settings;
  await requirePort(path);
  const { SerialPort } = await nativePart('serialport', () => import('serialport'));
  return new Promise((resolve, reject) => {
    // Hanging up when closed would pull DTR, which resets many boards.
    const line = { baudRate, rtscts, parity, dataBits, stopBits, hupcl: false };
    const port = new SerialPort({ path, ...line, autoOpen: false, lock: true });
    port.open((cause) => {
      if (!cause) return resolve(port);
      const message = `${path} could not be opened at ${baudRate} baud: another program has it, or it does not do that`;
      reject(new AiotError('AIOT_SERIAL_BUSY', message, { endpoint: path, cause, retryable: true }));
    });
  });
}

/** The system's error codes say more than the library; Windows has no files for its ports. */
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
    throw new AiotError('AIOT_SERIAL_DENIED', `you may not open ${path}`, { endpoint: path, cause });
  }
}

export function closePort(port: SerialPort): Promise<void> {
  return new Promise((resolve) => {
    if (port.isOpen) port.close(() => resolve());
    else resolve();
  });
}

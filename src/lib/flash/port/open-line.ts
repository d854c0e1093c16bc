import { AiotError } from '../../core/errors.js';
import type { SerialLine } from './line.js';

export interface OpenLineOptions {
  /** Bits per second to begin with. */
  baud: number;
  signal?: AbortSignal;
}

/**
 * Opens a serial line by its address: a port of this machine (`/dev/ttyUSB0`, `COM3`, a pty), `socket://host:port`, or
 * `rfc2217://host:port`. The port is locked for others until it is closed.
 *
 * @throws AIOT_SERIAL_NOT_FOUND, AIOT_SERIAL_BUSY, AIOT_SERIAL_DENIED, AIOT_SERIAL_BAUD, AIOT_USAGE
 */
export async function openLine(address: string, options: OpenLineOptions): Promise<SerialLine> {
  options.signal?.throwIfAborted();
  if (!Number.isInteger(options.baud) || options.baud < 1) {
    throw new AiotError(
      'AIOT_SERIAL_BAUD',
      `${options.baud} is no speed: expected whole bits per second, from 1`,
    );
  }
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(address)?.[1]?.toLowerCase();
  switch (scheme) {
    case undefined: {
      const { openSerialLine } = await import('./serial.js');
      return openSerialLine(address, options);
    }
    case 'socket': {
      const { openSocketLine } = await import('./socket.js');
      return openSocketLine(address, options);
    }
    case 'rfc2217': {
      const { openRfc2217Line } = await import('./rfc2217-client.js');
      return openRfc2217Line(address, options);
    }
    default:
      throw new AiotError('AIOT_USAGE', `${scheme}:// is no kind of serial port`, {
        next: 'Use a port of this machine, socket://HOST:PORT or rfc2217://HOST:PORT.',
      });
  }
}

import type { SerialPort } from 'serialport';
import { AiotError } from '../../core/errors.js';
import type { Sink, StreamOptions } from '../message.js';
import type { StreamUrl } from '../url.js';
import { keepPlugged, serialSettings } from './port.js';

/** How long to wait for an unplugged port to return, ms. */
const returnMs = 30_000;

/**
 * Writes each payload as a line. `write` resolves once the bytes have been sent, because a serial line has no
 * acknowledgment. If the port is unplugged, `write` waits at most 30 s for it to return.
 * @throws AIOT_SERIAL_NOT_FOUND, AIOT_SERIAL_DENIED, AIOT_SERIAL_BUSY, AIOT_STREAM_URL
 */
export async function openSerialSink(url: StreamUrl, options: StreamOptions): Promise<Sink> {
  const settings = serialSettings(url);
  const endpoint = `serial:${settings.path}`;
  let waiting: ((port: SerialPort) => void)[] = [];
  const plugged = await keepPlugged(settings, {
    open(port) {
      options.onState?.('connected');
      const waiters = waiting;
      waiting = [];
      for (const resolve of waiters) resolve(port);
    },
    lost: () => options.onState?.('disconnected'),
  });
  const current = () =>
    new Promise<SerialPort>((resolve, reject) => {
      if (plugged.port) return resolve(plugged.port);
      const timer = setTimeout(() => reject(lost(endpoint)), returnMs);
      waiting.push((port) => {
        clearTimeout(timer);
        resolve(port);
      });
    });
  let last: Promise<unknown> = Promise.resolve();
  return {
    endpoint,
    async write(messages) {
      const bytes = Buffer.concat(messages.map(({ payload }) => lineOf(payload, endpoint)));
      const written = last.then(async () => sent(await current(), bytes, endpoint));
      last = written.catch(() => {});
      await written;
    },
    async close() {
      if (plugged.port) await last;
      await plugged.close();
    },
  };
}

function lineOf(payload: Uint8Array, endpoint: string): Uint8Array {
  const line = Buffer.from(payload);
  const end = line.indexOf(0x0a);
  if (end >= 0 && end < line.length - 1) {
    const message = `${endpoint}: expected one line, got a payload with a line end in it`;
    throw new AiotError('AIOT_STREAM_MESSAGE_REFUSED', message, { endpoint });
  }
  return end < 0 ? Buffer.concat([line, Buffer.from('\n')]) : line;
}

function sent(port: SerialPort, bytes: Buffer, endpoint: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const gone = () => reject(lost(endpoint));
    port.once('close', gone);
    const done = (error: Error | null | undefined) => {
      port.off('close', gone);
      if (error) reject(lost(endpoint, error));
      else resolve();
    };
    port.write(bytes, (error) => (error ? done(error) : port.drain(done)));
  });
}

function lost(endpoint: string, cause?: unknown): AiotError {
  return new AiotError('AIOT_SERIAL_LOST', `${endpoint}: the port disappeared`, {
    endpoint,
    cause,
    retryable: true,
  });
}

import type { SerialPort } from 'serialport';
import { closePort, openPort } from './port.js';
import type { SerialSettings } from './settings.js';

/** How often a port that is gone is looked for, ms. */
const lookEveryMs = 500;

/** A port that is opened again whenever it was unplugged and came back. */
export interface PluggedPort {
  /** undefined while it is unplugged. */
  readonly port: SerialPort | undefined;
  close(): Promise<void>;
}

/** @throws as openPort, the first time; afterwards it goes on trying */
export async function keepPlugged(
  settings: SerialSettings,
  on: { open(port: SerialPort): void; lost(): void },
): Promise<PluggedPort> {
  let port: SerialPort | undefined;
  let timer: NodeJS.Timeout | undefined;
  let closed = false;
  let opening = Promise.resolve();
  const take = (opened: SerialPort) => {
    port = opened;
    opened.on('error', () => {});
    opened.on('close', () => {
      if (closed || port !== opened) return;
      port = undefined;
      on.lost();
      look();
    });
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
      await opening;
      if (port) await closePort(port);
    },
  };
}

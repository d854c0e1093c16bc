import { stat } from 'node:fs/promises';
import type { SerialPort } from 'serialport';
import { closePort, openPort } from './port.js';
import type { SerialSettings } from './settings.js';

/** How often a port that is gone is looked for, ms. */
const lookEveryMs = 500;

/**
 * Which device is behind a path; '' when none is. Asked because the library may not notice that a port is gone: what was hung up
 * reads as nothing at all, which its binding (bindings-cpp 13, unixRead) takes for a reason to read again.
 */
async function identityOf(path: string): Promise<string> {
  if (process.platform === 'win32') return path;
  const found = await stat(path).catch(() => undefined);
  return found ? `${found.dev}:${found.ino}:${found.rdev}` : '';
}

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
      // Held open, it would come back under another name.
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

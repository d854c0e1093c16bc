import type { PlatformUrls } from '../../registry/index.js';
import { shownUrl } from '../../stream/index.js';
import { reachableHost } from '../hosts.js';
import type { PlatformOptions } from '../options.js';
import type { Broker } from './broker.js';
import { type ListenerOptions, startListeners } from './listeners.js';

export interface Doors {
  urls: Partial<PlatformUrls>;
  listening(): boolean;
  close(): Promise<void>;
}

type DoorOptions = Pick<PlatformOptions, 'engines' | 'mqttPort' | 'names' | 'plain' | 'boards' | 'wsPort'> &
  Pick<ListenerOptions, 'host' | 'tls' | 'connections'>;

/** The listeners that the options ask for, and where they are; none where devices connect to an external broker. */
export async function openDoors(broker: Broker, options: DoorOptions): Promise<Doors> {
  const { engines, host, names = [], mqttPort, plain, boards, wsPort, tls, connections } = options;
  if (engines?.broker !== undefined) {
    // Devices come to it by another door than the platform does, where there is a name for it.
    const mqtts =
      names.length > 0 ? `mqtts://${reachableHost(host, names)}:${mqttPort}` : shownUrl(engines.broker);
    return { urls: { mqtts }, listening: () => true, close: async () => {} };
  }
  const webSocket = wsPort === undefined ? undefined : { port: wsPort };
  const at = { host, port: mqttPort };
  const listeners = await startListeners(broker, { ...at, tls, connections, plain, boards, webSocket });
  const shown = reachableHost(host, names);
  const urls: Partial<PlatformUrls> = { mqtts: `mqtts://${shown}:${listeners.port}` };
  if (listeners.plainPort !== undefined) urls.mqtt = `mqtt://127.0.0.1:${listeners.plainPort}`;
  if (webSocket) urls.wss = `wss://${shown}:${listeners.webSocketPort}`;
  if (boards) urls.boards = `mqtt://${reachableHost(boards.host)}:${listeners.boardPort}`;
  return { urls, listening: () => listeners.listening(), close: () => listeners.close() };
}

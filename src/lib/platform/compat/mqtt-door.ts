import { createServer, type Socket } from 'node:net';
import type { Broker } from '../broker/broker.js';
import type { BoardDoor } from '../broker/identity.js';
import type { Connections } from '../connections.js';
import { closeServer, listenOn } from '../listen.js';
import { alertTopics, controlTopic, dataTopic } from './folders.js';

/** What the guide's boards need, and nothing else. */
const door: BoardDoor = {
  publish: [dataTopic, ...alertTopics],
  // A second board looks at the readings of the first.
  subscribe: [controlTopic, dataTopic],
};

/** MQTT without TLS and without passwords. @throws AIOT_PORT_IN_USE */
export async function startDoor(
  broker: Broker,
  connections: Connections,
  { host, port }: { host: string; port: number },
) {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    if (!connections.admit(socket) || !broker.enter(socket)) return;
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    broker.handle(socket, door, { known: () => connections.known(socket) });
  });
  const bound = await listenOn(server, host, port, '--compat-ports');
  return { port: bound, close: () => closeServer(server, sockets) };
}

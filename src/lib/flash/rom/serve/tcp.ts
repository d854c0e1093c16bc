import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { AiotError, systemCode } from '../../../core/index.js';
import type { SimulatedChip } from '../chip.js';
import type { ServedChip } from './types.js';

/** More than this unread, and what the chip says is lost, as on a line that nobody reads. */
const backlogBytes = 1 << 20;

/**
 * A chip at `socket://host:port`: bytes alone, so its speed is taken as the host's and DTR and RTS do not reach it. The
 * newest client has it.
 *
 * @throws AIOT_PORT_IN_USE
 */
export async function serveTcp(chip: SimulatedChip, port: number, host = '127.0.0.1'): Promise<ServedChip> {
  const clients = new Set<Socket>();
  const server = createServer({ noDelay: true }, (socket) => {
    // Whoever comes again has put the cable in again.
    if (chip.unplugged) chip.plug();
    for (const other of clients) other.destroy();
    clients.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => clients.delete(socket));
    socket.on('data', (bytes) => chip.receive(bytes));
  });
  const leave = [
    chip.onOutput((bytes) => {
      for (const client of clients) if (client.writableLength < backlogBytes) client.write(bytes);
    }),
    chip.onUnplugged(() => {
      for (const client of clients) client.destroy();
    }),
  ];
  server.listen({ host, port });
  try {
    await once(server, 'listening');
  } catch (cause) {
    for (const end of leave) end();
    if (systemCode(cause) !== 'EADDRINUSE') throw cause;
    throw new AiotError('AIOT_PORT_IN_USE', `${host}:${port} is taken by another program`, { cause });
  }
  const bound = server.address();
  const taken = typeof bound === 'object' && bound ? bound.port : port;
  return {
    address: `socket://${host}:${taken}`,
    close: async () => {
      for (const end of leave) end();
      for (const client of clients) client.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

import { once } from 'node:events';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { AiotError, systemCode } from '../../../core/index.js';
import type { SimulatedChip } from '../chip.js';
import { controlChip } from '../control.js';
import type { ServedChip } from './types.js';

/** The control channel on a loopback TCP port: a line in, a line out (`error: …` where it was refused). @throws AIOT_PORT_IN_USE */
export async function serveControl(chip: SimulatedChip, port: number): Promise<ServedChip> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    const lines = createInterface({ input: socket });
    lines.on('line', (line) => {
      socket.write(`${answerTo(chip, line)}\n`);
    });
  });
  server.listen({ host: '127.0.0.1', port });
  try {
    await once(server, 'listening');
  } catch (cause) {
    if (systemCode(cause) !== 'EADDRINUSE') throw cause;
    throw new AiotError('AIOT_PORT_IN_USE', `127.0.0.1:${port} is taken by another program`, { cause });
  }
  const bound = server.address();
  return {
    address: `127.0.0.1:${typeof bound === 'object' && bound ? bound.port : port}`,
    close: async () => {
      server.close();
    },
  };
}

function answerTo(chip: SimulatedChip, line: string): string {
  try {
    return controlChip(chip, line);
  } catch (error) {
    if (!(error instanceof AiotError)) throw error;
    return `error: ${error.message}`;
  }
}

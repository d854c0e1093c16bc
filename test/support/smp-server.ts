import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { encodeLines, LineDecoder } from '../../src/lib/flash/smp/packet.js';
import type { SimulatedMcuboot } from '../../src/lib/flash/smp/simulated.js';

export interface SmpServer {
  /** Value for --port. */
  port: string;
  number: number;
  close(): Promise<void>;
}

/** Decides what happens to a packet on its way: delivered, lost, or delivered twice. */
export type Loss = (direction: 'request' | 'response') => 0 | 1 | 2;

/** Serves a simulated board over UDP on loopback. */
export async function serveUdp(device: SimulatedMcuboot, loss: Loss = () => 1): Promise<SmpServer> {
  const socket = createSocket('udp4');
  socket.on('message', (packet, { port, address }) => {
    for (let copy = loss('request'); copy > 0; copy--) {
      const response = device.handle(packet);
      if (response === null) {
        // The power returns after a cut.
        if (!device.alive) device.start();
        continue;
      }
      for (let sent = loss('response'); sent > 0; sent--) socket.send(response, port, address);
    }
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const { port } = socket.address();
  return {
    port: `udp:127.0.0.1:${port}`,
    number: port,
    close: () => new Promise((resolve) => socket.close(() => resolve())),
  };
}

/** Serves a simulated board's serial console on a TCP port of loopback, with log output between the packets. */
export async function serveConsole(device: SimulatedMcuboot): Promise<SmpServer> {
  const server = createServer((socket) => {
    const decoder = new LineDecoder();
    socket.on('error', () => {});
    socket.on('data', (bytes) => {
      for (const packet of decoder.push(bytes)) {
        const response = device.handle(packet);
        socket.write('[00:00:01.000,000] <inf> app: a line of the log\r\n');
        if (response !== null) socket.write(encodeLines(response));
        else if (!device.alive) device.start();
      }
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const number = typeof address === 'object' && address !== null ? address.port : 0;
  return {
    port: `socket://127.0.0.1:${number}`,
    number,
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

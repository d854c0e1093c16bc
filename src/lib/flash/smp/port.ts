import { createSocket, type Socket } from 'node:dgram';
import { lookup } from 'node:dns/promises';
import { isIPv6 } from 'node:net';
import { AiotError } from '../../core/errors.js';
import { openLine } from '../port/open-line.js';
import { encodeLines, LineDecoder } from './packet.js';

/** A connection that carries SMP packets. */
export interface SmpPort {
  readonly address: string;
  /** Largest packet that the connection carries, bytes. */
  readonly mostBytes: number;
  /** Number of requests that the connection may carry at a time. */
  readonly window: number;
  send(packet: Uint8Array): Promise<void>;
  /** Sets the receiver of packets. */
  onPacket(listener: (packet: Uint8Array) => void): void;
  /** May be called repeatedly. */
  close(): Promise<void>;
}

/** The port on which Zephyr's server listens by default. */
const defaultUdpPort = 1337;

/** Size of an Ethernet frame's payload without the headers of IPv6 and UDP, bytes. Larger packets would be fragmented. */
const udpBytes = 1452;

/**
 * Opens a connection: `udp:HOST:PORT`, `simulated:mcuboot`, or a serial line (see `openLine`), on which packets share the console.
 * @throws AIOT_USAGE, AIOT_SERIAL_…, AIOT_SMP_SILENT (unknown host)
 */
export async function openSmpPort(
  address: string,
  options: { baud: number; signal?: AbortSignal },
): Promise<SmpPort> {
  if (address.startsWith('udp:')) return openUdp(address);
  if (address.startsWith('simulated:mcuboot')) {
    const { openSimulatedMcuboot } = await import('./simulated.js');
    return openSimulatedMcuboot(address);
  }
  const line = await openLine(address, options);
  const decoder = new LineDecoder();
  return {
    address,
    mostBytes: 8192,
    // The receive buffer of a console has room for one packet only.
    window: 1,
    send: (packet) => line.write(encodeLines(packet)),
    onPacket: (listener) => {
      line.listen({
        data: (bytes) => {
          for (const packet of decoder.push(bytes)) listener(packet);
        },
        closed: () => {},
      });
    },
    close: () => line.close(),
  };
}

/** Splits `udp:HOST:PORT`, `udp:HOST` and `udp:[IPV6]:PORT`. @throws AIOT_USAGE */
export function parseUdp(address: string): { host: string; port: number } {
  const found = /^udp:(?:\/\/)?(?:\[([\da-f:.%\w]+)\]|([^:[\]\s/]+))(?::(\d{1,5}))?$/i.exec(address);
  const port = Number(found?.[3] ?? defaultUdpPort);
  const host = found?.[1] ?? found?.[2];
  if (host === undefined || port < 1 || port > 65_535)
    throw new AiotError(
      'AIOT_USAGE',
      `expected udp:HOST:PORT, such as udp:192.168.1.20:1337, got ${address}`,
    );
  return { host, port };
}

async function openUdp(address: string): Promise<SmpPort> {
  const { host, port } = parseUdp(address);
  const found = await lookup(host).catch((cause: unknown) => {
    throw new AiotError('AIOT_SMP_SILENT', `${address}: ${host} is unknown`, { cause, endpoint: address });
  });
  const socket: Socket = createSocket(isIPv6(found.address) ? 'udp6' : 'udp4');
  let open = true;
  // An unreachable port is reported as an error on the socket. The missing response reveals the problem too.
  socket.on('error', () => {});
  await new Promise<void>((resolve) => socket.connect(port, found.address, resolve));
  return {
    address,
    mostBytes: udpBytes,
    window: 4,
    send: (packet) => new Promise((resolve) => socket.send(packet, () => resolve())),
    onPacket: (listener) => void socket.on('message', (packet) => listener(packet)),
    close: async () => {
      if (!open) return;
      open = false;
      await new Promise<void>((resolve) => socket.close(resolve));
    },
  };
}

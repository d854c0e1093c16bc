import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import tls from 'node:tls';
import { generate, type Packet, parser } from 'mqtt-packet';

/** A connection that sends arbitrary bytes, and parses received packets. */
export interface RawMqtt {
  socket: Duplex;
  /** All packets received so far. */
  packets: Packet[];
  /** Resolves with true when the connection is closed by either side. */
  closed: Promise<boolean>;
  say(...packets: (Packet | Buffer)[]): void;
  /** Resolves with the next packet of this kind, or with null if the connection is closed first. */
  hear<C extends Packet['cmd']>(cmd: C): Promise<Extract<Packet, { cmd: C }> | null>;
}

export interface RawOptions {
  ca?: string;
  /** Folder with device.crt and device.key. */
  identity?: string;
  /** The version; 5 = packets have the MQTT 5 form. */
  version?: 5;
}

/** Connects with the protocol in the URL (mqtt, mqtts or wss). Resolves when the connection is open. */
export async function rawMqtt(url: string, options: RawOptions = {}): Promise<RawMqtt> {
  const socket = await opened(url, options);
  const packets: Packet[] = [];
  let taken = 0;
  const news = new Set<() => void>();
  const tell = () => {
    for (const each of [...news]) each();
  };
  const form = options.version === undefined ? {} : { protocolVersion: options.version };
  const reader = parser(form);
  reader.on('packet', (packet) => {
    packets.push(packet);
    tell();
  });
  socket.on('data', (chunk) => reader.parse(chunk));
  socket.on('error', () => {});
  const closed = new Promise<boolean>((resolve) =>
    socket.once('close', () => {
      resolve(true);
      tell();
    }),
  );
  return {
    socket,
    packets,
    closed,
    say(...said) {
      for (const each of said)
        if (!socket.destroyed) socket.write(Buffer.isBuffer(each) ? each : generate(each, form));
    },
    async hear(cmd) {
      for (;;) {
        for (; taken < packets.length; taken++) {
          const packet = packets[taken]!;
          if (packet.cmd !== cmd) continue;
          taken++;
          return packet as never;
        }
        if (socket.destroyed) return null;
        await new Promise<void>((resolve) => {
          const look = () => {
            news.delete(look);
            resolve();
          };
          news.add(look);
        });
      }
    },
  };
}

async function opened(url: string, { ca, identity }: RawOptions): Promise<Duplex> {
  const { protocol, hostname: host, port: text } = new URL(url);
  const port = Number(text);
  const own = identity === undefined ? {} : keysIn(identity);
  if (protocol === 'wss:') {
    const { WebSocket, createWebSocketStream } = await import('ws');
    const socket = new WebSocket(url, ['mqtt'], { ...own, ...(ca === undefined ? {} : { ca }) });
    const stream = createWebSocketStream(socket);
    stream.on('error', () => {}).on('end', () => stream.destroy());
    await once(socket, 'open');
    return stream;
  }
  const socket = protocol === 'mqtts:' ? tls.connect({ host, port, ca, ...own }) : connect(port, host);
  await once(socket, protocol === 'mqtts:' ? 'secureConnect' : 'connect');
  return socket;
}

function keysIn(identity: string) {
  const file = (name: string) => readFileSync(join(identity, name));
  return { cert: file('device.crt'), key: file('device.key') };
}

/** A CONNECT packet of MQTT 3.1.1, by default with a clean session and no keep-alive. */
export function hello(more: object = {}): Packet {
  return {
    ...{ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, clean: true, clientId: 'raw', keepalive: 0 },
    ...more,
  } as Packet;
}

/** A PUBLISH packet of "x" on `a/b`, by default at QoS 0. */
export function publish(more: object = {}): Packet {
  return {
    ...{ cmd: 'publish', topic: 'a/b', payload: 'x', qos: 0, retain: false, dup: false },
    ...more,
  } as Packet;
}

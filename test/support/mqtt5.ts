import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { generate, type IPublishPacket, type Packet, parser } from 'mqtt-packet';

/** A small MQTT 5 broker in this process. A test may respond to any packet in its place. */
export interface Mqtt5Server {
  url: string;
  port: number;
  /** Packets received, in order. */
  received: Packet[];
  /** Returns the received packets of one type. */
  of<Name extends Packet['cmd']>(cmd: Name): Extract<Packet, { cmd: Name }>[];
  /** Sends a packet to every connected client. */
  send(packet: Packet): void;
  /** Ends all connections, after a DISCONNECT with the reason if one is given. */
  hangUp(reason?: { reasonCode: number; properties?: object }): void;
  close(): Promise<void>;
}

type Answer = (packet: Packet, say: (packet: Packet) => void, socket: Socket) => boolean | undefined;

/**
 * Clients receive messages published to exactly the subscribed topic, or to any topic below `PREFIX/#`, at QoS 1 at most.
 * @param options.connack properties of every CONNACK
 * @param options.answer a function that returns true if the test has responded
 */
export async function startMqtt5(options: { connack?: object; answer?: Answer } = {}): Promise<Mqtt5Server> {
  const received: Packet[] = [];
  const filters = new Map<Socket, string[]>();
  let lastId = 0;
  const sayTo = (socket: Socket) => (packet: Packet) => {
    if (socket.writable) socket.write(generate(packet, { protocolVersion: 5 }));
  };
  const forward = ({ topic, payload, qos, retain, properties }: IPublishPacket) => {
    for (const [socket, wanted] of filters) {
      if (!wanted.some((filter) => fits(filter, topic))) continue;
      const { topicAlias: _, ...rest } = properties ?? {};
      const head = { cmd: 'publish' as const, topic, payload, dup: false, retain: retain && false };
      const id = qos === 0 ? {} : { messageId: (lastId % 65_535) + 1 };
      if (qos > 0) lastId++;
      sayTo(socket)({ ...head, qos: qos === 0 ? 0 : 1, ...id, properties: rest });
    }
  };
  const server = createServer((socket) => {
    const say = sayTo(socket);
    const aliases = new Map<number, string>();
    const reader = parser({ protocolVersion: 5 });
    filters.set(socket, []);
    socket.on('close', () => filters.delete(socket)).on('error', () => {});
    reader.on('error', () => socket.destroy());
    reader.on('packet', (packet: Packet) => {
      received.push(packet);
      if (options.answer?.(packet, say, socket)) return;
      const { messageId } = packet;
      if (packet.cmd === 'connect') {
        say({ cmd: 'connack', reasonCode: 0, sessionPresent: false, properties: options.connack ?? {} });
      } else if (packet.cmd === 'subscribe') {
        filters.get(socket)?.push(...packet.subscriptions.map(({ topic }) => topic));
        say({ cmd: 'suback', messageId, granted: packet.subscriptions.map(({ qos }) => Math.min(qos, 1)) });
      } else if (packet.cmd === 'publish') {
        const alias = packet.properties?.topicAlias;
        if (alias !== undefined && packet.topic !== '') aliases.set(alias, packet.topic);
        if (packet.qos > 0) say({ cmd: 'puback', messageId, reasonCode: 0 });
        forward({ ...packet, topic: packet.topic || (aliases.get(alias ?? 0) ?? '') });
      } else if (packet.cmd === 'pingreq') say({ cmd: 'pingresp' });
    });
    socket.on('data', (data) => reader.parse(data));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    url: `mqtt://127.0.0.1:${port}`,
    port,
    received,
    of: <Name extends Packet['cmd']>(cmd: Name) =>
      received.filter((packet): packet is Extract<Packet, { cmd: Name }> => packet.cmd === cmd),
    send(packet) {
      for (const socket of filters.keys()) sayTo(socket)(packet);
    },
    hangUp(reason) {
      for (const socket of filters.keys()) {
        if (reason) sayTo(socket)({ cmd: 'disconnect', ...reason });
        socket.end();
      }
    },
    async close() {
      for (const socket of filters.keys()) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

function fits(filter: string, topic: string): boolean {
  const plain = filter.replace(/^\$share\/[^/]+\//, '');
  return plain.endsWith('#') ? topic.startsWith(plain.slice(0, -1)) : plain === topic;
}

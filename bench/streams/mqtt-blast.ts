import { once } from 'node:events';
import { connect } from 'node:net';
import mqttPacket from 'mqtt-packet';
import { encodePublish, Frames, packetType } from '../../src/lib/stream/mqtt/packets.js';

export interface Blast {
  port: number;
  topic: string;
  /** Number of topics, each one level below `topic`; 1 = only `topic` itself. */
  topics?: number;
  payloads: readonly Uint8Array[];
  qos: 0 | 1;
  /** MQTT 3.1.1 by default. */
  version?: 4 | 5;
  retain?: boolean;
  /** Credentials, for brokers that require them. */
  login?: { username: string; password: string };
}

/**
 * Prepares a publisher with minimal overhead: all packets are created before the clock starts, and written as fast as the broker accepts
 * them. The returned function resolves when the broker has acknowledged all of them (QoS 1), or when all are written (QoS 0).
 */
export async function prepareBlast(blast: Blast): Promise<() => Promise<void>> {
  const { port, topic, topics = 1, payloads, qos, version = 4, retain = false, login } = blast;
  const socket = connect({ host: '127.0.0.1', port });
  await once(socket, 'connect');
  socket.write(connectPacket({ id: 'blast', version, clean: true, login }));
  const [connack] = (await once(socket, 'data')) as [Buffer];
  if (connack[0] !== 0x20 || connack[3] !== 0) throw new Error(`refused: ${connack.toString('hex')}`);
  // A packet identifier may be reused once it has been acknowledged (section 2.3.1).
  const window = version === 5 ? receiveMaximumOf(connack) : 20_000;
  const packets = payloads.map((payload, index) => {
    const own = topics === 1 ? topic : `${topic}/${index % topics}`;
    const id = qos === 0 ? 0 : (index % 65_535) + 1;
    return encodePublish({ topic: own, payload, retain }, { topic: own, qos, id, dup: false, version });
  });
  const frames = new Frames();
  let acknowledged = 0;
  socket.on('data', (chunk) => {
    frames.push(chunk);
    while (frames.next()) if (frames.head >> 4 === packetType.puback) acknowledged++;
  });
  return async () => {
    const perWrite = Math.min(400, window);
    for (let from = 0; from < packets.length; from += perWrite) {
      const some = packets.slice(from, from + perWrite);
      while (qos === 1 && from + perWrite - acknowledged > window) await once(socket, 'data');
      if (!socket.write(Buffer.concat(some))) await once(socket, 'drain');
    }
    while (qos === 1 && acknowledged < packets.length) await once(socket, 'data');
    socket.end();
    await once(socket, 'close');
  };
}

interface Introduction {
  id: string;
  version: 4 | 5;
  clean: boolean;
  login?: { username: string; password: string } | undefined;
}

/** CONNECT with keep-alive disabled (section 3.1). In MQTT 5, a session that is not clean outlives its connection for an hour. */
export function connectPacket({ id, version, clean, login }: Introduction): Buffer {
  const user = login ? [text(login.username), text(login.password)] : [];
  const flags = (login ? 0xc0 : 0) | (clean ? 2 : 0);
  const expiry = clean ? [0] : [5, 0x11, 0, 0, 0x0e, 0x10];
  const properties = Buffer.from(version === 5 ? expiry : []);
  const head = Buffer.from([version, flags, 0, 0]);
  const body = Buffer.concat([text('MQTT'), head, properties, text(id), ...user]);
  return Buffer.concat([Buffer.from([0x10, body.length]), body]);
}

/** The number of unacknowledged messages that the broker accepts, from its MQTT 5 CONNACK (section 3.2.2.3.3). */
function receiveMaximumOf(connack: Buffer): number {
  let maximum = 65_535;
  const parser = mqttPacket.parser({ protocolVersion: 5 });
  parser.on('packet', (packet) => {
    if (packet.cmd === 'connack') maximum = packet.properties?.receiveMaximum ?? maximum;
  });
  parser.parse(connack);
  return maximum;
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes]);
}

import { once } from 'node:events';
import { connect } from 'node:net';
import { encodePublish, Frames, packetType } from '../../src/lib/stream/mqtt/packets.js';

export interface Blast {
  port: number;
  topic: string;
  payloads: readonly Uint8Array[];
  qos: 0 | 1;
  /** Credentials, for brokers that require them. */
  login?: { username: string; password: string };
}

/**
 * A publisher with minimal cost: all packets are created before the clock starts, and written as fast as the broker accepts them. Resolves
 * when the broker has acknowledged all (QoS 1), or when all are written (QoS 0).
 */
export async function prepareBlast({
  port,
  topic,
  payloads,
  qos,
  login,
}: Blast): Promise<() => Promise<void>> {
  const socket = connect({ host: '127.0.0.1', port });
  await once(socket, 'connect');
  // CONNECT of MQTT 3.1.1, a clean session, keep-alive off, the client id `blast` (section 3.1).
  const user = login ? [text(login.username), text(login.password)] : [];
  const flags = login ? 0xc2 : 2;
  const hello = Buffer.concat([text('MQTT'), Buffer.from([4, flags, 0, 0]), text('blast'), ...user]);
  socket.write(Buffer.concat([Buffer.from([0x10, hello.length]), hello]));
  await once(socket, 'data');
  const packets = payloads.map((payload, index) =>
    encodePublish(
      { topic, payload },
      { topic, qos, id: qos === 0 ? 0 : (index % 65_535) + 1, dup: false, version: 4 },
    ),
  );
  const frames = new Frames();
  let acknowledged = 0;
  socket.on('data', (chunk) => {
    frames.push(chunk);
    while (frames.next()) if (frames.head >> 4 === packetType.puback) acknowledged++;
  });
  return async () => {
    const perWrite = 400;
    for (let from = 0; from < packets.length; from += perWrite) {
      const some = packets.slice(from, from + perWrite);
      if (!socket.write(Buffer.concat(some))) await once(socket, 'drain');
      // An ID may be reused once it has been acknowledged (section 2.3.1).
      while (qos === 1 && from + perWrite - acknowledged > 20_000) await once(socket, 'data');
    }
    while (qos === 1 && acknowledged < packets.length) await once(socket, 'data');
    socket.end();
    await once(socket, 'close');
  };
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes]);
}

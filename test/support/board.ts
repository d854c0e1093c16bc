import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

/** A board of the IoT kit that is connected to a broker. Its MQTT 3.1 packets are assembled by hand, as in its firmware's library. */
export interface TestBoard {
  /** Publishes a text at QoS 0, with the NUL that ends the kit's payloads. */
  send(topic: string, text: string): void;
  /** Publishes at QoS 1. Resolves when the PUBACK has arrived. */
  sendAcknowledged(topic: string, text: string): Promise<void>;
  /** Returns the code from the SUBACK: 0 if granted, 128 if not. */
  subscribe(filter: string): Promise<number>;
  /** The received messages, with topic and complete payload. */
  readonly received: { topic: string; payload: Buffer }[];
  /** Resolves when the connection has ended. */
  readonly closed: Promise<void>;
  end(): void;
}

const text = (value: string | Buffer) => {
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 255]), bytes]);
};

/** A packet with its remaining length, as in section 2.1 of MQTT 3.1. */
function packet(header: number, ...parts: Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  const length: number[] = [];
  for (let left = body.length, more = true; more; ) {
    const digit = left % 128;
    left = Math.floor(left / 128);
    more = left > 0;
    length.push(more ? digit | 128 : digit);
  }
  return Buffer.concat([Buffer.from([header, ...length]), body]);
}

/**
 * Connects like a board, with protocol `MQIsdp`, level 3, a clean session, its MAC address as client id and user, and a password that is
 * not checked.
 * @throws with the CONNACK's return code if it is not 0
 */
export async function connectBoard(
  port: number,
  mac = 'aa:bb:cc:dd:ee:ff',
  password = 'password',
): Promise<TestBoard> {
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  socket.on('error', () => {});
  const answers = readPackets(socket);
  const flags = Buffer.from([3, 0b1100_0010, 0, 60]);
  socket.write(packet(0x10, text('MQIsdp'), flags, text(mac), text(mac), text(password)));
  const connack = await answers.next(2);
  if (connack[1] !== 0) throw new Error(`CONNACK ${connack[1]}`);
  let id = 0;
  const nextId = () => Buffer.from([++id >> 8, id & 255]);
  const payload = (value: string) => Buffer.from(`${value}\0`);
  return {
    received: answers.published,
    closed,
    send: (topic, value) => void socket.write(packet(0x30, text(topic), payload(value))),
    async sendAcknowledged(topic, value) {
      socket.write(packet(0x32, text(topic), nextId(), payload(value)));
      await answers.next(4);
    },
    async subscribe(filter) {
      socket.write(packet(0x82, nextId(), text(filter), Buffer.from([0])));
      return (await answers.next(9))[2]!;
    },
    end: () => void socket.end(packet(0xe0)),
  };
}

function readPackets(socket: Socket) {
  const published: { topic: string; payload: Buffer }[] = [];
  const waiting: { type: number; resolve: (body: Buffer) => void; reject: (error: Error) => void }[] = [];
  const early: { type: number; body: Buffer }[] = [];
  let bytes = Buffer.alloc(0);
  const take = (type: number, body: Buffer) => {
    if (type === 3) {
      const length = body.readUInt16BE(0);
      published.push({ topic: body.toString('utf8', 2, 2 + length), payload: body.subarray(2 + length) });
      return;
    }
    const at = waiting.findIndex((one) => one.type === type);
    if (at < 0) early.push({ type, body });
    else waiting.splice(at, 1)[0]?.resolve(body);
  };
  socket.on('data', (chunk) => {
    bytes = Buffer.concat([bytes, chunk]);
    for (;;) {
      let [length, shift, at] = [0, 0, 1];
      for (; at < bytes.length; shift += 7) {
        const digit = bytes[at++]!;
        length += (digit & 127) << shift;
        if (digit < 128) break;
      }
      if (bytes.length < 2 || bytes.length < at + length) return;
      take(bytes[0]! >> 4, Buffer.from(bytes.subarray(at, at + length)));
      bytes = bytes.subarray(at + length);
    }
  });
  socket.once('close', () => {
    for (const { reject } of waiting) reject(new Error('the connection was closed'));
  });
  return {
    published,
    next(type: number): Promise<Buffer> {
      const at = early.findIndex((one) => one.type === type);
      if (at >= 0) return Promise.resolve(early.splice(at, 1)[0]!.body);
      return new Promise((resolve, reject) => {
        waiting.push({ type, resolve, reject });
        if (socket.destroyed) reject(new Error('the connection was closed'));
      });
    },
  };
}

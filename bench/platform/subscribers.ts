// Subscribers with minimal overhead, in a separate process: `node --import tsx subscribers.ts OPTIONS`, where OPTIONS is JSON. Prints
// `connected`, subscribes when it reads a line, prints `subscribed`, and prints `done` when all members together have received
// `messages`. Then it disconnects.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { Frames, packetType, writeAck } from '../../src/lib/stream/mqtt/packets.js';
import { connectPacket } from '../streams/mqtt-blast.js';

export interface SubscriberOptions {
  port: number;
  version: 4 | 5;
  filter: string;
  qos: 0 | 1;
  members: number;
  messages: number;
  /** Whether the session outlives the connection. Each run uses a new session. */
  persistent: boolean;
  login: { username: string; password: string };
}

const options = JSON.parse(process.argv[2] ?? '{}') as SubscriberOptions;
const { version, filter, qos, members, messages, persistent, login } = options;
const suback = 9;
let received = 0;
let subscribed = 0;
let left = false;

const sockets = await Promise.all(Array.from({ length: members }, (_, index) => open(`bench-${index}`)));
const say = (line: string) => process.stdout.write(`${line}\n`);
say('connected');
await once(process.stdin, 'data');
for (const socket of sockets) {
  // SUBSCRIBE (section 3.8), in MQTT 5 without properties.
  const name = Buffer.from(filter);
  const body = [0, 1, ...(version === 5 ? [0] : []), name.length >> 8, name.length & 0xff, ...name, qos];
  socket.write(Buffer.from([0x82, body.length, ...body]));
}

async function open(id: string): Promise<Socket> {
  // A clean connection deletes the session of an earlier run.
  if (persistent) (await introduced(id, true)).destroy();
  const socket = await introduced(id, !persistent);
  const frames = new Frames();
  socket.on('data', (chunk: Buffer) => {
    frames.push(chunk);
    const acks: Buffer[] = [];
    while (frames.next()) {
      if (frames.head >> 4 === suback && ++subscribed === members) say('subscribed');
      if (frames.head >> 4 !== packetType.publish) continue;
      received++;
      if ((frames.head & 6) !== 0) acks.push(ackOf(frames));
    }
    if (acks.length > 0) socket.write(Buffer.concat(acks));
    if (received >= messages) leave();
  });
  return socket;
}

function ackOf({ buffer, from }: Frames): Buffer {
  const ack = Buffer.allocUnsafe(4);
  writeAck(ack, 0, packetType.puback, buffer.readUInt16BE(from + 2 + buffer.readUInt16BE(from)));
  return ack;
}

function leave(): void {
  if (left) return;
  left = true;
  say('done');
  // DISCONNECT is sent after the last acknowledgments.
  for (const socket of sockets) socket.end(Buffer.from([0xe0, 0]));
  process.stdin.destroy();
}

async function introduced(id: string, clean: boolean): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port: options.port });
  await once(socket, 'connect');
  socket.write(connectPacket({ id, version, clean, login }));
  const [connack] = (await once(socket, 'data')) as [Buffer];
  if (connack[0] !== 0x20 || connack[3] !== 0) throw new Error(`refused: ${connack.toString('hex')}`);
  return socket;
}

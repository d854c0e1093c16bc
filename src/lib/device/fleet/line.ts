import { connect as connectPlain, type Socket } from 'node:net';
import { connect as connectTls, type SecureContext } from 'node:tls';
import { type DeviceChannel, encodeMessage, topicOf } from '../protocol/codec.js';
import type { Signer } from '../protocol/proof.js';

/**
 * MQTT keep-alive interval, s. The broker considers a device offline if nothing arrives for 1.5 times this interval. The
 * fleet sends three pings for each device in this interval.
 */
export const keepAliveS = 600;

/** Connection settings for one device in a fleet. */
export interface Door {
  host: string;
  port: number;
  /** TLS settings; absent = no TLS. */
  secure?: { servername: string; context: SecureContext } | undefined;
  /** A loopback address for this device. Each address has its own range of ports. */
  localAddress?: string | undefined;
  /** Secret for the login; absent = the certificate in `secure` identifies the device. */
  secret?: string | undefined;
  /** For a device with a certificate: the key that signs the proofs of its updates. */
  signer?: Signer | undefined;
}

interface LineOptions {
  name: string;
  door: Door;
  now: () => number;
  /** Called when the device is connected and subscribed. */
  onReady(line: Line): void;
  onDesired(payload: Buffer): void;
  onAcknowledged(id: number): void;
  onClosed(error: Error | null): void;
  /** Called for each message in either direction. */
  onMessage(direction: 'sent' | 'heard'): void;
}

/** One device's connection, with its own socket. */
export class Line implements Packets {
  private readonly socket: Socket;
  private rest: Buffer | null = null;
  private nextId = 1;
  /** Number of messages that the broker has not acknowledged. */
  waiting = 0;
  private error: Error | null = null;
  ready = false;

  constructor(private readonly options: LineOptions) {
    const { door, name, now } = options;
    const { host, port, localAddress, secure, secret } = door;
    const at = { host, port, ...(localAddress ? { localAddress } : {}) };
    this.socket = secure
      ? connectTls({ ...at, servername: secure.servername, secureContext: secure.context })
      : connectPlain(at);
    this.socket.setNoDelay(true);
    const will = { topic: topicOf(name, 'presence'), payload: encodeMessage({ online: false, t: now() }) };
    this.socket.once(secure ? 'secureConnect' : 'connect', () => {
      const user = secret === undefined ? {} : { username: name, password: secret };
      this.socket.write(connectPacket({ clientId: name, ...user, will, keepAliveS }));
    });
    this.socket.on('data', (came: Buffer) => {
      const rest = readPackets(this.rest ? Buffer.concat([this.rest, came]) : came, this);
      // Copied, because a slice would keep the whole receive buffer in memory.
      this.rest = rest && Buffer.from(rest);
    });
    this.socket.on('error', (error) => {
      this.error = error;
    });
    this.socket.once('close', () => {
      this.ready = false;
      options.onClosed(this.error);
    });
  }

  onConnected(code: number): void {
    if (code !== 0) {
      this.socket.destroy(new Error(`the broker rejected ${this.options.name} (${code})`));
      return;
    }
    const { name } = this.options;
    this.socket.write(subscribePacket(this.id(), [topicOf(name, 'desired'), topicOf(name, 'command')]));
  }

  onSubscribed(codes: Buffer): void {
    // Connected but without its subscriptions, the device would never be offered an update, so it tries again with a new connection.
    if (codes.includes(refusedSubscription)) {
      this.socket.destroy(new Error(`the broker rejected the subscriptions of ${this.options.name}`));
      return;
    }
    this.ready = true;
    this.options.onReady(this);
  }

  onPublish(topic: string, payload: Buffer, id: number | null): void {
    this.options.onMessage('heard');
    if (id !== null) this.socket.write(acknowledgePacket(id));
    if (topic === topicOf(this.options.name, 'desired')) this.options.onDesired(payload);
  }

  onAcknowledged(id: number): void {
    this.waiting--;
    this.options.onAcknowledged(id);
  }

  /** Publishes a message, which the broker retains unless it is a crash. Returns its packet id, which the acknowledgment will contain. */
  publish(channel: DeviceChannel, message: object): number {
    const id = this.id();
    this.waiting++;
    this.options.onMessage('sent');
    this.socket.write(
      publishPacket(id, topicOf(this.options.name, channel), encodeMessage(message), channel !== 'crash'),
    );
    return id;
  }

  ping(): void {
    if (this.ready) this.socket.write(pingPacket);
  }

  /** Closes without DISCONNECT, as in a power failure; the broker then publishes the last will. */
  cut(): void {
    this.socket.destroy();
  }

  private id(): number {
    this.nextId = this.nextId === 0xffff ? 1 : this.nextId + 1;
    return this.nextId;
  }
}

/**
 * A device's last will. The packets below implement only the parts of MQTT 3.1.1 that a fleet needs, so that a
 * connection takes little more memory than its socket.
 */
interface Will {
  topic: string;
  payload: Buffer;
}

function connectPacket(options: {
  clientId: string;
  username?: string | undefined;
  password?: string | undefined;
  will: Will;
  keepAliveS: number;
}): Buffer {
  const { clientId, username, password, will, keepAliveS } = options;
  // Clean session, and a last will that is retained at QoS 1.
  const flags = 0x02 | 0x2c | (username === undefined ? 0 : 0xc0);
  const head = Buffer.from([4, flags, keepAliveS >> 8, keepAliveS & 0xff]);
  const credentials = username === undefined ? [] : [text(username), text(password ?? '')];
  return packet(0x10, [
    ...[text('MQTT'), head, text(clientId), text(will.topic), bytes(will.payload)],
    ...credentials,
  ]);
}

function subscribePacket(id: number, filters: readonly string[]): Buffer {
  const qos1 = Buffer.from([1]);
  return packet(0x82, [two(id), ...filters.flatMap((filter) => [text(filter), qos1])]);
}

/** Builds a PUBLISH packet at QoS 1. */
function publishPacket(id: number, topic: string, payload: Buffer, retain: boolean): Buffer {
  return packet(0x32 | (retain ? 1 : 0), [text(topic), two(id), payload]);
}

function acknowledgePacket(id: number): Buffer {
  return Buffer.from([0x40, 2, id >> 8, id & 0xff]);
}

const pingPacket = Buffer.from([0xc0, 0]);

/** Return code of a subscription that the broker rejected (MQTT 3.1.1, section 3.9.3). */
const refusedSubscription = 0x80;

interface Packets {
  /** Called with a CONNACK's return code; 0 = accepted. */
  onConnected(code: number): void;
  /** Called with a SUBACK's return codes, one per filter. */
  onSubscribed(codes: Buffer): void;
  onPublish(topic: string, payload: Buffer, id: number | null): void;
  onAcknowledged(id: number): void;
}

/** Passes on each complete packet in the received bytes. Returns the bytes of an incomplete last packet, or null. */
function readPackets(came: Buffer, to: Packets): Buffer | null {
  let at = 0;
  while (at < came.length) {
    let [length, shift, body] = [0, 0, at + 1];
    for (;;) {
      if (body >= came.length) return came.subarray(at);
      const byte = came[body++]!;
      length |= (byte & 0x7f) << shift;
      shift += 7;
      if (byte < 0x80) break;
    }
    if (body + length > came.length) return came.subarray(at);
    one(came[at]!, came.subarray(body, body + length), to);
    at = body + length;
  }
  return null;
}

function one(head: number, body: Buffer, to: Packets): void {
  switch (head >> 4) {
    case 2:
      to.onConnected(body[1] ?? 0xff);
      return;
    case 3: {
      const end = 2 + body.readUInt16BE(0);
      const qos = (head >> 1) & 3;
      const id = qos === 0 ? null : body.readUInt16BE(end);
      to.onPublish(body.toString('utf8', 2, end), body.subarray(qos === 0 ? end : end + 2), id);
      return;
    }
    case 4:
      to.onAcknowledged(body.readUInt16BE(0));
      return;
    case 9:
      to.onSubscribed(body.subarray(2));
  }
}

function two(value: number): Buffer {
  return Buffer.from([value >> 8, value & 0xff]);
}

function bytes(value: Buffer): Buffer {
  return Buffer.concat([two(value.length), value]);
}

function text(value: string): Buffer {
  return bytes(Buffer.from(value));
}

function packet(head: number, parts: readonly Buffer[]): Buffer {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const header = [head];
  let left = length;
  do {
    header.push(left > 127 ? (left & 0x7f) | 0x80 : left);
    left >>= 7;
  } while (left > 0);
  return Buffer.concat([Buffer.from(header), ...parts], header.length + length);
}

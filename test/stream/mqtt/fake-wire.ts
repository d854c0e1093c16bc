import { createRequire } from 'node:module';
import type { PacketHandlers, Wire } from '../../../src/lib/stream/mqtt/connection.js';
import { Frames } from '../../../src/lib/stream/mqtt/packets.js';

// mqtt.js's codec, an independent implementation, reads what we send.
const peer = createRequire(createRequire(import.meta.url).resolve('mqtt'))('mqtt-packet');

/**
 * A wire that shows sent packets in a short form: `p1 a` = PUBLISH of `a` with id 1, `P1 a` = the same with
 * DUP, `r1` = PUBREL.
 */
export interface FakeWire extends Wire {
  sent: string[];
  open: boolean;
  congested: boolean;
  /** Passes an acknowledgment to the outbox. */
  answer(name: 'puback' | 'pubrec' | 'pubcomp', id: number, reason?: number): void;
  /** Signals that the system has accepted the bytes. */
  handOver(): void;
  /** Returns the packets sent since the last call. */
  take(): string[];
}

const types = { puback: 4, pubrec: 5, pubcomp: 7 };

export function fakeWire(lane: PacketHandlers, version: 4 | 5 = 5): FakeWire {
  const handed: (() => void)[] = [];
  const wire: FakeWire = {
    version,
    open: true,
    congested: false,
    onDrain: undefined,
    sent: [],
    send(bytes, done) {
      const parser = peer.parser({ protocolVersion: version });
      parser.on('packet', (packet: { messageId?: number; payload: Buffer; dup: boolean }) =>
        wire.sent.push(`${packet.dup ? 'P' : 'p'}${packet.messageId ?? 0} ${packet.payload}`),
      );
      parser.parse(Buffer.from(bytes));
      if (done) handed.push(done);
    },
    ack: (type, id) => wire.sent.push(`${type === 6 ? 'r' : `${type}:`}${id}`),
    flush() {},
    release() {},
    fail() {},
    answer(name, id, reason) {
      const frames = new Frames();
      const body = [id >> 8, id & 255, ...(reason === undefined ? [] : [reason])];
      frames.push(Buffer.from([types[name] << 4, body.length, ...body]));
      frames.next();
      lane.packet(frames.head >> 4, frames, wire);
    },
    handOver() {
      for (const done of handed.splice(0)) done();
    },
    take: () => wire.sent.splice(0),
  };
  return wire;
}

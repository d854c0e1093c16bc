import type { Duplex } from 'node:stream';
import { encodePublish, packetType } from '../../stream/mqtt/packets.js';
import type { BrokerFigures } from './metrics.js';
import type { Link, Session } from './sessions.js';
import { ack, type BrokerMessage, type Qos } from './wire.js';

/** Bytes that may be pending in a socket before queues hold messages back. */
const roomyBytes = 1024 ** 2;

/** The sending side of a connection: everything sent in one turn of the event loop goes out in one write. */
export class Outlet implements Link {
  private parts: Buffer[] = [];
  private bytes = 0;
  private scheduled = false;
  /** Bytes accepted by the system. */
  taken = 0;
  /** Called when there is room again. */
  onRoom: (() => void) | null = null;

  constructor(
    private readonly socket: Duplex,
    private readonly figures: BrokerFigures,
    /** QoS 0 messages are dropped beyond this many pending bytes. */
    private readonly mostBytes: number,
  ) {}

  get waiting(): number {
    return this.socket.writableLength + this.bytes;
  }

  get roomy(): boolean {
    return this.waiting < roomyBytes;
  }

  send(bytes: Buffer): void {
    if (this.socket.destroyed) return;
    this.figures.packetsOut++;
    this.figures.bytesOut += bytes.length;
    this.parts.push(bytes);
    this.bytes += bytes.length;
    if (this.bytes > 64 * 1024) this.flush();
    else if (!this.scheduled) {
      this.scheduled = true;
      queueMicrotask(() => {
        this.scheduled = false;
        this.flush();
      });
    }
  }

  sendMessage(message: BrokerMessage, qos: Qos, id: number, dup: boolean): void {
    const { topic, payload, retain } = message;
    if (qos === 0 && this.waiting > this.mostBytes) {
      this.figures.dropped++;
      return;
    }
    const flags = { topic, qos, id, dup, version: 4 } as const;
    if (qos === 0) {
      message.wire ??= encodePublish({ topic, payload, retain }, flags);
      this.send(message.wire);
    } else this.send(encodePublish({ topic, payload, retain }, flags));
    this.figures.sent++;
    this.figures.payloadOut += payload.length;
  }

  sendRelease(id: number): void {
    this.send(ack(packetType.pubrel, id));
  }

  /** Closes the socket when pending output is written, or after `patienceMs`: a client that does not read would keep it open forever. */
  end(patienceMs: number): void {
    const { socket } = this;
    if (socket.destroyed) return;
    this.flush();
    const patience = setTimeout(() => socket.destroy(), patienceMs);
    socket.once('close', () => clearTimeout(patience));
    socket.end(() => socket.destroy());
  }

  /** Writes pending output. */
  flush(): void {
    const { parts, bytes } = this;
    if (bytes === 0 || this.socket.destroyed) return;
    this.parts = [];
    this.bytes = 0;
    const block = parts.length === 1 ? parts[0]! : Buffer.concat(parts, bytes);
    const hadRoom = this.socket.writableLength < roomyBytes;
    this.socket.write(block, () => {
      this.taken += block.length;
      if (!hadRoom || this.waiting < roomyBytes) this.onRoom?.();
    });
  }
}

const lookMs = 500;

/** Messages queued for a connected client before its publishers are held up, and the number at which they continue. */
const behindMessages = 1000;

const caughtUpMessages = 500;

export function isBehind({ link, queued }: Session): boolean {
  return link !== null && (!link.roomy || queued > behindMessages);
}

/** Calls `then` once the session has caught up, is gone, or has read nothing for half a second: publishers do not wait for a stalled client. */
export function whenCaughtUp(session: Session, then: () => void): void {
  const progress = () => session.progress + (session.link?.taken ?? 0);
  let seen = progress();
  const finish = () => {
    clearInterval(timer);
    session.waiters.delete(look);
    then();
  };
  const look = () => {
    const { link, queued } = session;
    if (!link || (link.roomy && queued < caughtUpMessages)) finish();
  };
  const timer = setInterval(() => {
    if (progress() === seen) return finish();
    seen = progress();
    look();
  }, lookMs);
  session.waiters.add(look);
}

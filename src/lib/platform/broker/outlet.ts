import type { Duplex } from 'node:stream';
import { encodePublish, packetType } from '../../stream/mqtt/packets.js';
import type { Core } from './broker.js';
import type { Link, Outgoing, Session } from './sessions.js';
import { ack, type BrokerMessage, type ConnectPacket, encodeDelivery, type Qos } from './wire.js';

/** Bytes that may be pending in a socket before messages are held in the session's queue. */
const roomyBytes = 1024 ** 2;

/** A client's limits for the messages that it receives, from CONNECT. */
export type Reception = Pick<ConnectPacket, 'receiveMaximum' | 'maximumPacketSize' | 'topicAliasMaximum'>;

/** The sending side of a connection: everything sent in one turn of the event loop goes out in one write. */
export class Outlet implements Link {
  private chunks: Buffer[] = [];
  private bytes = 0;
  private scheduled = false;
  /** Whether the client speaks MQTT 5. */
  private isFive = false;
  receiveMaximum = 65_535;
  maximumPacketSize = Number.POSITIVE_INFINITY;
  private aliasMaximum = 0;
  throttled = false;
  /** Topic aliases; created when the client accepts aliases. */
  private aliases: Map<string, number> | null = null;
  /** Number of bytes accepted by the operating system. */
  taken = 0;
  /** Called when the socket can accept more again. */
  onRoom: (() => void) | null = null;
  /** Called for messages that cannot be sent to this client. */
  onDiscard: ((entry: Outgoing) => void) | null = null;

  constructor(
    private readonly socket: Duplex,
    private readonly parts: Pick<Core, 'figures' | 'limits' | 'now'>,
  ) {}

  get now(): () => number {
    return this.parts.now;
  }

  /** Sends messages in MQTT 5 format from now on, within the client's limits. */
  speakFive({ receiveMaximum, maximumPacketSize, topicAliasMaximum }: Reception): void {
    this.isFive = true;
    this.receiveMaximum = receiveMaximum;
    this.maximumPacketSize = maximumPacketSize;
    this.aliasMaximum = Math.min(topicAliasMaximum, this.parts.limits.topicAliases);
  }

  get waiting(): number {
    return this.socket.writableLength + this.bytes;
  }

  get roomy(): boolean {
    return this.waiting < roomyBytes;
  }

  send(bytes: Buffer): void {
    if (this.socket.destroyed) return;
    const { figures } = this.parts;
    figures.packetsOut++;
    figures.bytesOut += bytes.length;
    this.chunks.push(bytes);
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

  sendMessage(
    message: BrokerMessage,
    qos: Qos,
    id: number,
    dup: boolean,
    ids: readonly number[] | null,
  ): boolean {
    const { figures, limits } = this.parts;
    if (qos === 0 && this.waiting > limits.socketBytes) {
      figures.dropped++;
      return true;
    }
    if (this.isFive) {
      if (!this.sendFive(message, qos, id, dup, ids)) return false;
    } else {
      const { topic, payload, retain } = message;
      const flags = { topic, qos, id, dup, version: 4 } as const;
      if (qos === 0) {
        message.wire ??= encodePublish({ topic, payload, retain }, flags);
        this.send(message.wire);
      } else this.send(encodePublish({ topic, payload, retain }, flags));
    }
    figures.sent++;
    figures.payloadOut += message.payload.length;
    return true;
  }

  /** Returns false if the packet is larger than the client accepts (MQTT 5, section 3.1.2.11.4). */
  private sendFive(
    message: BrokerMessage,
    qos: Qos,
    id: number,
    dup: boolean,
    ids: readonly number[] | null,
  ): boolean {
    const { topic, expiresAt } = message;
    if (this.aliasMaximum === 0 && qos === 0 && ids === null && expiresAt === undefined) {
      message.wire5 ??= encodeDelivery(message, { topic, alias: 0, qos, id, dup, ids, now: 0 });
      if (message.wire5.length > this.maximumPacketSize) return false;
      this.send(message.wire5);
      return true;
    }
    const known = this.aliases?.get(topic);
    const alias = known ?? this.freeAlias();
    const now = this.parts.now();
    const shown = known === undefined ? topic : '';
    const packet = encodeDelivery(message, { topic: shown, alias, qos, id, dup, ids, now });
    if (packet.length > this.maximumPacketSize) return false;
    if (known === undefined && alias > 0) {
      this.aliases ??= new Map();
      this.aliases.set(topic, alias);
    }
    this.send(packet);
    return true;
  }

  /** The next alias; 0 when all are in use. Aliases are never reassigned, because most connections have few topics. */
  private freeAlias(): number {
    const used = this.aliases === null ? 0 : this.aliases.size;
    return used < this.aliasMaximum ? used + 1 : 0;
  }

  sendRelease(id: number, reason = 0): void {
    this.send(ack(packetType.pubrel, id, reason));
  }

  discarded(entry: Outgoing): void {
    this.onDiscard?.(entry);
  }

  /**
   * Closes the socket when pending output has been written, or after `patienceMs`, because a client that does not read
   * would otherwise keep the socket open.
   * @param lingers waits for the client to close its side first, so that packets sent by the client meanwhile do not
   * reset the connection
   */
  end(patienceMs: number, lingers = false): void {
    const { socket } = this;
    if (socket.destroyed) return;
    this.flush();
    const patience = setTimeout(() => socket.destroy(), patienceMs);
    socket.once('close', () => clearTimeout(patience));
    if (lingers) socket.end();
    else socket.end(() => socket.destroy());
  }

  /** Writes pending output. */
  flush(): void {
    const { chunks, bytes } = this;
    if (bytes === 0 || this.socket.destroyed) return;
    this.chunks = [];
    this.bytes = 0;
    const block = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, bytes);
    const hadRoom = this.socket.writableLength < roomyBytes;
    this.socket.write(block, () => {
      this.taken += block.length;
      if (!hadRoom || this.waiting < roomyBytes) this.onRoom?.();
    });
  }
}

const lookMs = 500;

/** Queue length at which publishers to a connected client are paused, and length at which they resume. */
const behindMessages = 1000;

const caughtUpMessages = 500;

/**
 * How long publishers wait for a subscriber that reads too slowly, ms. After that, they do not wait for this subscriber
 * again until it has caught up once.
 */
const longestWaitMs = 2000;

export function isBehind(session: Session): boolean {
  const { link, queued, lagging } = session;
  if (link === null || link.throttled) return false;
  if (!lagging) return !link.roomy || queued > behindMessages;
  if (link.roomy && queued < caughtUpMessages) session.lagging = false;
  return false;
}

/**
 * Calls `then` once the session has caught up or is gone. Publishers do not wait for stalled clients, which read nothing for half a second.
 * They wait at most two seconds for slow clients.
 */
export function whenCaughtUp(session: Session, then: () => void): void {
  const progress = () => session.progress + (session.link?.taken ?? 0);
  let seen = progress();
  let looks = 0;
  const finish = () => {
    clearInterval(timer);
    session.waiters.delete(look);
    then();
  };
  const look = () => {
    const { link, queued } = session;
    if (!link || link.throttled || (link.roomy && queued < caughtUpMessages)) finish();
  };
  const timer = setInterval(() => {
    if (++looks * lookMs >= longestWaitMs) session.lagging = true;
    if (session.lagging || progress() === seen) return finish();
    seen = progress();
    look();
  }, lookMs);
  session.waiters.add(look);
}

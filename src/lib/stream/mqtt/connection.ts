import { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import type { MqttClient } from 'mqtt';
import { Frames, type MqttVersion, packetType, writeAck } from './packets.js';

/**
 * mqtt.js keeps the connection: CONNECT, reconnecting, keep-alive, subscriptions, TLS, websockets. The messages themselves go by
 * a way of their own, between the socket and mqtt.js, since its packet pump takes one packet at a time: the next is read when
 * the last one's callback was called, so an acknowledgement that waits for a far side means one message in flight
 * (1.8 k messages/s against 24 to 42 k). Handlers take the packets they are for; every other goes on to mqtt.js.
 */
export interface PacketHandlers {
  /** The CONNACK that let us in; mqtt.js has not seen it yet. */
  opened(wire: Wire, sessionPresent: boolean): void;
  /** `later` = there is no room: the same packet is offered again after `release`. */
  packet(type: number, frames: Frames, wire: Wire): 'taken' | 'other' | 'later';
  closed(wire: Wire): void;
  /** A DISCONNECT with its reason (MQTT 5, section 3.14.2.1). mqtt.js may not see it: the broker hangs up at once. */
  dismissed?(reason: number): void;
}

/** One connection, as its packet handlers see it. */
export interface Wire {
  readonly version: MqttVersion;
  /** False once it is closed, when nothing may be sent. */
  readonly open: boolean;
  /** More is waiting to be sent than the system takes: go on at `onDrain`. */
  readonly congested: boolean;
  onDrain: (() => void) | undefined;
  /** Sends bytes; `handed` is called when the system has them. */
  send(bytes: Uint8Array, handed?: () => void): void;
  /** Sends a PUBACK or the like, together with others of the same moment. */
  ack(type: number, id: number): void;
  /** What was acked goes out now. */
  flush(): void;
  /** Ends `later`. */
  release(): void;
  /** Ends the connection, as when the far side breaks the protocol. */
  fail(error: Error): void;
}

/** The error's code when a broker answered a CONNECT of MQTT 5 in the words of 3.1.1. */
export const versionRefused = 'MQTT_VERSION';

/** The error's code when what came is no MQTT. */
export const protocolBroken = 'MQTT_PROTOCOL';

/** What a broker may begin with: CONNACK, DISCONNECT, AUTH. */
const greetings = new Set<number>([packetType.connack, packetType.disconnect, 15]);

/** Bytes waiting to be sent from which on a wire is congested. */
const congestedBytes = 1024 * 1024;

/**
 * A connection that is not read from does not show answers to pings either, so mqtt.js would take it for dead half a keep-alive after its
 * ping: we ping in its place, so many times in each keep-alive.
 */
const pingsPerKeepalive = 4;

/** Members of mqtt.js that are not in its types; a test holds them to what is used here. */
interface Internals {
  streamBuilder(client: MqttClient): Duplex;
  options: { manualConnect?: boolean };
}

/** Puts the handlers between the socket and a client that was made with `manualConnect`, and connects. */
export function takePackets(client: MqttClient, version: MqttVersion, handlers: PacketHandlers): void {
  const internals = client as unknown as Internals;
  const build = internals.streamBuilder;
  internals.streamBuilder = (self) => new PacketStream(build(self), client, version, handlers);
  // Only the first connection waits for us; with the option left on, mqtt.js would treat the end as a pause.
  internals.options.manualConnect = false;
  client.connect();
}

/** What mqtt.js takes for its socket. */
class PacketStream extends Duplex implements Wire {
  open = false;
  onDrain: (() => void) | undefined;
  private readonly frames = new Frames();
  private held = false;
  /** Something came that can be the first of a broker. */
  private greeted = false;
  private pinging: NodeJS.Timeout | undefined;
  private pinged = performance.now();
  private acks = Buffer.allocUnsafe(4096);
  private ackBytes = 0;

  constructor(
    private readonly socket: Duplex,
    private readonly client: MqttClient,
    readonly version: MqttVersion,
    private readonly handlers: PacketHandlers,
  ) {
    super();
    // What we send is put together already; waiting for more (Nagle) costs 40 ms where the far side delays its TCP acknowledgements.
    if (socket instanceof Socket) socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => {
      if (!this.greeted && !greetings.has(chunk[0]! >> 4)) {
        this.fail(new Error('what answers there speaks no MQTT'));
        return;
      }
      this.greeted = true;
      this.frames.push(chunk);
      this.work();
    });
    socket.on('end', () => this.push(null));
    socket.on('error', (error) => this.destroy(error));
    socket.on('close', () => this.destroy());
    socket.on('drain', () => this.onDrain?.());
  }

  get congested(): boolean {
    return this.socket.writableLength > congestedBytes;
  }

  send(bytes: Uint8Array, handed?: () => void): void {
    // Behind the goodbye nothing is said any more, whatever still comes: to write to a socket that was ended destroys it, and that resets it.
    if (this.socket.writableEnded) return;
    // A callback that comes with an error is for a connection that was lost; `closed` tells of that.
    if (this.open) this.socket.write(bytes, (error) => !error && handed?.());
  }

  ack(type: number, id: number): void {
    if (!this.open) return;
    if (this.ackBytes === 0) setImmediate(() => this.flush());
    else if (this.ackBytes === this.acks.length) this.flush();
    writeAck(this.acks, this.ackBytes, type, id);
    this.ackBytes += 4;
  }

  flush(): void {
    if (this.ackBytes === 0) return;
    const bytes = this.acks.subarray(0, this.ackBytes);
    this.acks = Buffer.allocUnsafe(4096);
    this.ackBytes = 0;
    this.send(bytes);
  }

  release(): void {
    if (!this.held) return;
    this.held = false;
    clearInterval(this.pinging);
    this.work();
    if (!this.held) this.socket.resume();
  }

  fail(error: Error): void {
    // mqtt.js tells of errors with a code.
    this.destroy(Object.assign(error, { code: protocolBroken }));
  }

  /** Takes the packets there are; it stops when the handlers have no room. */
  private work(): void {
    const { frames, handlers } = this;
    try {
      while (!this.held && !this.destroyed && frames.next()) {
        const type = frames.head >> 4;
        const taken = this.open ? handlers.packet(type, frames, this) : 'other';
        if (taken === 'taken') continue;
        if (taken === 'later') {
          frames.unread();
          this.hold();
          return;
        }
        if (type === packetType.connack && !this.letIn()) return;
        if (type === packetType.disconnect)
          handlers.dismissed?.(frames.to > frames.from ? frames.buffer[frames.from]! : 0);
        this.push(Buffer.from(frames.buffer.subarray(frames.start, frames.to)));
      }
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      this.fail(new Error(`what answers there speaks no good MQTT: ${error.message}`));
    }
  }

  private letIn(): boolean {
    const { buffer, from, to } = this.frames;
    // A CONNACK of MQTT 5 has a third byte at least, the length of its properties (section 3.2).
    if (this.version === 5 && to - from === 2) {
      const error = new Error('the broker does not speak MQTT 5');
      this.destroy(Object.assign(error, { code: versionRefused }));
      return false;
    }
    this.open = buffer[from + 1] === 0;
    if (this.open) this.handlers.opened(this, (buffer[from]! & 1) !== 0);
    return true;
  }

  private hold(): void {
    this.held = true;
    this.socket.pause();
    // As long as the broker asks for, which may be shorter than what we asked for (MQTT 5, section 3.2.2.3.14).
    const everyMs = (this.client.keepalive * 1000) / pingsPerKeepalive;
    if (everyMs === 0) return;
    const ping = () => {
      this.pinged = performance.now();
      this.client.sendPing();
      this.client.reschedulePing(true);
    };
    // A reader that is slow is held again and again, never for as long as that.
    if (performance.now() - this.pinged >= everyMs) ping();
    this.pinging = setInterval(ping, everyMs);
  }

  override _read(): void {}

  // Acknowledgements go before what mqtt.js says after them: behind its DISCONNECT no broker reads on, and what they were for comes twice.
  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    this.flush();
    this.socket.write(chunk, done);
  }

  override _writev(chunks: { chunk: Buffer }[], done: (error?: Error | null) => void): void {
    this.flush();
    this.socket.write(Buffer.concat(chunks.map(({ chunk }) => chunk)), done);
  }

  override _final(done: () => void): void {
    this.flush();
    this.socket.end(done);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    clearInterval(this.pinging);
    const wasOpen = this.open;
    this.open = false;
    if (wasOpen) this.handlers.closed(this);
    if (error || !this.socket.writableEnded) {
      this.socket.destroy();
      done(error);
    } else farewell(this.socket, () => done(null));
  }
}

/** So long the broker may take to hang up after our goodbye, ms. */
const farewellMs = 1000;

/**
 * Reads what still comes until the broker has hung up. To close a socket with something unread in it is to reset it (RFC 2525,
 * section 2.17), and a reset takes the acknowledgements with it that the broker has not read yet: those messages would come twice.
 */
function farewell(socket: Duplex, done: () => void): void {
  if (socket.closed) {
    done();
    return;
  }
  const timer = setTimeout(() => socket.destroy(), farewellMs);
  socket.removeAllListeners('data');
  socket.once('close', () => {
    clearTimeout(timer);
    done();
  });
  socket.on('data', () => {}).resume();
}

import { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import type { MqttClient } from 'mqtt';
import { Frames, type MqttVersion, ProtocolError, packetType, writeAck } from './packets.js';
import { type Reason, readReason } from './reasons.js';

/**
 * mqtt.js maintains the connection: CONNECT, reconnecting, keep-alive, subscriptions, TLS, websockets. Messages are
 * handled here, between the socket and mqtt.js, because mqtt.js reads the next packet only after the callback of the
 * last one. If an acknowledgment had to wait for a destination, only one message would be in flight: 1,800 messages/s
 * instead of 24,000 to 42,000. See docs/background/decisions/014-mqtt-client.md. Packets not taken by a handler are
 * passed on to mqtt.js.
 */
export interface PacketHandlers {
  /** Called for the CONNACK that accepts the connection, before mqtt.js receives it. */
  opened(wire: Wire, sessionPresent: boolean): void;
  /** Handles a packet. `later` means that there is no room: the packet is offered again after `release`. */
  packet(type: number, frames: Frames, wire: Wire): 'taken' | 'other' | 'later';
  closed(wire: Wire): void;
  /**
   * Called for a DISCONNECT, with its reason (MQTT 5, section 3.14.2.1). mqtt.js may miss the packet, because the
   * broker closes the connection immediately.
   */
  dismissed?(reason: Reason): void;
  /** Called when the connection is ended because of an invalid packet. mqtt.js reconnects; `closed` follows. */
  broken?(error: Error): void;
}

/** One connection, as seen by its packet handlers. */
export interface Wire {
  readonly version: MqttVersion;
  /** Whether the connection is open. Once it is closed, nothing may be sent. */
  readonly open: boolean;
  /** Whether too many sent bytes are still buffered. Sending may continue when `onDrain` is called. */
  readonly congested: boolean;
  onDrain: (() => void) | undefined;
  /** Sends bytes; `handed` is called once the system has accepted them. */
  send(bytes: Uint8Array, handed?: () => void): void;
  /** Sends a PUBACK or similar, combined with others from the same event loop turn. */
  ack(type: number, id: number): void;
  /** Sends pending acknowledgments now. */
  flush(): void;
  /** Offers packets again after a handler returned `later`. */
  release(): void;
  /** Ends the connection, for example after the peer violates the protocol. */
  fail(error: Error): void;
}

/** The error's code if a broker answered an MQTT 5 CONNECT in the format of 3.1.1. */
export const versionRefused = 'MQTT_VERSION';

/** The error's code if the received data is not MQTT. */
export const protocolBroken = 'MQTT_PROTOCOL';

/** Packet types that a broker may send first: CONNACK, DISCONNECT, AUTH. */
const greetings = new Set<number>([packetType.connack, packetType.disconnect, packetType.auth]);

/** Number of unsent bytes above which a wire is congested. */
const congestedBytes = 1024 * 1024;

/**
 * While a connection is not read, responses to pings are not seen either, and mqtt.js would consider the connection
 * dead half a keep-alive after its ping. We therefore send the pings instead, this many times in each keep-alive
 * interval.
 */
const pingsPerKeepalive = 4;

/** Members of mqtt.js that are not in its types; a test verifies them. */
interface Internals {
  streamBuilder(client: MqttClient): Duplex;
  options: { manualConnect?: boolean };
}

/**
 * Inserts the handlers between the socket and a client created with `manualConnect`, and connects the client.
 * @returns a function that reports whether a server has accepted the last TCP connection, even if the server has sent
 * nothing
 */
export function takePackets(
  client: MqttClient,
  version: MqttVersion,
  handlers: PacketHandlers,
): () => boolean {
  const internals = client as unknown as Internals;
  const build = internals.streamBuilder;
  let socket: Duplex | undefined;
  internals.streamBuilder = (self) => {
    socket = build(self);
    return new PacketStream(socket, client, version, handlers);
  };
  // If the option stayed on, mqtt.js's `end` would reset `disconnecting`, as it does for clients that may connect again.
  internals.options.manualConnect = false;
  client.connect();
  return () => socket instanceof Socket && !socket.connecting && socket.readyState === 'open';
}

/** The object that mqtt.js uses as its socket. */
class PacketStream extends Duplex implements Wire {
  open = false;
  onDrain: (() => void) | undefined;
  private readonly frames = new Frames();
  private held = false;
  /** Whether the first packet has arrived, and is one of `greetings`. */
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
    // Our packets are already combined; waiting for more (Nagle) costs 40 ms if the peer delays its TCP acknowledgments.
    if (socket instanceof Socket) socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => {
      if (!this.greeted && !greetings.has(chunk[0]! >> 4)) {
        this.fail(new Error('the server does not speak MQTT'));
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
    // Nothing is sent after DISCONNECT: writing to an ended socket destroys it, which resets the connection.
    if (this.socket.writableEnded) return;
    // An error means that the connection was lost, which `closed` reports.
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
    this.handlers.broken?.(error);
    // mqtt.js only reports errors that have a code.
    this.destroy(Object.assign(error, { code: protocolBroken }));
  }

  /** Handles complete packets until none are left or the handlers have no room. */
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
          handlers.dismissed?.(readReason(frames.buffer, frames.from, frames.to));
        this.push(Buffer.from(frames.buffer.subarray(frames.start, frames.to)));
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.fail(new Error(`the broker sent an invalid MQTT packet: ${error.message}`));
    }
  }

  private letIn(): boolean {
    const { buffer, from, to } = this.frames;
    // An MQTT 5 CONNACK has at least a third byte, the length of its properties (section 3.2).
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
    // The broker's keep-alive may be shorter than the requested one (MQTT 5, section 3.2.2.3.14).
    const everyMs = (this.client.keepalive * 1000) / pingsPerKeepalive;
    if (everyMs === 0) return;
    const ping = () => {
      this.pinged = performance.now();
      this.client.sendPing();
      this.client.reschedulePing(true);
    };
    // The time since the last ping is checked here too. Otherwise, the timer, which restarts with each pause of a slow reader, might never
    // fire.
    if (performance.now() - this.pinged >= everyMs) ping();
    this.pinging = setInterval(ping, everyMs);
  }

  override _read(): void {}

  // Acknowledgments precede what mqtt.js writes: a broker reads nothing after DISCONNECT, so the messages would be redelivered.
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

/** How long the broker may take to close the connection after our DISCONNECT, ms. */
const farewellMs = 1000;

/**
 * Reads remaining data until the broker has closed the connection. Closing a socket with unread data resets the connection (RFC 2525,
 * section 2.17), which discards acknowledgments that the broker has not read yet, so the messages would be redelivered.
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

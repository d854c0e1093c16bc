import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as openSocket } from 'node:net';
import type { Duplex } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { WebSocket } from 'ws';
import {
  acknowledgment,
  type ConnectOptions,
  connect,
  disconnect,
  type Filter,
  type Heard,
  nextPacket,
  type PacketName,
  type Property,
  type PropertyName,
  type PropertyValue,
  type PublishOptions,
  packetTypes,
  pingreq,
  publish,
  subscribe,
  unsubscribe,
  type Version,
} from './mqtt-bytes.js';

/** Default time limit for an expected packet, ms. */
const usualPatienceMs = 30_000;

/** A client connection that sends arbitrary bytes, and decodes what it receives. */
export class Peer {
  /** All packets received, in order. */
  readonly heard: Heard[] = [];
  /** Packets that were received but not yet returned by `next`. */
  private readonly unread: Heard[] = [];
  private rest: Buffer = Buffer.alloc(0);
  private fault: Error | null = null;
  private closed = false;
  private lastId = 0;
  private readonly wake = new Set<() => void>();
  /** Whether received messages are acknowledged immediately. */
  acknowledging = false;

  constructor(
    readonly socket: Duplex,
    readonly version: Version,
    private readonly patienceMs = usualPatienceMs,
  ) {
    socket.on('data', (chunk: Buffer) => this.read(chunk));
    socket.on('error', () => {});
    socket.on('close', () => {
      this.closed = true;
      this.tell();
    });
  }

  send(...bytes: Buffer[]): this {
    if (!this.socket.destroyed) this.socket.write(Buffer.concat(bytes));
    return this;
  }

  /** A packet identifier that this connection has not used yet. */
  id(): number {
    return ++this.lastId;
  }

  /** Returns the next packet of this type; others are kept for later calls. */
  async next(name: PacketName, ms = this.patienceMs): Promise<Heard> {
    const until = performance.now() + ms;
    for (;;) {
      if (this.fault) throw this.fault;
      const at = this.unread.findIndex((heard) => heard.name === name);
      if (at >= 0) return this.unread.splice(at, 1)[0]!;
      if (this.closed) assert.fail(`the connection closed before ${name}; received: ${this.summary()}`);
      const left = until - performance.now();
      if (left <= 0) assert.fail(`no ${name} within ${ms} ms; received: ${this.summary()}`);
      await this.news(left);
    }
  }

  message(ms?: number): Promise<Heard> {
    return this.next('publish', ms);
  }

  async messages(count: number): Promise<Heard[]> {
    const list: Heard[] = [];
    while (list.length < count) list.push(await this.message());
    return list;
  }

  /** Waits until the broker has closed the connection. */
  async ended(ms = this.patienceMs): Promise<void> {
    const until = performance.now() + ms;
    while (!this.closed) {
      const left = until - performance.now();
      if (left <= 0) assert.fail(`the connection is still open after ${ms} ms; received: ${this.summary()}`);
      await this.news(left);
    }
    if (this.fault) throw this.fault;
  }

  get open(): boolean {
    return !this.closed;
  }

  /** Resolves when the broker has processed everything that was sent before. */
  async ping(): Promise<void> {
    this.send(pingreq);
    await this.next('pingresp');
  }

  /** Asserts that no message is waiting once everything that was sent before has been processed. */
  async nothing(): Promise<void> {
    await this.ping();
    const waiting = this.unread.filter(({ name }) => name === 'publish');
    assert.deepEqual(
      waiting.map(({ topic, payload }) => `${topic} ${payload}`),
      [],
    );
  }

  async subscribe(filters: string | readonly Filter[], properties?: readonly Property[]): Promise<Heard> {
    const id = this.id();
    const list: readonly Filter[] = typeof filters === 'string' ? [[filters, 0]] : filters;
    this.send(subscribe(this.version, id, list, properties));
    return this.next('suback');
  }

  async unsubscribe(...filters: string[]): Promise<Heard> {
    this.send(unsubscribe(this.version, this.id(), filters));
    return this.next('unsuback');
  }

  /** Publishes a message, and completes the exchange. Returns its last acknowledgment, or null at QoS 0. */
  async publish(topic: string, payload = '', options: PublishOptions = {}): Promise<Heard | null> {
    const { qos = 0, id = this.id() } = options;
    this.send(publish(this.version, topic, payload, { ...options, id }));
    if (qos === 0) {
      // The broker may answer a PINGREQ while it still writes a retained message to disk; it handles an UNSUBSCRIBE after the message.
      if (options.retain) await this.unsubscribe('never/subscribed');
      else await this.ping();
      return null;
    }
    if (qos === 1) return this.next('puback');
    const received = await this.next('pubrec');
    if (received.code >= 0x80) return received;
    this.send(acknowledgment('pubrel', id));
    return this.next('pubcomp');
  }

  /** Acknowledges a received message; at QoS 2, completes the exchange. */
  async acknowledge({ id, qos }: Heard): Promise<void> {
    if (qos === 1) this.send(acknowledgment('puback', id));
    if (qos !== 2) return;
    this.send(acknowledgment('pubrec', id));
    await this.next('pubrel');
    this.send(acknowledgment('pubcomp', id));
  }

  /** Closes the connection properly. Resolves when the broker has closed it too. */
  async leave(code = 0, properties: readonly Property[] = []): Promise<void> {
    this.send(disconnect(this.version, code, properties));
    await this.ended();
  }

  /** Closes the connection without DISCONNECT, as if the network were lost. */
  vanish(): void {
    this.socket.destroy();
  }

  private read(chunk: Buffer): void {
    this.rest = Buffer.concat([this.rest, chunk]);
    try {
      for (;;) {
        const found = nextPacket(this.version, this.rest);
        if (!found) break;
        this.rest = found.rest;
        this.heard.push(found.heard);
        if (this.acknowledging) this.answer(found.heard);
        this.unread.push(found.heard);
      }
    } catch (error) {
      this.fault = error as Error;
    }
    this.tell();
  }

  /** Sends the next acknowledgment of a message that is being received. */
  private answer({ name, qos, id }: Heard): void {
    if (name === 'publish' && qos === 1) this.send(acknowledgment('puback', id));
    if (name === 'publish' && qos === 2) this.send(acknowledgment('pubrec', id));
    if (name === 'pubrel') this.send(acknowledgment('pubcomp', id));
  }

  private tell(): void {
    for (const each of [...this.wake]) each();
  }

  private async news(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.wake.delete(done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      this.wake.add(done);
    });
  }

  private summary(): string {
    return (
      this.heard.map(({ name, code }) => (code === 0 ? name : `${name} ${hex(code)}`)).join(', ') || 'nothing'
    );
  }
}

export const hex = (code: number): string => `0x${code.toString(16).padStart(2, '0')}`;

/** The only value of a property, or undefined. */
export function propertyOf(heard: Heard, name: PropertyName): PropertyValue | undefined {
  const values = valuesOf(heard, name);
  assert.ok(values.length <= 1, `${name} occurs ${values.length} times`);
  return values[0];
}

export function valuesOf({ properties }: Heard, name: PropertyName): PropertyValue[] {
  return properties.filter(([each]) => each === name).map(([, value]) => value);
}

/** Malformed Packet and Protocol Error, because the specification often permits either. */
export const malformed: readonly number[] = [0x81, 0x82];

/** A session expiry interval longer than any test, s. */
const longExpiry = 300;

export interface LabParts {
  /** mqtt:// address of a broker. */
  url: string;
  /** Credentials with all rights. */
  username: string;
  password: string;
  /** wss:// address, and the CA of its certificate as PEM. */
  wss: string;
  ca: string;
  /** Time limit for an expected packet, ms; default = 30,000. */
  patienceMs?: number;
}

/** The broker for one check of one statement, with one version of the protocol and names that only this check uses. */
export class Lab {
  private static count = 0;
  private readonly peers: Peer[] = [];
  private readonly sockets: WebSocket[] = [];
  private readonly prefix = `c${++Lab.count}`;
  private names = 0;

  constructor(
    readonly version: Version,
    readonly parts: LabParts,
  ) {}

  /** A topic or client ID that no other check uses. */
  name(suffix = ''): string {
    return `${this.prefix}n${++this.names}${suffix}`;
  }

  get credentials(): { username: string; password: string } {
    return { username: this.parts.username, password: this.parts.password };
  }

  /** Opens a connection, on which nothing has been sent yet. */
  async open(): Promise<Peer> {
    const { hostname, port } = new URL(this.parts.url);
    const socket = openSocket(Number(port), hostname);
    socket.setNoDelay(true);
    await once(socket, 'connect');
    return this.use(socket);
  }

  /** An open WebSocket that offers these subprotocols. */
  async webSocket(protocols: string[] = ['mqtt']): Promise<WebSocket> {
    const { WebSocket } = await import('ws');
    const socket = new WebSocket(this.parts.wss, protocols, { ca: this.parts.ca });
    socket.on('error', () => {});
    this.sockets.push(socket);
    await once(socket, 'open');
    return socket;
  }

  /** A peer on an open connection. */
  use(socket: Duplex): Peer {
    const peer = new Peer(socket, this.version, this.parts.patienceMs);
    this.peers.push(peer);
    return peer;
  }

  /** The bytes of a CONNECT with credentials and a new client ID. */
  hello(options: ConnectOptions = {}): Buffer {
    return connect(this.version, { clientId: this.name(), ...this.credentials, ...options });
  }

  /** Sends a CONNECT, and returns the response, whatever it is. */
  async dial(options: ConnectOptions = {}): Promise<{ peer: Peer; connack: Heard }> {
    const peer = await this.open();
    peer.send(this.hello(options));
    return { peer, connack: await peer.next('connack') };
  }

  /** A connected client. */
  async connect(options: ConnectOptions = {}): Promise<Peer> {
    const { peer, connack } = await this.dial(options);
    assert.equal(hex(connack.code), '0x00');
    return peer;
  }

  /** Options of a client whose session survives its connection. */
  kept(clientId: string, options: ConnectOptions = {}): ConnectOptions {
    const expiry: Property[] = this.version === 5 ? [['sessionExpiry', longExpiry]] : [];
    return { clientId, clean: false, ...options, properties: [...expiry, ...(options.properties ?? [])] };
  }

  /** A connected client with one subscription. */
  async subscriber(filter: string, qos = 0, options: ConnectOptions = {}): Promise<Peer> {
    const peer = await this.connect(options);
    const { codes } = await peer.subscribe([[filter, qos]]);
    assert.deepEqual(codes, [qos & 3]);
    return peer;
  }

  /** Creates a session with one subscription, and disconnects its client. */
  async away(filter: string, qos: number, clientId: string): Promise<void> {
    const peer = await this.subscriber(filter, qos, this.kept(clientId));
    await peer.leave();
  }

  /** Asserts that the broker refuses and closes a new connection that sends these bytes instead of a CONNECT. */
  async refuses(bytes: Buffer, codes: readonly number[] = malformed): Promise<void> {
    const peer = await this.open();
    peer.send(bytes);
    await peer.ended();
    const answers = peer.heard.map(({ name, code }) => ({ name, code }));
    if (this.version === 4 || answers.length === 0) assert.deepEqual(answers, []);
    else {
      assert.deepEqual(
        answers.map(({ name }) => name),
        ['connack'],
      );
      assertCode(answers[0]!.code, codes);
    }
  }

  /**
   * Asserts that a connected client that sends these bytes loses its connection and, in MQTT 5, first receives a DISCONNECT with one of
   * the codes.
   */
  async breaks(bytes: Buffer, codes: readonly number[] = malformed, peer?: Peer): Promise<void> {
    const used = peer ?? (await this.connect());
    used.send(bytes);
    await this.broken(used, codes);
  }

  /** Asserts that the broker ends this connection and, in MQTT 5, first sends a DISCONNECT with one of the codes. */
  async broken(peer: Peer, codes: readonly number[] = malformed): Promise<void> {
    await peer.ended();
    const last = peer.heard.at(-1);
    if (this.version === 4) {
      assert.ok(
        !peer.heard.some(({ name }) => name === 'disconnect'),
        'MQTT 3.1.1 servers send no DISCONNECT',
      );
      return;
    }
    assert.equal(last?.name, 'disconnect', 'the last packet is a DISCONNECT');
    assertCode(last.code, codes);
  }

  wait(ms: number): Promise<void> {
    return delay(ms);
  }

  close(): void {
    for (const peer of this.peers) peer.vanish();
    for (const socket of this.sockets) socket.terminate();
  }
}

export function assertCode(code: number, codes: readonly number[]): void {
  assert.ok(codes.includes(code), `${hex(code)} is none of ${codes.map(hex).join(', ')}`);
}

/** The first byte of a packet type with these flags. */
export const headOf = (name: PacketName, flags: number): number => (packetTypes[name] << 4) | flags;

import { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';

/** Types of binary frames: a byte, the channel's number (32 bits), and the payload. Text messages are notes, in JSON. */
const frames = { data: 0, open: 1, end: 2, reset: 3, credit: 4 } as const;
const headBytes = 5;
/** Longest data in a frame, and how much one side may send on a channel before the other has read it, bytes. */
const chunkBytes = 32 * 1024;
const windowBytes = 256 * 1024;
export const mostChannels = 64;

/** How a tunnel ended: the code and the reason of the close frame. */
export interface TunnelEnd {
  code: number;
  reason: string;
}

interface Listeners {
  /** Called for each channel that the other side opens. If absent, that is an error. */
  onChannel?: (channel: Duplex) => void;
  onNote?: (note: Record<string, unknown>) => void;
}

/**
 * Byte streams over one WebSocket, each with its own flow control, so that an unread stream does not delay the others.
 * The two sides are the user's program and the device's agent; the platform forwards messages without changes.
 */
export class Tunnel {
  private readonly channels = new Map<number, Channel>();
  private opened = 0;
  readonly closed: Promise<TunnelEnd>;

  constructor(
    private readonly socket: WebSocket,
    private readonly listeners: Listeners,
  ) {
    this.closed = new Promise((resolve) => {
      socket.once('close', (code, reason) => {
        const end = { code, reason: reason.toString('utf8') };
        for (const channel of [...this.channels.values()]) channel.destroy(new Error('the session ended'));
        resolve(end);
      });
    });
    socket.on('message', (data, isBinary) => {
      try {
        if (isBinary) this.take(data as Buffer);
        else this.listeners.onNote?.(noteIn(data as Buffer));
      } catch {
        this.close(1008, 'an invalid message');
      }
    });
    socket.resume();
  }

  /** Opens a channel. */
  open(): Duplex {
    const id = ++this.opened;
    const channel = this.add(id);
    void this.send(frames.open, id);
    return channel;
  }

  /** Sends a note; resolves once the operating system has it. */
  note(note: object): Promise<void> {
    return new Promise((resolve) => this.socket.send(JSON.stringify(note), () => resolve()));
  }

  close(code = 1000, reason = ''): void {
    this.socket.close(code, closeReason(reason));
    // A peer that does not answer the close frame does not keep the connection.
    setTimeout(() => this.socket.terminate(), 2000).unref();
  }

  private add(id: number): Channel {
    const channel = new Channel(
      (type, payload) => this.send(type, id, payload),
      () => this.channels.delete(id),
    );
    channel.on('error', () => {});
    this.channels.set(id, channel);
    return channel;
  }

  private take(frame: Buffer): void {
    const type = frame.readUInt8(0);
    const id = frame.readUInt32BE(1);
    const payload = frame.subarray(headBytes);
    if (type === frames.open) {
      const { onChannel } = this.listeners;
      if (!onChannel || this.channels.has(id) || this.channels.size >= mostChannels)
        throw new RangeError('an unexpected channel');
      onChannel(this.add(id));
      return;
    }
    // Frames of a channel that this side has just closed are not an error.
    const channel = this.channels.get(id);
    if (type === frames.data) channel?.receive(payload);
    else if (type === frames.end) channel?.receive(null);
    else if (type === frames.reset) channel?.wasReset(payload.toString('utf8').slice(0, 300));
    else if (type === frames.credit) channel?.grant(payload.readUInt32BE(0));
    else throw new RangeError('an unknown frame');
  }

  private send(type: number, id: number, payload: Uint8Array = Buffer.alloc(0)): Promise<void> {
    const head = Buffer.alloc(headBytes);
    head.writeUInt8(type, 0);
    head.writeUInt32BE(id, 1);
    return new Promise((resolve) => this.socket.send(Buffer.concat([head, payload]), () => resolve()));
  }
}

type SendFrame = (type: number, payload?: Uint8Array) => Promise<void>;

class Channel extends Duplex {
  private credit = windowBytes;
  private waiting: (() => void) | undefined;
  /** Bytes received, and those of them that were passed on and not granted again yet. */
  private held = 0;
  private isReset = false;

  constructor(
    private readonly transmit: SendFrame,
    private readonly gone: () => void,
  ) {
    super({ allowHalfOpen: true });
  }

  receive(data: Buffer | null): void {
    if (this.destroyed) return;
    this.held += data?.length ?? 0;
    if (this.held > windowBytes) throw new RangeError('more data than was granted');
    this.push(data);
  }

  wasReset(reason: string): void {
    this.isReset = true;
    this.destroy(new Error(reason === '' ? 'the other side closed the connection' : reason));
  }

  grant(bytes: number): void {
    this.credit += bytes;
    const waiting = this.waiting;
    this.waiting = undefined;
    waiting?.();
  }

  override _read(): void {
    // A reader calls this before it takes its data. If it takes everything that was granted, it does not call this again.
    queueMicrotask(() => this.grantRead());
  }

  /** Lets the other side send as much as was read. */
  private grantRead(): void {
    // Everything that was received has been read, except for what is still in the stream's own buffer.
    const read = this.held - this.readableLength;
    if (read <= 0 || this.destroyed) return;
    this.held -= read;
    const payload = Buffer.alloc(4);
    payload.writeUInt32BE(read, 0);
    void this.transmit(frames.credit, payload);
  }

  override _write(data: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    this.sendAll(data).then(() => done(), done);
  }

  override _final(done: (error?: Error | null) => void): void {
    void this.transmit(frames.end).then(() => done());
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.gone();
    this.grant(0);
    const isComplete = this.readableEnded && this.writableFinished;
    if (!this.isReset && !isComplete)
      void this.transmit(frames.reset, Buffer.from((error?.message ?? '').slice(0, 300)));
    done(error);
  }

  private async sendAll(data: Buffer): Promise<void> {
    let rest = data;
    while (rest.length > 0) {
      if (this.destroyed) throw new Error('the connection is closed');
      if (this.credit <= 0) {
        await new Promise<void>((resolve) => {
          this.waiting = resolve;
        });
        continue;
      }
      const part = rest.subarray(0, Math.min(chunkBytes, this.credit));
      rest = rest.subarray(part.length);
      this.credit -= part.length;
      await this.transmit(frames.data, part);
    }
  }
}

/** A reason that fits into a close frame, which has at most 123 bytes (RFC 6455, section 5.5). `ws` throws for a longer one. */
export function closeReason(text: string): string {
  return new TextDecoder().decode(Buffer.from(text).subarray(0, 120)).replace(/\uFFFD+$/, '');
}

/** The channel and the bytes of a data frame; null for other frames. */
export function dataIn(frame: Buffer): { channel: number; payload: Buffer } | null {
  if (frame.length < headBytes || frame.readUInt8(0) !== frames.data) return null;
  return { channel: frame.readUInt32BE(1), payload: frame.subarray(headBytes) };
}

function noteIn(data: Buffer): Record<string, unknown> {
  const note: unknown = JSON.parse(data.toString('utf8'));
  if (typeof note !== 'object' || note === null || Array.isArray(note))
    throw new TypeError('expected an object');
  return note as Record<string, unknown>;
}

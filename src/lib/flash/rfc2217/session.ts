import type { Socket } from 'node:net';
import { aiotVersion } from '../../core/index.js';
import type { SerialLine } from '../port/types.js';
import { option } from './constants.js';
import { Negotiation, serverOptions } from './options.js';
import { ComPort } from './server-commands.js';
import { escapeData, type TelnetEvent, TelnetReader } from './telnet.js';

/** What a client may leave unread before it is cut off, bytes. */
const unreadLimit = 16 << 20;

export interface SessionTotals {
  /** Bytes from the client to the board. */
  sent: number;
  /** Bytes from the board to the client. */
  received: number;
  /** Why the line has ended, where it is not the client who went. */
  lineError: Error | null;
}

/**
 * One client on one line until either goes: bytes both ways and, unless it is `raw`, Telnet's options and the COM port's
 * commands, in the order in which they come. At its end DTR and RTS are let go and the speed is as before; the line stays
 * open. Never rejects.
 */
export async function runSession(socket: Socket, line: SerialLine, raw: boolean): Promise<SessionTotals> {
  const session = new Session(socket, line, raw);
  const { baud } = line;
  const stop = line.listen({
    data: (bytes) => session.toClient(bytes),
    closed: (error) => {
      session.totals.lineError = error;
      socket.destroy();
    },
  });
  try {
    await session.run();
  } finally {
    stop();
    socket.destroy();
    await session.port.end().catch(() => undefined);
    if (line.baud !== baud) await line.setBaud(baud).catch(() => undefined);
  }
  return session.totals;
}

class Session {
  readonly totals: SessionTotals = { sent: 0, received: 0, lineError: null };
  readonly port: ComPort;
  private readonly negotiation = new Negotiation(serverOptions);
  private readonly reader = new TelnetReader();
  /** What comes while the client wants silence. */
  private waiting: Uint8Array[] = [];
  private waitingBytes = 0;

  constructor(
    private readonly socket: Socket,
    private readonly line: SerialLine,
    private readonly raw: boolean,
  ) {
    this.port = new ComPort(line, `aiot ${aiotVersion()} ${line.address}`);
  }

  async run(): Promise<void> {
    if (!this.raw) this.say(this.negotiation.start({ own: serverOptions.own, theirs: [option.BINARY] }));
    try {
      for await (const chunk of this.socket as AsyncIterable<Uint8Array>) {
        const events: TelnetEvent[] = this.raw ? [{ kind: 'data', bytes: chunk }] : this.reader.read(chunk);
        for (const event of events) await this.take(event);
      }
    } catch (error) {
      // A client that went without a word is the same as one that said goodbye; a line that is lost says so itself.
      if (!this.socket.destroyed) this.totals.lineError ??= error as Error;
    }
  }

  toClient(bytes: Uint8Array): void {
    const copy = this.raw ? Uint8Array.from(bytes) : escapeData(Uint8Array.from(bytes));
    this.totals.received += bytes.length;
    if (!this.port.suspended) {
      this.say(copy);
      return;
    }
    this.waiting.push(copy);
    this.waitingBytes += copy.length;
    if (this.waitingBytes > unreadLimit) this.socket.destroy();
  }

  private async take(event: TelnetEvent): Promise<void> {
    if (event.kind === 'data') {
      this.totals.sent += event.bytes.length;
      await this.line.write(event.bytes);
    } else if (event.kind === 'negotiate') {
      const before = this.negotiation.has(option.COM_PORT);
      this.say(this.negotiation.take(event.verb, event.option));
      if (!before && this.negotiation.has(option.COM_PORT)) this.say(this.port.modemState);
    } else if (event.option === option.COM_PORT) {
      this.say(await this.port.run(event.bytes));
      if (this.port.suspended) return;
      for (const bytes of this.waiting.splice(0)) this.say(bytes);
      this.waitingBytes = 0;
    }
  }

  private say(bytes: Uint8Array): void {
    if (bytes.length === 0 || this.socket.destroyed) return;
    this.socket.write(bytes);
    if (this.socket.writableLength > unreadLimit) this.socket.destroy();
  }
}

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { AiotError } from '../../core/errors.js';
import { onAbort } from '../../core/tasks.js';
import { type ControlLines, type LineListener, LineListeners, lineLost, type SerialLine } from './line.js';
import { connected, parseHostPort } from './socket.js';
import {
  answerOffset,
  clientOptions,
  command,
  control,
  controlChanges,
  escapeData,
  format,
  fromBigEndian,
  Negotiation,
  option,
  subnegotiation,
  type TelnetEvent,
  TelnetReader,
  toBigEndian,
} from './telnet.js';

/**
 * Opens a serial line on another machine by RFC 2217 (`rfc2217://host:port`): speed, DTR and RTS reach the board. Works with our own
 * server, pyserial's, ser2net and Espressif's. Opening changes neither DTR nor RTS, so that a board keeps running. Options after a `?`
 * are for pyserial and are ignored.
 * @throws AIOT_SERIAL_NOT_FOUND if no server listens there, AIOT_SERIAL_BUSY if another client has the port, AIOT_SERIAL_BAUD,
 *   AIOT_SERIAL_LOST, AIOT_USAGE
 */
export async function openRfc2217Line(
  address: string,
  options: { baud: number; signal?: AbortSignal },
): Promise<SerialLine> {
  const { host, port } = parseHostPort(address);
  const socket = connect({ host, port, noDelay: true });
  await connected(socket, address, options.signal);
  const line = new Rfc2217Line(address, socket);
  const abort = () => socket.destroy();
  const leave = onAbort(options.signal, abort);
  try {
    await line.begin(options.baud);
    return line;
  } catch (error) {
    await line.close();
    options.signal?.throwIfAborted();
    throw error;
  } finally {
    leave();
  }
}

/** Timeout for a server's answer, ms. Executing a command, such as opening a port, can take a while. */
const answerMs = 3000;

/** The client side of RFC 2217 over a connected socket. */
class Rfc2217Line implements SerialLine {
  readonly kind = 'rfc2217';
  readonly usb = null;
  readonly hasControlLines = true;
  baud = 0;
  private readonly listeners = new LineListeners();
  private readonly reader = new TelnetReader();
  private readonly negotiation = new Negotiation(clientOptions);
  private readonly pending = new PendingAnswers(answerMs);
  /** State of DTR and RTS at the board; a missing property is unknown. */
  private lines: Partial<ControlLines> = {};
  private failure: Error | undefined;
  /** Text received before the server agreed to RFC 2217: a greeting, or the reason for a refusal. Null once it has agreed. */
  private greeting: string | null = '';
  private agree: () => void = () => undefined;

  constructor(
    readonly address: string,
    private readonly socket: Socket,
  ) {
    socket.on('data', (chunk) => {
      for (const event of this.reader.read(chunk)) this.take(event);
    });
    socket.on('error', (error) => {
      this.failure = error;
    });
    socket.on('end', () => socket.destroy());
    socket.on('close', () => {
      this.pending.fail(this.lost());
      this.agree();
      this.listeners.closed(this.lost());
    });
  }

  /** Negotiates the protocol, sets format and speed, and queries DTR and RTS. */
  async begin(baud: number): Promise<void> {
    const agreed = new Promise<void>((resolve) => {
      this.agree = resolve;
    });
    const timer = setTimeout(this.agree, answerMs);
    this.socket.write(this.negotiation.start());
    await agreed;
    clearTimeout(timer);
    if (!this.negotiation.has(option.COM_PORT)) throw this.refusal();
    this.greeting = null;
    const settings = Object.entries(format).map(([code, value]) => this.message(Number(code), [value]));
    // Servers that do not store the state do not answer. Both lines are then set when first needed.
    const controls = [control.FLOW_NONE, control.ASK_DTR, control.ASK_RTS];
    const questions = controls.map((value) => this.message(command.SET_CONTROL, [value]));
    this.socket.write(Buffer.concat([...settings, ...questions]));
    await this.setBaud(baud);
  }

  listen(listener: LineListener): () => void {
    return this.listeners.listen(listener);
  }

  write(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.socket.destroyed) return reject(this.lost());
      this.socket.write(escapeData(bytes), (error) => (error ? reject(this.lost(error)) : resolve()));
    });
  }

  async setBaud(baud: number): Promise<void> {
    if (this.socket.destroyed) throw this.lost();
    const answer = this.pending.next(command.SET_BAUDRATE, () =>
      lineLost(this.address, `the server did not respond within ${answerMs / 1000} s`),
    );
    this.socket.write(this.message(command.SET_BAUDRATE, toBigEndian(baud)));
    const now = fromBigEndian(await answer);
    this.baud = now;
    if (now === baud) return;
    const message = `the port behind ${this.address} stays at ${now} instead of ${baud} bits per second`;
    throw new AiotError('AIOT_SERIAL_BAUD', message, { endpoint: this.address });
  }

  /** Does not wait for an answer, because some servers send none, and the pauses of a reset must keep their length. */
  async setControlLines(lines: ControlLines): Promise<void> {
    if (this.socket.destroyed) throw this.lost();
    const messages = controlChanges(this.lines, lines).map((value) =>
      this.message(command.SET_CONTROL, [value]),
    );
    this.lines = { ...lines };
    // Both messages are sent in one packet, so that they arrive together.
    if (messages.length > 0) this.socket.write(Buffer.concat(messages));
  }

  async close(): Promise<void> {
    this.listeners.closed(null);
    if (this.socket.closed) return;
    this.socket.end();
    const timer = setTimeout(() => this.socket.destroy(), 500);
    await once(this.socket, 'close').catch(() => undefined);
    clearTimeout(timer);
  }

  private take(event: TelnetEvent): void {
    if (event.kind === 'data') {
      if (this.greeting === null) this.listeners.data(event.bytes);
      else this.greeting = (this.greeting + Buffer.from(event.bytes).toString('latin1')).slice(0, 200);
    } else if (event.kind === 'negotiate') {
      const answer = this.negotiation.take(event.verb, event.option);
      if (answer.length > 0) this.socket.write(answer);
      if (this.negotiation.has(option.COM_PORT)) this.agree();
    } else if (event.option === option.COM_PORT) {
      const [code = 0, ...values] = event.bytes;
      if (code === command.SET_CONTROL + answerOffset) this.learn(values[0]);
      this.pending.answered(code - answerOffset, Uint8Array.from(values));
    }
  }

  /** Stores the answer to a query. Answers to our own settings contain nothing new. */
  private learn(value: number | undefined): void {
    if (value === control.DTR_ON || value === control.DTR_OFF) this.lines.dtr ??= value === control.DTR_ON;
    if (value === control.RTS_ON || value === control.RTS_OFF) this.lines.rts ??= value === control.RTS_ON;
  }

  private message(code: number, values: Iterable<number>): Uint8Array {
    return subnegotiation(option.COM_PORT, Uint8Array.of(code, ...values));
  }

  private lost(cause: Error | undefined = this.failure): AiotError {
    return lineLost(this.address, 'the server closed the connection', cause);
  }

  /** The error for a failed negotiation: the server refused it, or is not an RFC 2217 server. */
  private refusal(): AiotError {
    const said = this.greeting?.trim() ? ` (it sent: ${printable(this.greeting)})` : '';
    const about = { endpoint: this.address, cause: this.failure };
    return this.socket.destroyed
      ? new AiotError('AIOT_SERIAL_BUSY', `${this.address} closed the connection immediately${said}`, {
          ...about,
          next: 'Check the server: another client may be using this port, or its board may be disconnected. `aiot board share` serves one client at a time.',
          retryable: true,
        })
      : new AiotError('AIOT_USAGE', `the server at ${this.address} does not speak RFC 2217${said}`, {
          ...about,
          next: 'If it is a plain socket, use socket:// instead.',
        });
  }
}

function printable(text: string): string {
  return text.trim().replace(/[^\x20-\x7e]+/g, ' ');
}

interface Waiter {
  resolve(values: Uint8Array): void;
  reject(error: Error): void;
}

/** Commands awaiting their answers, which arrive in the order of the commands. */
class PendingAnswers {
  private readonly waiters = new Map<number, Waiter[]>();

  constructor(private readonly timeoutMs: number) {}

  /** Resolves with the next answer to this command. Rejects with the error from `late` at the timeout, or when `fail` is called. */
  next(code: number, late: () => Error): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      const list = this.waiters.get(code) ?? [];
      const timer = setTimeout(() => {
        list.splice(list.indexOf(waiter), 1);
        reject(late());
      }, this.timeoutMs);
      const waiter: Waiter = {
        resolve: (values) => {
          clearTimeout(timer);
          resolve(values);
        },
        reject: (error) => {
          clearTimeout(timer);
          reject(error);
        },
      };
      list.push(waiter);
      this.waiters.set(code, list);
    });
  }

  answered(code: number, values: Uint8Array): void {
    this.waiters.get(code)?.shift()?.resolve(values);
  }

  fail(error: Error): void {
    for (const list of this.waiters.values()) for (const waiter of list.splice(0)) waiter.reject(error);
  }
}

import type { ControlLines } from './line.js';

/** Telnet commands (RFC 854) that follow an IAC. */
const telnet = {
  SE: 0xf0,
  SB: 0xfa,
  WILL: 0xfb,
  WONT: 0xfc,
  DO: 0xfd,
  DONT: 0xfe,
  IAC: 0xff,
} as const;

/** Telnet options that a serial line over a socket needs (RFC 856, 857, 858 and 2217). */
export const option = { BINARY: 0, ECHO: 1, SUPPRESS_GO_AHEAD: 3, COM_PORT: 44 } as const;

/** COM port commands of a client. The server's answer has the same number plus 100 (RFC 2217, 3). */
export const command = {
  SIGNATURE: 0,
  SET_BAUDRATE: 1,
  SET_DATASIZE: 2,
  SET_PARITY: 3,
  SET_STOPSIZE: 4,
  SET_CONTROL: 5,
  NOTIFY_LINESTATE: 6,
  NOTIFY_MODEMSTATE: 7,
  FLOWCONTROL_SUSPEND: 8,
  FLOWCONTROL_RESUME: 9,
  SET_LINESTATE_MASK: 10,
  SET_MODEMSTATE_MASK: 11,
  PURGE_DATA: 12,
} as const;

export const answerOffset = 100;

/** Values of SET_CONTROL (RFC 2217, 3). */
export const control = {
  ASK_FLOW: 0,
  FLOW_NONE: 1,
  ASK_BREAK: 4,
  BREAK_OFF: 6,
  ASK_DTR: 7,
  DTR_ON: 8,
  DTR_OFF: 9,
  ASK_RTS: 10,
  RTS_ON: 11,
  RTS_OFF: 12,
  ASK_FLOW_IN: 13,
  FLOW_IN_NONE: 14,
  FLOW_IN_HARDWARE: 16,
} as const;

/** The only supported format of a line: eight data bits, no parity, one stop bit, in RFC 2217's numbering. */
export const format = {
  [command.SET_DATASIZE]: 8,
  [command.SET_PARITY]: 1,
  [command.SET_STOPSIZE]: 1,
} as const;

/** Elements of a Telnet stream, in order. */
export type TelnetEvent =
  | { kind: 'data'; bytes: Uint8Array }
  | { kind: 'negotiate'; verb: number; option: number }
  /** A subnegotiation. `bytes` are unescaped, without the option byte. */
  | { kind: 'sub'; option: number; bytes: Uint8Array };

/** Maximum length of a subnegotiation, bytes. RFC 2217's are shorter. The rest is dropped, so that no peer can exhaust the memory. */
const longestSub = 1024;

/**
 * Parses a Telnet stream (RFC 854, 855) in chunks of any size. Commands without a meaning for a serial line (NOP, AYT, …) are
 * ignored.
 */
export class TelnetReader {
  private state: 'data' | 'iac' | 'verb' = 'data';
  private verb = 0;
  /** Bytes of the unfinished subnegotiation. */
  private sub: number[] | null = null;

  read(chunk: Uint8Array): TelnetEvent[] {
    const events: TelnetEvent[] = [];
    let at = 0;
    while (at < chunk.length) {
      if (this.state === 'data') {
        const found = chunk.indexOf(telnet.IAC, at);
        const end = found === -1 ? chunk.length : found;
        if (end > at) this.take(chunk.subarray(at, end), events);
        if (found !== -1) this.state = 'iac';
        at = end + 1;
      } else {
        this.step(chunk[at] ?? 0, events);
        at++;
      }
    }
    return events;
  }

  private take(bytes: Uint8Array, events: TelnetEvent[]): void {
    if (this.sub === null) {
      // Copied, because the caller may reuse its buffer before the bytes are processed.
      events.push({ kind: 'data', bytes: Uint8Array.from(bytes) });
      return;
    }
    this.sub.push(...bytes.subarray(0, Math.max(0, longestSub - this.sub.length)));
  }

  private step(byte: number, events: TelnetEvent[]): void {
    if (this.state === 'verb') {
      this.state = 'data';
      events.push({ kind: 'negotiate', verb: this.verb, option: byte });
      return;
    }
    this.state = 'data';
    if (byte === telnet.IAC) this.take(Uint8Array.of(telnet.IAC), events);
    else if (byte === telnet.SB) this.sub = [];
    else if (byte === telnet.SE) {
      const [option, ...bytes] = this.sub ?? [];
      this.sub = null;
      if (option !== undefined) events.push({ kind: 'sub', option, bytes: Uint8Array.from(bytes) });
    } else if (byte >= telnet.WILL && byte <= telnet.DONT) {
      this.state = 'verb';
      this.verb = byte;
    }
  }
}

/** Escapes data for a Telnet stream: each FF is doubled. Returns the same array if it contains none. */
export function escapeData(bytes: Uint8Array): Uint8Array {
  let count = 0;
  for (const byte of bytes) if (byte === telnet.IAC) count++;
  if (count === 0) return bytes;
  const escaped = new Uint8Array(bytes.length + count);
  let at = 0;
  for (const byte of bytes) {
    escaped[at++] = byte;
    if (byte === telnet.IAC) escaped[at++] = byte;
  }
  return escaped;
}

function negotiation(verb: number, option: number): Uint8Array {
  return Uint8Array.of(telnet.IAC, verb, option);
}

export function subnegotiation(option: number, bytes: Uint8Array): Uint8Array {
  return Uint8Array.of(telnet.IAC, telnet.SB, option, ...escapeData(bytes), telnet.IAC, telnet.SE);
}

/** Options that one side may enable for itself (`own`) and that it permits on the other side (`theirs`). */
interface Wanted {
  own: readonly number[];
  theirs: readonly number[];
}

/**
 * Options of a client: eight-bit transparency in both directions, and the COM port option, which a client offers and a server accepts.
 */
export const clientOptions: Wanted = {
  own: [option.BINARY, option.SUPPRESS_GO_AHEAD, option.COM_PORT],
  theirs: [option.BINARY, option.SUPPRESS_GO_AHEAD, option.COM_PORT],
};

/** Options of a server. A server also enables ECHO, which keeps a Telnet client from echoing locally. */
export const serverOptions: Wanted = {
  own: [option.BINARY, option.SUPPRESS_GO_AHEAD, option.ECHO, option.COM_PORT],
  theirs: [option.BINARY, option.SUPPRESS_GO_AHEAD, option.COM_PORT],
};

/**
 * Telnet's option negotiation. To prevent endless loops, only changes are answered (RFC 854, RFC 1143). Requested and granted options
 * share one state, because in both cases nothing more has to be sent.
 */
export class Negotiation {
  private readonly own = new Set<number>();
  private readonly theirs = new Set<number>();
  private readonly refusals = new Set<string>();
  private readonly granted = new Set<number>();

  constructor(private readonly wanted: Wanted) {}

  /** The first message, which requests all wanted options. */
  start(options: Wanted = this.wanted): Uint8Array {
    const said: Uint8Array[] = [];
    for (const each of options.own) if (add(this.own, each)) said.push(negotiation(telnet.WILL, each));
    for (const each of options.theirs) if (add(this.theirs, each)) said.push(negotiation(telnet.DO, each));
    return Buffer.concat(said);
  }

  /** Whether the peer has agreed to an option: with DO for our side, or with WILL for its own. */
  has(wanted: number): boolean {
    return this.granted.has(wanted);
  }

  /** The answer to a message from the peer; empty if no answer is required. */
  take(verb: number, about: number): Uint8Array {
    const positive = verb === telnet.DO || verb === telnet.WILL;
    const mine = verb === telnet.DO || verb === telnet.DONT;
    const [state, allowed] = mine ? [this.own, this.wanted.own] : [this.theirs, this.wanted.theirs];
    const [yes, no] = mine ? [telnet.WILL, telnet.WONT] : [telnet.DO, telnet.DONT];
    if (positive && allowed.includes(about)) {
      this.granted.add(about);
      return add(state, about) ? negotiation(yes, about) : nothing;
    }
    if (!positive) return state.delete(about) ? negotiation(no, about) : nothing;
    // A refusal is sent only once. If the peer repeats its request, the request is ignored.
    return add(this.refusals, `${verb}/${about}`) ? negotiation(no, about) : nothing;
  }
}

const nothing = new Uint8Array(0);

function add<T>(set: Set<T>, value: T): boolean {
  const fresh = !set.has(value);
  set.add(value);
  return fresh;
}

/**
 * The SET_CONTROL values that change the lines from one state to another. Only changed or unknown lines are set. GPIO0's line (DTR) is
 * asserted first and released last. On the usual circuit, this never passes through "in reset" unless it ends there. Espressif's server
 * treats DTR-on as the start of a whole reset.
 */
export function controlChanges(from: Partial<ControlLines>, to: ControlLines): number[] {
  const dtr = from.dtr === to.dtr ? [] : [to.dtr ? control.DTR_ON : control.DTR_OFF];
  const rts = from.rts === to.rts ? [] : [to.rts ? control.RTS_ON : control.RTS_OFF];
  return to.dtr ? [...dtr, ...rts] : [...rts, ...dtr];
}

/** Maximum time between the two halves of a pair over a network, ms. */
const pairMs = 400;

/**
 * Sets a board's lines as a remote client changes them one by one. A reset into the loader goes from "held in reset" (RTS) to "GPIO0 low"
 * (DTR). Locally, this is one step. Over a network, it is two messages, tens of milliseconds apart. In between, both lines are asserted,
 * so the chip would leave reset and start its program. Therefore, the first half is held back until the second one arrives, and both are
 * set at once.
 */
export class ControlRelay {
  private wanted: ControlLines;
  private held: NodeJS.Timeout | null = null;

  constructor(
    private readonly set: (lines: ControlLines) => Promise<void>,
    /** Current state of the lines. */
    start: ControlLines = { dtr: false, rts: false },
  ) {
    this.wanted = start;
  }

  get lines(): ControlLines {
    return this.wanted;
  }

  async change(part: Partial<ControlLines>): Promise<void> {
    const before = this.wanted;
    this.wanted = { ...before, ...part };
    const outOfReset = before.rts && !before.dtr && this.wanted.rts && this.wanted.dtr;
    const same = before.dtr === this.wanted.dtr && before.rts === this.wanted.rts;
    // A repeated change is ignored, because some clients send everything twice.
    if (same && this.held !== null) return;
    this.release();
    if (!outOfReset) return this.set(this.wanted);
    this.held = setTimeout(() => {
      this.held = null;
      // A failure needs no handling here, because the line reports its own end to its listeners.
      this.set(this.wanted).catch(() => undefined);
    }, pairMs);
  }

  /** Discards the change that is held back. */
  release(): void {
    if (this.held) clearTimeout(this.held);
    this.held = null;
  }
}

/** A 32-bit number as four big-endian bytes, as RFC 2217 encodes a speed. */
export function toBigEndian(value: number): Uint8Array {
  return Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value);
}

/** The number in the first four bytes; one server (sredird) sends more. */
export function fromBigEndian(bytes: Iterable<number>): number {
  const [a = 0, b = 0, c = 0, d = 0] = bytes;
  return ((a << 24) | (b << 16) | (c << 8) | d) >>> 0;
}

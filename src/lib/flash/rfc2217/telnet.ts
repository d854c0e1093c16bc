import { telnet } from './constants.js';

/** What a Telnet stream is made of, in its order. */
export type TelnetEvent =
  | { kind: 'data'; bytes: Uint8Array }
  | { kind: 'negotiate'; verb: number; option: number }
  /** `bytes` without the option's own byte, escapes undone. */
  | { kind: 'sub'; option: number; bytes: Uint8Array };

/** Longer ones than this do not exist in RFC 2217: the rest is dropped, so that no peer can fill the memory. */
const longestSub = 1024;

/**
 * Reads a Telnet stream (RFC 854, 855) however it is cut. Commands without a meaning for a serial line (NOP, AYT, …) are
 * passed over.
 */
export class TelnetReader {
  private state: 'data' | 'iac' | 'verb' = 'data';
  private verb = 0;
  /** Bytes of the subnegotiation that is open. */
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
      // A copy: the caller's buffer may be used again before the bytes are.
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

/** Data for a Telnet stream: each FF doubled. The same bytes where there is none. */
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

export function negotiation(verb: number, option: number): Uint8Array {
  return Uint8Array.of(telnet.IAC, verb, option);
}

export function subnegotiation(option: number, bytes: Uint8Array): Uint8Array {
  return Uint8Array.of(telnet.IAC, telnet.SB, option, ...escapeData(bytes), telnet.IAC, telnet.SE);
}

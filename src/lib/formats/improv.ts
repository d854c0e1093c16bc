/**
 * Improv over a serial line: packets that carry Wi-Fi settings to a board, between the lines of its log. `firmware/core/src/improv.c` is
 * the C implementation. Browsers load this file too, so it uses nothing of Node. Source: https://www.improv-wifi.com/serial, version 1.
 */

/** States of a board, by their number on the wire. */
const states = { 2: 'ready', 3: 'provisioning', 4: 'provisioned' } as const;
export type ImprovState = (typeof states)[keyof typeof states];

/** Errors that a board reports, by their number on the wire. */
const errors = {
  0: 'none',
  1: 'invalid-packet',
  2: 'unknown-command',
  3: 'unable-to-connect',
  5: 'bad-hostname',
  255: 'unknown',
} as const;
export type ImprovError = (typeof errors)[keyof typeof errors];

/** Commands to a board, by their number on the wire. */
export const improvCommands = { wifi: 1, state: 2, info: 3, networks: 4 } as const;

/** A packet with a valid checksum. A `command` is sent to the board; all others are sent by the board. */
export type ImprovPacket =
  | { kind: 'state'; state: ImprovState }
  /** `code`: the number on the wire, because a number that the specification does not define counts as `unknown`. */
  | { kind: 'error'; error: ImprovError; code: number }
  | { kind: 'command'; command: number; data: Uint8Array }
  | { kind: 'result'; command: number; texts: string[] }
  /** A packet whose contents do not conform to the specification. */
  | { kind: 'malformed'; type: number; data: Uint8Array };

/** `IMPROV` and the version. */
const header = Uint8Array.of(0x49, 0x4d, 0x50, 0x52, 0x4f, 0x56, 1);
const types = { state: 1, error: 2, command: 3, result: 4 } as const;
/** Bytes before the data: header, type and length. */
const headBytes = header.length + 2;

const numberOf = (names: Record<number, string>, name: string): number =>
  Number(Object.keys(names).find((key) => names[Number(key)] === name));

/**
 * Encodes a packet, with its checksum. A line feed surrounds it, because some readers look for packets only at the start of a line.
 * @throws RangeError if the data exceeds 255 bytes
 */
export function encodeImprov(packet: Exclude<ImprovPacket, { kind: 'malformed' }>): Uint8Array {
  const data = dataOf(packet);
  if (data.length > 255)
    throw new RangeError(`an Improv packet has at most 255 bytes of data, not ${data.length}`);
  const frame = [...header, types[packet.kind], data.length, ...data];
  return Uint8Array.from([0x0a, ...frame, sumOf(frame), 0x0a]);
}

function dataOf(packet: Exclude<ImprovPacket, { kind: 'malformed' }>): number[] {
  switch (packet.kind) {
    case 'state':
      return [numberOf(states, packet.state)];
    case 'error':
      return [packet.code];
    case 'command':
      return [packet.command, packet.data.length, ...packet.data];
    case 'result': {
      const texts = encodeTexts(packet.texts);
      return [packet.command, texts.length, ...texts];
    }
  }
}

/** Encodes the packet for an error that the specification defines. */
export function improvError(error: ImprovError): Extract<ImprovPacket, { kind: 'error' }> {
  return { kind: 'error', error, code: numberOf(errors, error) };
}

/** Encodes texts, each preceded by its length in bytes. The data of the command `wifi` are the name and the password. */
export function encodeTexts(texts: readonly string[]): Uint8Array {
  return Uint8Array.from(
    texts.flatMap((text) => {
      const bytes = new TextEncoder().encode(text);
      if (bytes.length > 255)
        throw new RangeError(`an Improv text has at most 255 bytes, not ${bytes.length}`);
      return [bytes.length, ...bytes];
    }),
  );
}

/** Like Node's decoding: invalid bytes are replaced, and a byte order mark is text. */
const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });

/** Decodes texts, each preceded by its length. Returns null if a length exceeds the data. */
export function decodeTexts(data: Uint8Array): string[] | null {
  const texts: string[] = [];
  for (let at = 0; at < data.length; ) {
    const end = at + 1 + (data[at] as number);
    if (end > data.length) return null;
    texts.push(utf8.decode(data.subarray(at + 1, end)));
    at = end;
  }
  return texts;
}

/**
 * Separates packets from the text around them. A corrupted packet counts as text, and the search continues inside it, so that a lost byte
 * never hides subsequent packets.
 */
export class ImprovReader {
  private held: Uint8Array = new Uint8Array();
  /** Number of packets with a wrong checksum so far. */
  damaged = 0;

  /** @returns complete packets in order, and the bytes between them */
  push(bytes: Uint8Array): { packets: ImprovPacket[]; text: Uint8Array } {
    this.held = joined(this.held, bytes);
    const packets: ImprovPacket[] = [];
    const text: number[] = [];
    while (this.held.length > 0) {
      const length = lengthAt(this.held);
      if (length === 'incomplete') break;
      const frame = length === null ? null : this.held.subarray(0, length);
      if (frame && sumOf(frame.subarray(0, -1)) === frame.at(-1)) {
        packets.push(parse(frame[header.length] as number, Uint8Array.from(frame.subarray(headBytes, -1))));
        this.held = this.held.subarray(frame.length);
        continue;
      }
      if (frame) this.damaged++;
      text.push(this.held[0] as number);
      this.held = this.held.subarray(1);
    }
    return { packets, text: Uint8Array.from(text) };
  }

  /** Stops waiting for the rest of a packet, because the line is silent. Returns the packets that were found after its start. */
  expire(): { packets: ImprovPacket[]; text: Uint8Array } {
    const packets: ImprovPacket[] = [];
    const text: number[] = [];
    while (this.held.length > 0) {
      text.push(this.held[0] as number);
      this.held = this.held.subarray(1);
      const found = this.push(new Uint8Array());
      packets.push(...found.packets);
      text.push(...found.text);
    }
    return { packets, text: Uint8Array.from(text) };
  }
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}

/** Length of the packet at the start of the bytes, with its checksum; null = there is none. */
function lengthAt(bytes: Uint8Array): number | 'incomplete' | null {
  const known = Math.min(bytes.length, header.length);
  for (let at = 0; at < known; at++) if (bytes[at] !== header[at]) return null;
  const [type, length] = [bytes[header.length], bytes[header.length + 1]];
  if (type !== undefined && (type < types.state || type > types.result)) return null;
  if (length === undefined) return 'incomplete';
  return bytes.length < headBytes + length + 1 ? 'incomplete' : headBytes + length + 1;
}

function parse(type: number, data: Uint8Array): ImprovPacket {
  const malformed = { kind: 'malformed', type, data } as const;
  const [first = -1, inner = -1] = data;
  if (type === types.state || type === types.error) {
    if (data.length !== 1) return malformed;
    if (type === types.error) {
      return { kind: 'error', error: errors[first as keyof typeof errors] ?? 'unknown', code: first };
    }
    const state = states[first as keyof typeof states];
    return state === undefined ? malformed : { kind: 'state', state };
  }
  if (inner !== data.length - 2) return malformed;
  const rest = data.subarray(2);
  if (type === types.command) return { kind: 'command', command: first, data: rest };
  const texts = decodeTexts(rest);
  return texts === null ? malformed : { kind: 'result', command: first, texts };
}

/** The low byte of the sum of these bytes. */
function sumOf(bytes: Iterable<number>): number {
  let sum = 0;
  for (const byte of bytes) sum = (sum + byte) & 0xff;
  return sum;
}

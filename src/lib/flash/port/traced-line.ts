import { hex } from '../../core/figures.js';
import { op } from '../loader/exchange.js';
import { SlipReader } from '../loader/wire.js';
import type { ControlLines, LineListener, SerialLine } from './line.js';

/** Names of requests: `flashBegin` becomes `FLASH_BEGIN`. */
const names = new Map<number, string>(
  Object.entries(op).map(([name, code]) => [code, name.replace(/[A-Z]/g, '_$&').toUpperCase()]),
);

/** Requests whose data is part of a program or of the flash, after 16 bytes of length and sequence number. */
const dataRequests: ReadonlySet<number> = new Set([op.flashData, op.memData, op.deflData]);

/** Maximum length of text, characters. Longer text is truncated. */
const longestText = 240;

/** Secrets may contain spaces and quotation marks, so everything up to the end of the line is masked. */
const secretText =
  /((?:pass|pswd|pwd|pw(?!m)|psk|pmk|token|key|secret|cred|otp|pin_?code)\w*["']?\s*[:=]\s*)\S.*/i;

/**
 * A serial line that also describes the exchange with the chip, with one line of text for each packet in either direction. The contents of
 * flash and of uploaded programs are omitted, because they may contain keys and passwords.
 * @param write receives each line, without a line break
 * @param now milliseconds, for the times in the first column
 */
export function tracedLine(
  line: SerialLine,
  write: (text: string) => void,
  now: () => number = () => performance.now(),
): SerialLine {
  const started = now();
  const say = (text: string) =>
    write(`+${((now() - started) / 1000).toFixed(3).padStart(7, '0')} ${line.address}  ${text}`);
  const text = new StrayLines((line) => say(`← ${line}`));
  /** Code of the last request. After a request that reads flash, packets contain flash data. */
  let requested: number | null = null;
  const incoming = new SlipReader({
    frame: (packet) => say(`← ${answerText(packet, requested)}`),
    // The bytes of a corrupted packet are outside of packets too, and may contain flash data.
    stray: (bytes) => {
      if (requested === op.readFlash || requested === op.readFlashSlow)
        say(`← ${bytes.length} bytes outside of packets`);
      else text.push(bytes);
    },
  });
  const outgoing = new SlipReader({
    frame: (packet) => {
      if (packet[0] === 0 && packet.length >= 8) requested = packet[1] ?? null;
      say(`→ ${requestText(packet)}`);
    },
    stray: (bytes) => say(`→ ${bytes.length} bytes outside of packets`),
  });
  const { usb } = line;
  const device = usb ? `, USB ${[usb.vendorId, usb.productId].map((id) => hex(id, 4)).join(' ')}` : '';
  say(
    `open: ${line.kind}${device}, ${line.baud} baud, ${line.hasControlLines ? 'with' : 'without'} DTR and RTS`,
  );
  let listeners = 0;
  return {
    get address() {
      return line.address;
    },
    get kind() {
      return line.kind;
    },
    get usb() {
      return line.usb;
    },
    get baud() {
      return line.baud;
    },
    get hasControlLines() {
      return line.hasControlLines;
    },
    listen: (listener: LineListener) => {
      // Only the first listener's bytes are recorded, because every listener receives the same ones.
      const records = listeners++ === 0;
      const leave = line.listen({
        data: (bytes) => {
          if (records) incoming.push(bytes);
          listener.data(bytes);
        },
        closed: (error) => {
          if (records) text.end();
          if (records) say(`closed${error ? `: ${error.message}` : ''}`);
          listener.closed(error);
        },
      });
      return () => {
        listeners--;
        leave();
      };
    },
    write: async (bytes: Uint8Array) => {
      outgoing.push(bytes);
      await line.write(bytes);
    },
    setBaud: async (baud: number) => {
      say(`${baud} baud`);
      await line.setBaud(baud);
    },
    setControlLines: async (lines: ControlLines) => {
      say(`DTR=${Number(lines.dtr)} RTS=${Number(lines.rts)}`);
      await line.setControlLines(lines);
    },
    resetting: (on: boolean) => line.resetting?.(on),
    close: () => {
      text.end();
      return line.close();
    },
  };
}

const nameOf = (code: number) => `${names.get(code) ?? 'unknown request'} (${hex(code, 2)})`;

/** A request: its name and its words, or the length of its data. */
function requestText(packet: Uint8Array): string {
  const [direction, code = 0] = packet;
  if (direction !== 0 || packet.length < 8) return `${packet.length} bytes: ${bytesText(packet)}`;
  const data = packet.subarray(8);
  if (dataRequests.has(code)) {
    const view = new DataView(data.buffer, data.byteOffset, data.length);
    const sequence = data.length >= 8 ? view.getUint32(4, true) : '?';
    return `${nameOf(code)} block ${sequence}, ${hiddenText(data.subarray(16))}`;
  }
  return `${nameOf(code)} ${wordsText(data)}`.trimEnd();
}

/** Answers whose data may be secret, because it is flash data. */
const secretAnswers: ReadonlySet<number> = new Set([op.readFlashSlow]);

/** The greeting of a stub. */
const greeting = 'OHAI';

function answerText(packet: Uint8Array, requested: number | null): string {
  const [direction, code = 0] = packet;
  const view = new DataView(packet.buffer, packet.byteOffset, packet.length);
  const isAnswer =
    direction === 1 &&
    packet.length >= 10 &&
    view.getUint16(2, true) === packet.length - 8 &&
    names.has(code) &&
    // A block of flash may look like an answer.
    (requested !== op.readFlash || code === requested);
  if (!isAnswer) {
    const isGreeting = Buffer.from(packet).toString('latin1') === greeting;
    return isGreeting ? `packet ${bytesText(packet)}` : `packet, ${hiddenText(packet)}`;
  }
  const body = packet.subarray(8);
  const shown = secretAnswers.has(code) ? hiddenText(body) : bytesText(body);
  return `${nameOf(code)} value ${hex(view.getUint32(4, true), 8)}, ${shown}`;
}

const bytesText = (bytes: Uint8Array) =>
  bytes.length <= 64
    ? Buffer.from(bytes)
        .toString('hex')
        .replace(/.{8}(?=.)/g, '$& ')
    : `${Buffer.from(bytes.subarray(0, 32)).toString('hex')}… (${bytes.length} bytes)`;

/** Words as numbers, because the fields of requests are 32-bit words. */
function wordsText(data: Uint8Array): string {
  if (data.length % 4 !== 0 || data.length > 32) return bytesText(data);
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  return Array.from({ length: data.length / 4 }, (_, i) => hex(view.getUint32(4 * i, true))).join(' ');
}

const hiddenText = (bytes: Uint8Array) => `${bytes.length} bytes not shown`;

/**
 * Bytes outside of packets, which are output of a ROM or a program, as whole lines, because a secret may arrive in a different chunk than
 * its name.
 */
class StrayLines {
  private line = '';
  private cut = false;

  constructor(private readonly write: (text: string) => void) {}

  push(bytes: Uint8Array): void {
    const [first = '', ...others] = Buffer.from(bytes)
      .toString('latin1')
      .split(/[\r\n]/);
    this.collect(first);
    for (const piece of others) {
      this.end();
      this.collect(piece);
    }
  }

  /** Ends the line, even if it has no line break. */
  end(): void {
    const { line, cut } = this;
    this.line = '';
    this.cut = false;
    if (line === '') return;
    const masked = line.replace(secretText, '$1••••');
    this.write(
      `text ${JSON.stringify(masked.slice(0, longestText))}${cut || masked.length > longestText ? '…' : ''}`,
    );
  }

  private collect(piece: string): void {
    const room = 2 * longestText - this.line.length;
    this.line += piece.slice(0, room);
    if (piece.length > room) this.cut = true;
  }
}

/** Commands of the ROM loader and the flasher stub. Source: esptool's protocol documentation, "Serial Protocol: Commands". */
export const op = {
  flashBegin: 0x02,
  flashData: 0x03,
  flashEnd: 0x04,
  memBegin: 0x05,
  memEnd: 0x06,
  memData: 0x07,
  sync: 0x08,
  writeReg: 0x09,
  readReg: 0x0a,
  spiSetParams: 0x0b,
  spiAttach: 0x0d,
  readFlashSlow: 0x0e,
  changeBaud: 0x0f,
  deflBegin: 0x10,
  deflData: 0x11,
  deflEnd: 0x12,
  flashMd5: 0x13,
  securityInfo: 0x14,
  eraseFlash: 0xd0,
  eraseRegion: 0xd1,
  readFlash: 0xd2,
  runUserCode: 0xd3,
} as const;

/** Second status byte of a ROM that rejected a request. Source: esptool's protocol documentation, "Status bytes". */
export const romError = {
  message: 0x05,
  failed: 0x06,
  checksum: 0x07,
  write: 0x08,
  read: 0x09,
  readLength: 0x0a,
  deflate: 0x0b,
  adler: 0x0c,
} as const;

/** First status byte of a stub that rejected a request. */
export const stubError = {
  length: 0xc0,
  checksum: 0xc1,
  command: 0xc3,
  spi: 0xc4,
  notInFlashMode: 0xc6,
  inflate: 0xc7,
  notEnough: 0xc8,
  tooMuch: 0xc9,
  unsupported: 0xff,
} as const;

export const sectorBytes = 0x1000;

/** Header bytes before the data of a request or an answer: direction, command, size, checksum or value. */
export const headerBytes = 8;

/** Bytes before the payload of a data command: length, sequence number and two zero words. */
export const blockHeaderBytes = 16;

/** XOR of the payload of a data command, starting with EF. */
export function checksumOf(payload: Uint8Array): number {
  let sum = 0xef;
  for (const byte of payload) sum ^= byte;
  return sum;
}

/** Little-endian word at `at`; bytes past the end are zero. */
export function wordAt(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] ?? 0) |
      ((bytes[at + 1] ?? 0) << 8) |
      ((bytes[at + 2] ?? 0) << 16) |
      ((bytes[at + 3] ?? 0) << 24)) >>>
    0
  );
}

export function putWord(bytes: Uint8Array, at: number, value: number): void {
  for (let byte = 0; byte < 4; byte++) bytes[at + byte] = (value >>> (8 * byte)) & 0xff;
}

/** SLIP framing of the ROM loader (RFC 1055): C0 before and after each frame, DB DC for C0, and DB DD for DB. */
const END = 0xc0;

const ESCAPE = 0xdb;
const ESCAPED_END = 0xdc;
const ESCAPED_ESCAPE = 0xdd;

/** Encodes one frame as the bytes on the wire, including both delimiters. */
export function encodeSlip(frame: Uint8Array): Uint8Array {
  const out = new Uint8Array(frame.length * 2 + 2);
  let at = 0;
  out[at++] = END;
  for (const byte of frame) {
    if (byte === END || byte === ESCAPE) {
      out[at++] = ESCAPE;
      out[at++] = byte === END ? ESCAPED_END : ESCAPED_ESCAPE;
    } else out[at++] = byte;
  }
  out[at++] = END;
  return out.slice(0, at);
}

interface SlipFrame {
  bytes: Uint8Array;
  /** Number of the bytes passed to `push` that were needed to complete the frame. */
  end: number;
}

/** How `DB xx` is handled if xx is neither DC nor DD: the ROM keeps xx, the stub drops the frame. */
type BadEscape = 'keep' | 'drop';

/**
 * The receiver of a chip. Bytes outside a frame and empty frames are ignored. Frames longer than `limit` bytes are truncated, as by a
 * chip's receive buffer.
 */
export class SlipReceiver {
  private frame: Uint8Array;
  private length = 0;
  private inside = false;
  private escaped = false;
  private bad = false;
  badEscape: BadEscape = 'keep';

  constructor(limit = 0x8000) {
    this.frame = new Uint8Array(limit);
  }

  /** Returns the frames that `bytes` complete. */
  push(bytes: Uint8Array): SlipFrame[] {
    const frames: SlipFrame[] = [];
    for (const [index, byte] of bytes.entries()) {
      if (byte === END) this.end(frames, index + 1);
      else if (this.inside) this.take(byte);
    }
    return frames;
  }

  reset(): void {
    this.length = 0;
    this.inside = this.escaped = this.bad = false;
  }

  private end(frames: SlipFrame[], end: number): void {
    // A C0 without preceding bytes starts a frame, because there are two in a row between frames.
    if (this.length > 0 && !this.bad) frames.push({ bytes: this.frame.slice(0, this.length), end });
    const ended = this.length > 0 || this.bad;
    this.inside = !ended;
    this.length = 0;
    this.escaped = this.bad = false;
  }

  private take(byte: number): void {
    if (this.escaped) {
      this.escaped = false;
      if (byte === ESCAPED_END) this.store(END);
      else if (byte === ESCAPED_ESCAPE) this.store(ESCAPE);
      else if (this.badEscape === 'drop') this.bad = true;
      else this.store(byte);
    } else if (byte === ESCAPE) this.escaped = true;
    else this.store(byte);
  }

  private store(byte: number): void {
    if (this.length < this.frame.length) this.frame[this.length++] = byte;
  }
}

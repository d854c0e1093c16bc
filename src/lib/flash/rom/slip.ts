/** SLIP framing as the ROM loader uses it: C0 before and after each frame, DB DC for C0 and DB DD for DB. RFC 1055. */
const END = 0xc0;
const ESCAPE = 0xdb;
const ESCAPED_END = 0xdc;
const ESCAPED_ESCAPE = 0xdd;

/** The bytes on the wire for one frame, both delimiters included. */
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

export interface SlipFrame {
  bytes: Uint8Array;
  /** How many of the bytes pushed at once were needed to complete it. */
  end: number;
}

/** What a receiver does with `DB xx`, xx being neither DC nor DD: the ROM takes xx as it is, the stub drops the frame. */
export type BadEscape = 'keep' | 'drop';

/**
 * The receiving side of a chip: bytes outside a frame, and frames of nothing, are passed over. Frames longer than
 * `limit` bytes are cut there, as a chip's receive buffer does.
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

  /** Frames that `bytes` completed. */
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
    // A C0 after nothing is the beginning of a frame: two in a row stand between frames.
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

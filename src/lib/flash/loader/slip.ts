const END = 0xc0;
const ESC = 0xdb;
const ESC_END = 0xdc;
const ESC_ESC = 0xdd;

/** More than the largest frame of any loader; what is longer is text without an end. */
const longestFrame = 0x1_0000;

/** One packet as it goes over the wire: SLIP (RFC 1055), with a delimiter before and after. */
export function slipFrame(packet: Uint8Array): Uint8Array {
  let special = 0;
  for (const byte of packet) if (byte === END || byte === ESC) special++;
  const frame = new Uint8Array(packet.length + special + 2);
  frame[0] = END;
  let at = 1;
  for (const byte of packet) {
    if (byte === END || byte === ESC) {
      frame[at++] = ESC;
      frame[at++] = byte === END ? ESC_END : ESC_ESC;
    } else frame[at++] = byte;
  }
  frame[at] = END;
  return frame;
}

/**
 * Takes bytes as they arrive and tells frames from what stands between them (boot text, noise). Comes into step again
 * after lost bytes, as an empty frame is none: two delimiters in a row begin one.
 */
export class SlipReader {
  private parts: Uint8Array[] | null = null;
  private length = 0;

  constructor(private readonly to: { frame(packet: Uint8Array): void; stray(bytes: Uint8Array): void }) {}

  push(bytes: Uint8Array): void {
    let from = 0;
    while (from < bytes.length) {
      const delimiter = bytes.indexOf(END, from);
      const piece = bytes.subarray(from, delimiter < 0 ? bytes.length : delimiter);
      if (this.parts === null) {
        if (piece.length > 0) this.to.stray(piece);
      } else if (piece.length > 0) this.collect(piece);
      if (delimiter < 0) return;
      if (this.parts === null) this.parts = [];
      else if (this.length > 0) this.finish();
      from = delimiter + 1;
    }
  }

  /** What has arrived of a frame without its end; empty when none has begun. */
  get partial(): Uint8Array {
    return Buffer.concat(this.parts ?? []);
  }

  reset(): void {
    this.parts = null;
    this.length = 0;
  }

  private collect(piece: Uint8Array): void {
    this.parts?.push(piece.slice());
    this.length += piece.length;
    if (this.length <= longestFrame) return;
    this.to.stray(this.partial);
    this.reset();
  }

  private finish(): void {
    const raw = this.partial;
    this.reset();
    const packet = unescaped(raw);
    if (packet) this.to.frame(packet);
    else this.to.stray(raw);
  }
}

/** Null for an escape that is none: bytes were lost or changed. */
function unescaped(raw: Uint8Array): Uint8Array | null {
  if (!raw.includes(ESC)) return raw;
  const packet = new Uint8Array(raw.length);
  let length = 0;
  for (let i = 0; i < raw.length; i++) {
    let byte = raw[i] as number;
    if (byte === ESC) {
      const next = raw[++i];
      if (next === ESC_END) byte = END;
      else if (next === ESC_ESC) byte = ESC;
      else return null;
    }
    packet[length++] = byte;
  }
  return packet.subarray(0, length);
}

/** The packet types that a lane looks at: the high four bits of the first byte (MQTT 5, table 2-1). */
export const packetType = {
  connack: 2,
  publish: 3,
  puback: 4,
  pubrec: 5,
  pubrel: 6,
  pubcomp: 7,
  disconnect: 14,
} as const;

/**
 * Cuts what a connection brings into packets, without copying those that came whole. After `next()` said true, the packet is
 * `buffer[from .. to)` after its header, whose first byte is `head`.
 */
export class Frames {
  buffer: Buffer = Buffer.alloc(0);
  head = 0;
  from = 0;
  to = 0;
  /** Where the packet's first byte is. */
  start = 0;
  private at = 0;
  private waiting: Buffer[] = [];
  private waitingBytes = 0;
  private wanted = 0;

  push(chunk: Buffer): void {
    this.waiting.push(chunk);
    this.waitingBytes += chunk.length;
  }

  /** @throws RangeError when a length is none (MQTT 5, section 1.5.5: at most four bytes) */
  next(): boolean {
    for (;;) {
      if (this.parse()) return true;
      if (this.waitingBytes === 0 || this.buffer.length - this.at + this.waitingBytes < this.wanted)
        return false;
      // A packet of many chunks is put together once, when its last one is there.
      const rest = this.at < this.buffer.length ? [this.buffer.subarray(this.at)] : [];
      const [only, ...others] = [...rest, ...this.waiting];
      this.buffer = others.length === 0 ? only! : Buffer.concat([only!, ...others]);
      this.at = 0;
      this.waiting = [];
      this.waitingBytes = 0;
    }
  }

  /** Makes the packet that `next` gave the next one again. */
  unread(): void {
    this.at = this.start;
  }

  private parse(): boolean {
    const { buffer, at } = this;
    const end = buffer.length;
    let length = 0;
    let shift = 0;
    let position = at + 1;
    this.wanted = end - at + 1;
    for (;;) {
      if (position >= end) return false;
      const byte = buffer[position++]!;
      length |= (byte & 0x7f) << shift;
      if (byte < 0x80) break;
      shift += 7;
      if (shift > 21) throw new RangeError('a packet with a length of more than four bytes');
    }
    if (position + length > end) {
      this.wanted = position - at + length;
      return false;
    }
    this.head = buffer[at]!;
    this.start = at;
    this.from = position;
    this.to = position + length;
    this.at = this.to;
    return true;
  }
}

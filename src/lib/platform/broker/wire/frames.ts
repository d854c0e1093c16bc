import { ProtocolError } from './packets.js';

/** What came of packets that are not whole yet. Small, for each idle connection has one. */
export class Frames {
  private parts: Buffer[] | null = null;
  private have = 0;
  private need = 0;

  /** @param first the first byte that may come: of something else, such as HTTP's "GET ", the end of a packet is not waited for */
  constructor(private first?: number) {}

  /**
   * Hands over each whole packet as its first byte and `bytes[from .. to)` behind its header. `take` says whether to go on;
   * what is left then waits for the next call. @throws ProtocolError for a length above `largest`, or that is none, or another `first` byte
   */
  push(
    chunk: Buffer | null,
    largest: number,
    take: (head: number, bytes: Buffer, from: number, to: number) => boolean,
  ): void {
    if (chunk !== null) {
      if (this.first !== undefined && chunk.length > 0) {
        if (chunk[0] !== this.first) throw new ProtocolError('the first packet is no CONNECT');
        this.first = undefined;
      }
      this.have += chunk.length;
      if (this.parts === null) this.parts = [chunk];
      else this.parts.push(chunk);
      // Who sends byte by byte is not to have a buffer for each.
      if (this.parts.length > 32 + (this.have >>> 12)) this.parts = [Buffer.concat(this.parts)];
    }
    if (this.parts === null || this.have < this.need) return;
    const bytes = this.parts.length === 1 ? this.parts[0]! : Buffer.concat(this.parts);
    const end = bytes.length;
    let at = 0;
    let goOn = true;
    this.need = 0;
    while (goOn && at < end) {
      let length = 0;
      let position = at + 1;
      let shift = 0;
      let byte = 0x80;
      // MQTT 3.1.1, 2.2.3: seven bits a byte, the lowest first, at most four bytes.
      while (position < end && byte >= 0x80) {
        byte = bytes[position++]!;
        length |= (byte & 0x7f) << shift;
        shift += 7;
        if (byte >= 0x80 && shift === 28) throw new ProtocolError('a length of more than four bytes');
      }
      if (byte >= 0x80) break;
      if (length > largest) throw new ProtocolError('a packet is too long');
      if (position + length > end) {
        this.need = position - at + length;
        break;
      }
      const head = bytes[at]!;
      at = position + length;
      goOn = take(head, bytes, position, at);
    }
    this.have = end - at;
    this.parts = at === end ? null : [at === 0 ? bytes : bytes.subarray(at)];
  }
}

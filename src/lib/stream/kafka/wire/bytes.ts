/** Writes Kafka's primitive types (protocol guide, "Protocol Primitive Types"), big-endian, into a growing buffer. */
export class ByteWriter {
  buf: Buffer;
  at = 0;

  constructor(size = 1024) {
    this.buf = Buffer.allocUnsafe(size);
  }

  /** The bytes written so far. Because of this name, kafkajs treats the object as one of its own encoders. */
  get buffer(): Buffer {
    return this.buf.subarray(0, this.at);
  }

  room(bytes: number): void {
    if (this.at + bytes <= this.buf.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.buf.length * 2, this.at + bytes));
    this.buf.copy(larger, 0, 0, this.at);
    this.buf = larger;
  }

  int8(value: number): this {
    this.room(1);
    this.at = this.buf.writeInt8(value, this.at);
    return this;
  }

  int16(value: number): this {
    this.room(2);
    this.at = this.buf.writeInt16BE(value, this.at);
    return this;
  }

  int32(value: number): this {
    this.room(4);
    this.at = this.buf.writeInt32BE(value, this.at);
    return this;
  }

  /** Writes an integer of up to 2^53. */
  int64(value: number): this {
    this.room(8);
    this.buf.writeInt32BE(Math.floor(value / 2 ** 32), this.at);
    this.buf.writeUInt32BE(((value % 2 ** 32) + 2 ** 32) % 2 ** 32, this.at + 4);
    this.at += 8;
    return this;
  }

  bigint64(value: bigint): this {
    this.room(8);
    this.at = this.buf.writeBigInt64BE(value, this.at);
    return this;
  }

  string(text: string | null): this {
    if (text === null) return this.int16(-1);
    const length = Buffer.byteLength(text);
    this.int16(length).room(length);
    this.at += this.buf.write(text, this.at);
    return this;
  }

  raw(bytes: Uint8Array): this {
    this.room(bytes.length);
    this.buf.set(bytes, this.at);
    this.at += bytes.length;
    return this;
  }

  /** Writes an integer of up to 2^53, zigzag-encoded. */
  varint(value: number): this {
    this.room(10);
    let rest = value < 0 ? -2 * value - 1 : 2 * value;
    while (rest > 0x7f) {
      this.buf[this.at++] = (rest % 128) | 0x80;
      rest = Math.floor(rest / 128);
    }
    this.buf[this.at++] = rest;
    return this;
  }

  /** Writes the length as a varint, followed by the bytes; null = length −1. */
  varBytes(bytes: Uint8Array | null): this {
    return bytes === null ? this.varint(-1) : this.varint(bytes.length).raw(bytes);
  }
}

/** Reads the types that `ByteWriter` writes. @throws RangeError when reading past the end */
export class ByteReader {
  at = 0;

  constructor(readonly buf: Buffer) {}

  get left(): number {
    return this.buf.length - this.at;
  }

  int8(): number {
    return this.buf.readInt8(this.at++);
  }

  int16(): number {
    this.at += 2;
    return this.buf.readInt16BE(this.at - 2);
  }

  int32(): number {
    this.at += 4;
    return this.buf.readInt32BE(this.at - 4);
  }

  /** Reads an integer, exact up to 2^53: an offset or a time. */
  int64(): number {
    const high = this.int32();
    this.at += 4;
    return high * 2 ** 32 + this.buf.readUInt32BE(this.at - 4);
  }

  bigint64(): bigint {
    this.at += 8;
    return this.buf.readBigInt64BE(this.at - 8);
  }

  string(): string {
    const length = this.int16();
    return length < 0 ? '' : this.raw(length).toString();
  }

  raw(length: number): Buffer {
    if (length > this.left) throw new RangeError(`expected ${length} bytes, got ${this.left}`);
    this.at += length;
    return this.buf.subarray(this.at - length, this.at);
  }

  /** Reads a zigzag-encoded integer of up to 64 bits, exact up to 2^53. */
  varint(): number {
    const { buf } = this;
    let byte = buf[this.at++];
    if (byte === undefined) throw new RangeError('the data ends in the middle of a number');
    if (byte < 0x80) return (byte >>> 1) ^ -(byte & 1);
    let value = byte & 0x7f;
    let scale = 128;
    do {
      byte = buf[this.at++];
      if (byte === undefined || scale > 2 ** 63) throw new RangeError('a number is not terminated');
      value += (byte & 0x7f) * scale;
      scale *= 128;
    } while (byte >= 0x80);
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }

  varBytes(): Buffer | null {
    const length = this.varint();
    return length < 0 ? null : this.raw(length);
  }

  array<T>(read: (reader: ByteReader) => T): T[] {
    const length = this.int32();
    return Array.from({ length: Math.max(0, length) }, () => read(this));
  }
}

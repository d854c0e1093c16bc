import { ByteBuffer } from 'flatbuffers';
import { malformed } from './errors.js';

/** A FlatBuffers file in which every access is checked against its end: counts and offsets in it are never trusted. */
export class CheckedBuffer {
  readonly data: ByteBuffer;
  /** Bytes of vectors that may still be read. A file can point to one vector from everywhere and so ask for terabytes. */
  #budget: number;

  constructor(readonly bytes: Uint8Array) {
    this.data = new ByteBuffer(bytes);
    this.#budget = 4 * bytes.length;
  }

  spend(at: number, size: number): void {
    this.#budget -= size;
    if (this.#budget < 0) throw malformed(`byte ${at}`, 'the file refers to the same data too often');
  }

  /** Throws unless `size` bytes from `at` lie inside the file. */
  need(at: number, size: number, what: string): void {
    if (at < 0 || at + size > this.bytes.length) {
      const end = this.bytes.length;
      throw malformed(
        `byte ${at}`,
        `the file ends too early: it has ${end} bytes, and ${what} would go on to byte ${at + size}; was it cut off?`,
      );
    }
  }

  /** Where the offset stored at `at` points to. */
  follow(at: number, what: string): number {
    this.need(at, 4, `offset of ${what}`);
    const target = at + this.data.readUint32(at);
    if (target === at) throw malformed(`byte ${at}`, `offset of ${what} is 0`);
    return target;
  }

  /** The file's root table. */
  root(what: string): Table {
    return new Table(this, this.follow(0, what), what);
  }
}

/** One table: fields by slot, with the schema's default where a field is absent. */
export class Table {
  readonly #vtable: number;
  readonly #vtableBytes: number;
  readonly #inlineBytes: number;

  /** `at` = where the table starts; `what` = its name in messages. */
  constructor(
    readonly file: CheckedBuffer,
    readonly at: number,
    readonly what: string,
  ) {
    file.need(at, 4, what);
    this.#vtable = at - file.data.readInt32(at);
    if (this.#vtable < 0) throw malformed(`byte ${at}`, `the vtable of ${what} lies before the file`);
    file.need(this.#vtable, 4, `vtable of ${what}`);
    this.#vtableBytes = file.data.readUint16(this.#vtable);
    this.#inlineBytes = file.data.readUint16(this.#vtable + 2);
    file.need(this.#vtable, this.#vtableBytes, `vtable of ${what}`);
    file.need(at, this.#inlineBytes, what);
  }

  /** Position of a field of `size` bytes, or 0 when it is absent. */
  #field(slot: number, size: number): number {
    const entry = 4 + 2 * slot;
    if (entry + 2 > this.#vtableBytes) return 0;
    const distance = this.file.data.readUint16(this.#vtable + entry);
    if (distance === 0) return 0;
    if (distance < 4 || distance + size > this.#inlineBytes)
      throw malformed(`byte ${this.at + distance}`, `field ${slot} of ${this.what} lies outside its table`);
    return this.at + distance;
  }

  has(slot: number): boolean {
    return this.#field(slot, 1) !== 0;
  }
  int8(slot: number, absent: number): number {
    const at = this.#field(slot, 1);
    return at === 0 ? absent : this.file.data.readInt8(at);
  }
  uint8(slot: number, absent: number): number {
    const at = this.#field(slot, 1);
    return at === 0 ? absent : this.file.data.readUint8(at);
  }
  int32(slot: number, absent: number): number {
    const at = this.#field(slot, 4);
    return at === 0 ? absent : this.file.data.readInt32(at);
  }
  uint32(slot: number, absent: number): number {
    const at = this.#field(slot, 4);
    return at === 0 ? absent : this.file.data.readUint32(at);
  }
  uint64(slot: number, absent: bigint): bigint {
    const at = this.#field(slot, 8);
    return at === 0 ? absent : this.file.data.readUint64(at);
  }
  float32(slot: number, absent: number): number {
    const at = this.#field(slot, 4);
    return at === 0 ? absent : this.file.data.readFloat32(at);
  }

  /** A table that the field points to, or undefined. */
  table(slot: number, what: string): Table | undefined {
    const at = this.#field(slot, 4);
    return at === 0 ? undefined : new Table(this.file, this.file.follow(at, what), what);
  }

  /** Start and count of a vector's elements of `size` bytes, all inside the file; count 0 when the field is absent. */
  #vector(slot: number, size: number): { start: number; count: number } {
    const at = this.#field(slot, 4);
    if (at === 0) return { start: 0, count: 0 };
    const what = `vector ${slot} of ${this.what}`;
    const vector = this.file.follow(at, what);
    this.file.need(vector, 4, what);
    const count = this.file.data.readUint32(vector);
    this.file.need(vector + 4, count * size, `${what} with ${count} elements`);
    this.file.spend(vector, count * size);
    return { start: vector + 4, count };
  }

  #list<T>(slot: number, size: number, element: (at: number, index: number) => T): T[] {
    const { start, count } = this.#vector(slot, size);
    return Array.from({ length: count }, (_, index) => element(start + index * size, index));
  }

  int32s(slot: number): number[] {
    return this.#list(slot, 4, (at) => this.file.data.readInt32(at));
  }
  int64s(slot: number): bigint[] {
    return this.#list(slot, 8, (at) => this.file.data.readInt64(at));
  }
  float32s(slot: number): number[] {
    return this.#list(slot, 4, (at) => this.file.data.readFloat32(at));
  }
  /** The bytes themselves, not a copy. */
  bytes(slot: number): Uint8Array {
    const { start, count } = this.#vector(slot, 1);
    return this.file.bytes.subarray(start, start + count);
  }
  text(slot: number): string {
    return new TextDecoder('utf-8', { ignoreBOM: true }).decode(this.bytes(slot));
  }
  tables(slot: number, what: string): Table[] {
    return this.#list(slot, 4, (at, index) => {
      const name = `${what} ${index}`;
      return new Table(this.file, this.file.follow(at, name), name);
    });
  }
}

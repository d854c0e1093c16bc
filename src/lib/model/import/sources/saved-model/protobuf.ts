import { malformed } from '../../errors.js';

/**
 * One message of Protocol Buffers, by field number (protobuf.dev, "Encoding"). Without a schema: whoever reads a field knows its type.
 */
export class Message {
  private readonly fields = new Map<number, (Uint8Array | bigint)[]>();

  /** @throws AIOT_FILE_MALFORMED with the byte */
  constructor(bytes: Uint8Array) {
    let at = 0;
    const varint = (): bigint => {
      let value = 0n;
      for (let shift = 0n; shift < 70n; shift += 7n) {
        const byte = bytes[at++];
        if (byte === undefined) break;
        value |= BigInt(byte & 0x7f) << shift;
        if (byte < 0x80) return BigInt.asIntN(64, value);
      }
      throw malformed(`byte ${at} of a message: a number does not end`);
    };
    while (at < bytes.length) {
      const tag = Number(varint());
      const wire = tag & 7;
      let value: Uint8Array | bigint;
      if (wire === 0) value = varint();
      else {
        const length = wire === 2 ? Number(varint()) : wire === 5 ? 4 : wire === 1 ? 8 : -1;
        if (length < 0 || at + length > bytes.length)
          throw malformed(`byte ${at} of a message: field ${tag >> 3} does not fit into it`);
        value = bytes.subarray(at, at + length);
        at += length;
      }
      const field = tag >> 3;
      const values = this.fields.get(field);
      if (values) values.push(value);
      else this.fields.set(field, [value]);
    }
  }

  has(field: number): boolean {
    return this.fields.has(field);
  }

  bytes(field: number): Uint8Array[] {
    return (this.fields.get(field) ?? []).filter((value) => value instanceof Uint8Array);
  }

  messages(field: number): Message[] {
    return this.bytes(field).map((bytes) => new Message(bytes));
  }

  message(field: number): Message | undefined {
    return this.messages(field)[0];
  }

  texts(field: number): string[] {
    return this.bytes(field).map((bytes) => new TextDecoder().decode(bytes));
  }

  text(field: number): string {
    return this.texts(field).at(-1) ?? '';
  }

  /** Whole numbers, packed or one by one. */
  integers(field: number): number[] {
    return (this.fields.get(field) ?? []).flatMap((value) =>
      value instanceof Uint8Array ? packed(value) : [Number(value)],
    );
  }

  integer(field: number): number {
    return this.integers(field).at(-1) ?? 0;
  }

  /** Single precision, packed or one by one. */
  floats(field: number): number[] {
    return this.bytes(field).flatMap((bytes) => {
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      return Array.from({ length: bytes.length >> 2 }, (_, i) => view.getFloat32(i * 4, true));
    });
  }

  /** A map field: entries of key (1) and value (2). */
  map(field: number): Map<string, Message> {
    return new Map(
      this.messages(field).map((entry) => [entry.text(1), entry.message(2) ?? new Message(new Uint8Array())]),
    );
  }

  /** A map field of texts. */
  textMap(field: number): Map<string, string> {
    return new Map(this.messages(field).map((entry) => [entry.text(1), entry.text(2)]));
  }
}

function packed(bytes: Uint8Array): number[] {
  const values: number[] = [];
  let [value, shift] = [0n, 0n];
  for (const byte of bytes) {
    value |= BigInt(byte & 0x7f) << shift;
    shift += 7n;
    if (byte >= 0x80) continue;
    values.push(Number(BigInt.asIntN(64, value)));
    [value, shift] = [0n, 0n];
  }
  return values;
}

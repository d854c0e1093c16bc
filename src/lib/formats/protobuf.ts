/** Protocol Buffers wire types (protobuf.dev, "Encoding"). A message is encoded as the sequence of its fields. */
const [varintType, fixed64Type, lengthType, fixed32Type] = [0, 1, 2, 5];

/** Encodes the fields of one message. */
export function message(...fields: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(fields));
}

/** A whole number or an enum. A negative number takes ten bytes, as int32 and int64 require. */
export function integer(field: number, value: number): Uint8Array {
  return message(tag(field, varintType), varint(value));
}

/** A single-precision number. */
export function float(field: number, value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setFloat32(0, value, true);
  return message(tag(field, fixed32Type), bytes);
}

/** A field of bytes, or a nested message. */
export function bytes(field: number, content: Uint8Array): Uint8Array {
  return message(tag(field, lengthType), varint(content.length), content);
}

export function text(field: number, content: string): Uint8Array {
  return bytes(field, new TextEncoder().encode(content));
}

/** A packed list of whole numbers. */
export function integers(field: number, values: readonly number[]): Uint8Array {
  return bytes(field, message(...values.map(varint)));
}

/** A map from names to messages. */
export function entries(field: number, values: Readonly<Record<string, Uint8Array>>): Uint8Array {
  return message(
    ...Object.entries(values).map(([key, value]) => bytes(field, message(text(1, key), bytes(2, value)))),
  );
}

function tag(field: number, wireType: number): Uint8Array {
  return varint(field * 8 + wireType);
}

function varint(value: number): Uint8Array {
  const digits: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  for (; rest > 0x7fn; rest >>= 7n) digits.push(Number(rest & 0x7fn) | 0x80);
  return Uint8Array.of(...digits, Number(rest));
}

/** The fields of one message. */
export class ProtobufFields {
  private readonly numbers = new Map<number, bigint>();
  private readonly contents = new Map<number, Uint8Array[]>();

  /** @throws RangeError if the bytes are not a message */
  constructor(encoded: Uint8Array) {
    let at = 0;
    const next = (): bigint => {
      let value = 0n;
      for (let shift = 0n; shift < 70n; shift += 7n) {
        const digit = encoded[at++];
        if (digit === undefined) break;
        value |= BigInt(digit & 0x7f) << shift;
        if (digit < 0x80) return BigInt.asUintN(64, value);
      }
      throw new RangeError('a number is cut off');
    };
    const take = (count: number): Uint8Array => {
      if (count > encoded.length - at) throw new RangeError('a field is cut off');
      at += count;
      return encoded.subarray(at - count, at);
    };
    while (at < encoded.length) {
      const key = Number(next());
      const [field, wireType] = [Math.floor(key / 8), key % 8];
      if (field === 0) throw new RangeError('the field number is 0');
      if (wireType === varintType) this.numbers.set(field, next());
      else if (wireType === fixed64Type) take(8);
      else if (wireType === fixed32Type) take(4);
      else if (wireType === lengthType) this.add(field, take(Number(next())));
      else throw new RangeError(`unknown wire type ${wireType}`);
    }
  }

  private add(field: number, content: Uint8Array): void {
    const known = this.contents.get(field);
    if (known) known.push(content);
    else this.contents.set(field, [content]);
  }

  /** A number of type int32, uint32, bool or enum; 0 if the field is absent. */
  integer(field: number): number {
    return Number(BigInt.asIntN(64, this.numbers.get(field) ?? 0n));
  }

  /** The last value of a field of bytes; empty if the field is absent. */
  bytes(field: number): Uint8Array {
    return this.contents.get(field)?.at(-1) ?? new Uint8Array();
  }

  text(field: number): string {
    return new TextDecoder().decode(this.bytes(field));
  }

  has(field: number): boolean {
    return this.contents.has(field) || this.numbers.has(field);
  }

  /** @throws RangeError */
  message(field: number): ProtobufFields {
    return new ProtobufFields(this.bytes(field));
  }

  /** All messages of a repeated field. @throws RangeError */
  messages(field: number): ProtobufFields[] {
    return (this.contents.get(field) ?? []).map((content) => new ProtobufFields(content));
  }
}

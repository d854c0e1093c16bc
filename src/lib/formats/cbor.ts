/** Limits on the cost of decoding a payload. */
interface CborLimits {
  /** Maximum nesting of arrays and maps. */
  depth: number;
  /** Maximum number of items: all values, including arrays and maps, and all keys. */
  items: number;
}

export const cborLimits: CborLimits = { depth: 16, items: 1_000_000 };

/**
 * Decodes one item of CBOR (RFC 8949), restricted to JSON's values: maps with text keys, arrays, texts, finite numbers, true, false and
 * null. Byte strings, texts in chunks, tags, undefined, NaN, infinities, duplicate keys, integers with a magnitude of 2⁵³ − 1 or more,
 * and trailing bytes are rejected. A length is used only if that many bytes are present, so the cost of decoding is proportional to the
 * payload's size.
 * @throws CborError
 */
export function decodeCbor(bytes: Uint8Array, limits: CborLimits = cborLimits): unknown {
  const reader = new CborReader(bytes, limits.items);
  const value = readItem(reader, limits.depth);
  if (reader.left > 0) throw new CborError(`expected the end at byte ${reader.at}, got ${reader.left} more`);
  return value;
}

function readItem(reader: CborReader, depth: number): unknown {
  const { at } = reader;
  const { major, info } = reader.head();
  switch (major) {
    case 0:
      return reader.length(info, at, 'an integer');
    case 1:
      return -1 - reader.length(info, at, 'an integer');
    case 3:
      return reader.text(reader.length(info, at, 'a text'), at);
    case 4:
      return readArray(reader, reader.count(info, 1, at), inner(depth, at));
    case 5:
      return readMap(reader, reader.count(info, 2, at), inner(depth, at));
    case 7:
      return readSimple(reader, info, at);
    default:
      throw new CborError(
        `expected a JSON-compatible value at byte ${at}, got ${major === 2 ? 'a byte string' : 'a tag'}`,
      );
  }
}

function readArray(reader: CborReader, count: number | null, depth: number): unknown[] {
  const values: unknown[] = [];
  while (reader.more(count, values.length)) values.push(readItem(reader, depth));
  return values;
}

function readMap(reader: CborReader, count: number | null, depth: number): Record<string, unknown> {
  const members = new Map<string, unknown>();
  while (reader.more(count, members.size)) {
    const { at } = reader;
    const { major, info } = reader.head();
    if (major !== 3) throw new CborError(`expected a text key at byte ${at}`);
    const key = reader.text(reader.length(info, at, 'a text'), at);
    if (members.has(key)) throw new CborError(`expected unique keys, got "${key}" again at byte ${at}`);
    members.set(key, readItem(reader, depth));
  }
  // As in JSON.parse: `__proto__` is an ordinary member.
  return Object.fromEntries(members);
}

function readSimple(reader: CborReader, info: number, at: number): unknown {
  if (info === 20) return false;
  if (info === 21) return true;
  if (info === 22) return null;
  const value = reader.float(info);
  if (value === null) throw new CborError(`expected true, false, null or a number at byte ${at}`);
  if (Number.isFinite(value)) return value;
  throw new CborError(`expected a finite number at byte ${at}, got ${value}`);
}

function inner(depth: number, at: number): number {
  if (depth > 0) return depth - 1;
  throw new CborError(`arrays and maps are nested too deeply at byte ${at}`);
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** Reads heads, lengths, texts and floats of CBOR (RFC 8949, section 3), each checked against the available bytes. */
class CborReader {
  at = 0;
  private items = 0;
  private readonly view: DataView;

  constructor(
    private readonly bytes: Uint8Array,
    private readonly mostItems: number,
  ) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get left(): number {
    return this.bytes.length - this.at;
  }

  /** Reads the first byte of an item, which contains the major type and additional information. */
  head(): { major: number; info: number } {
    if (++this.items > this.mostItems) throw new CborError(`expected at most ${this.mostItems} items`);
    const first = this.view.getUint8(this.take(1));
    return { major: first >> 5, info: first & 31 };
  }

  /** Reads the argument of a head, which is a length or an integer. */
  length(info: number, at: number, what: string): number {
    if (info < 24) return info;
    if (info === 24) return this.view.getUint8(this.take(1));
    if (info === 25) return this.view.getUint16(this.take(2));
    if (info === 26) return this.view.getUint32(this.take(4));
    if (info === 27) {
      const value = this.view.getBigUint64(this.take(8));
      if (value < BigInt(Number.MAX_SAFE_INTEGER)) return Number(value);
      throw new CborError(`expected ${what} below 2^53 at byte ${at}, got ${value}`);
    }
    throw new CborError(
      `expected a definite length at byte ${at}, got ${info === 31 ? 'an indefinite one' : info}`,
    );
  }

  /** Whether another of `count` items follows. If `count` is null, items follow until a break, which is consumed. */
  more(count: number | null, read: number): boolean {
    if (count !== null) return read < count;
    if (this.left === 0 || this.bytes[this.at] !== 0xff) return true;
    this.at++;
    return false;
  }

  /** Reads the number of items that follow, each of which takes at least `each` bytes; null = until a break. */
  count(info: number, each: number, at: number): number | null {
    if (info === 31) return null;
    const count = this.length(info, at, 'a length');
    if (count * each <= this.left) return count;
    throw new CborError(`expected ${count} items after byte ${at}, got ${this.left} bytes`);
  }

  text(length: number, at: number): string {
    const from = this.take(length);
    try {
      return utf8.decode(this.bytes.subarray(from, from + length));
    } catch {
      throw new CborError(`expected UTF-8 after byte ${at}`);
    }
  }

  /** Reads a float of 16, 32 or 64 bits; returns null for anything else. */
  float(info: number): number | null {
    if (info === 25) return half(this.view.getUint16(this.take(2)));
    if (info === 26) return this.view.getFloat32(this.take(4));
    if (info === 27) return this.view.getFloat64(this.take(8));
    return null;
  }

  private take(bytes: number): number {
    const from = this.at;
    if (bytes > this.left) throw new CborError(`expected ${bytes} bytes at byte ${from}, got ${this.left}`);
    this.at += bytes;
    return from;
  }
}

/** Converts IEEE 754 binary16 to a number (RFC 8949, appendix D). */
function half(bits: number): number {
  const exponent = (bits >> 10) & 31;
  const mantissa = bits & 1023;
  const sign = bits & 0x8000 ? -1 : 1;
  if (exponent === 0) return sign * mantissa * 2 ** -24;
  if (exponent < 31) return sign * (mantissa + 1024) * 2 ** (exponent - 25);
  return mantissa === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
}

/** Thrown for bytes that are not CBOR, or that JSON cannot express. The message contains the position. */
export class CborError extends Error {}

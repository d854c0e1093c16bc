import type { Type, types } from 'avsc';
import { AiotError } from '../../core/errors.js';
import { readText } from '../../core/files.js';
import { type DecoderOptions, plain, undecoded } from './values.js';

/** Avro's single-object encoding: two bytes, then the schema's fingerprint. Specification 1.11, "Single-object encoding". */
const singleObject = Buffer.from([0xc3, 0x01]);

const singleObjectHeader = 10;

/** Confluent's wire format: a zero byte, then the schema's ID in the registry (4 bytes). */
const confluentHeader = 5;

/**
 * Avro's binary encoding with an .avsc schema: one value per payload, bare, in single-object encoding, or with Confluent's
 * five-byte prefix.
 * @throws AIOT_USAGE, AIOT_FILE_NOT_FOUND, AIOT_FILE_MALFORMED
 */
export async function avroDecoder({ schema }: DecoderOptions): Promise<(bytes: Buffer) => unknown> {
  if (schema === undefined) throw new AiotError('AIOT_USAGE', '--decode avro needs --schema FILE.avsc');
  const text = await readText(schema);
  const { default: avro } = await import('avsc');
  // Decodes 64-bit integers exactly. The library's own long type is a JavaScript number, and rejects values beyond 2^53.
  const long = avro.types.LongType.__with({
    fromBuffer: (buffer: Buffer) => buffer.readBigInt64LE(),
    toBuffer: (value: bigint) => {
      const buffer = Buffer.alloc(8);
      buffer.writeBigInt64LE(value);
      return buffer;
    },
    fromJSON: BigInt,
    toJSON: Number,
    isValid: (value: unknown) => typeof value === 'bigint',
    compare: (one: bigint, other: bigint) => Number(one > other) - Number(one < other),
  });
  const type = typeOf(() => avro.Type.forSchema(JSON.parse(text), { registry: { long } }), schema);
  const read = (bytes: Buffer) => {
    requireItems(type, bytes);
    return plain(type.fromBuffer(bytes));
  };
  return (bytes) => {
    try {
      return read(bytes.subarray(0, 2).equals(singleObject) ? bytes.subarray(singleObjectHeader) : bytes);
    } catch (error) {
      if (bytes[0] === 0 && bytes.length > confluentHeader) {
        try {
          return read(bytes.subarray(confluentHeader));
        } catch {
          // The caller reports the error for the whole payload instead.
        }
      }
      throw undecoded('Avro with this schema', error instanceof Error ? error.message : String(error), error);
    }
  };
}

function typeOf<T>(make: () => T, schema: string): T {
  try {
    return make();
  } catch (error) {
    throw new AiotError(
      'AIOT_FILE_MALFORMED',
      `${schema}: ${error instanceof Error ? error.message : String(error)}`,
      {
        cause: error,
      },
    );
  }
}

/**
 * Allowance for items that take no bytes, such as nulls: arrays and maps may contain this many more items than the
 * payload has bytes.
 */
const mostEmpty = 65_536;

/** A payload, and the read position in it. */
interface Reading {
  readonly bytes: Buffer;
  at: number;
  /** Number of items still allowed. */
  items: number;
}

type Skip = (reading: Reading) => void;

const skips = new WeakMap<Type, Skip>();

/**
 * Verifies, before a payload is decoded, that its arrays and maps contain as many items as they claim. Otherwise, avsc would allocate memory
 * for the claimed number, which ten bytes can make enormous. Avro specification 1.11, "Binary encoding".
 * @throws Error
 */
export function requireItems(type: Type, bytes: Buffer): void {
  skipOf(type)({ bytes, at: 0, items: bytes.length + mostEmpty });
}

/** Functions that skip a value, by type. The cache also makes recursive types possible. */
function skipOf(type: Type): Skip {
  let skip = skips.get(type);
  if (skip === undefined) {
    let made: Skip | undefined;
    skip = (reading) => {
      made ??= skipFor(type);
      made(reading);
    };
    skips.set(type, skip);
  }
  return skip;
}

function skipFor(type: Type): Skip {
  switch (type.typeName) {
    case 'null':
      return () => {};
    case 'boolean':
      return (reading) => over(reading, 1);
    case 'int':
    case 'long':
    case 'enum':
    // The 64-bit type defined above.
    case 'abstract:long':
      return (reading) => void long(reading);
    case 'float':
      return (reading) => over(reading, 4);
    case 'double':
      return (reading) => over(reading, 8);
    case 'bytes':
    case 'string':
      return (reading) => over(reading, long(reading));
    case 'fixed': {
      const { size } = type as types.FixedType;
      return (reading) => over(reading, size);
    }
    case 'array':
      return blocks(skipOf((type as types.ArrayType).itemsType));
    case 'map': {
      const value = skipOf((type as types.MapType).valuesType);
      return blocks((reading) => {
        over(reading, long(reading));
        value(reading);
      });
    }
    case 'record':
    case 'error': {
      const fields = (type as types.RecordType).fields.map((field) => skipOf(field.type));
      return (reading) => {
        for (const field of fields) field(reading);
      };
    }
    default: {
      // Unions are the only remaining kind of type.
      const branches = (type as types.UnwrappedUnionType).types.map(skipOf);
      return (reading) => {
        const branch = branches[long(reading)];
        if (!branch) throw new Error('a branch that the union does not have');
        branch(reading);
      };
    }
  }
}

/**
 * Skips blocks of items. Each starts with its item count, followed by the block's size in bytes if the count is negative; an empty block
 * ends the sequence.
 */
function blocks(item: Skip): Skip {
  return (reading) => {
    for (let count = long(reading); count !== 0; count = long(reading)) {
      if (count < 0) long(reading);
      for (let left = Math.abs(count); left > 0; left--) {
        reading.items--;
        if (reading.items < 0) throw new Error('the item count exceeds the data');
        item(reading);
      }
    }
  };
}

function over(reading: Reading, bytes: number): void {
  reading.at += bytes;
  if (bytes < 0 || reading.at > reading.bytes.length) throw new Error('the data ends too early');
}

/** Reads a zigzag number of up to ten bytes, exact below 2^53, which is more than any accepted count. */
function long(reading: Reading): number {
  let [value, unit] = [0, 1];
  for (let more = true; more; unit *= 128) {
    const byte = reading.bytes[reading.at] ?? 0;
    over(reading, 1);
    value += (byte & 127) * unit;
    more = byte > 127 && unit < 2 ** 63;
  }
  return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
}

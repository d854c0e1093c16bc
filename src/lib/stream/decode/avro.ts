import { AiotError, readText } from '../../core/index.js';
import { requireItems } from './avro-items.js';
import { plain } from './plain.js';
import { undecoded } from './text.js';
import type { DecoderOptions } from './types.js';

/** Avro's single-object encoding: two bytes, then the schema's fingerprint. Specification 1.11, "Single-object encoding". */
const singleObject = Buffer.from([0xc3, 0x01]);
const singleObjectHeader = 10;
/** Confluent's wire format: a zero, then the schema's number in the registry, 4 bytes. */
const confluentHeader = 5;

/**
 * Avro's binary encoding by an .avsc file: one value a payload, bare, in single-object encoding, or with Confluent's five bytes before it.
 * @throws AIOT_USAGE, AIOT_FILE_NOT_FOUND, AIOT_FILE_MALFORMED
 */
export async function avroDecoder({ schema }: DecoderOptions): Promise<(bytes: Buffer) => unknown> {
  if (schema === undefined) throw new AiotError('AIOT_USAGE', '--decode avro needs --schema FILE.avsc');
  const text = await readText(schema);
  const { default: avro } = await import('avsc');
  // 64-bit numbers whole: the library's own are JavaScript's, and refuse those past 2^53.
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
          // What went wrong with the whole payload is told.
        }
      }
      throw undecoded('Avro of this schema', error instanceof Error ? error.message : String(error), error);
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

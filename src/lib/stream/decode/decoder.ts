import type { TagDecodeControl, TagDecoder } from 'cborg/interface';
import { AiotError } from '../../core/errors.js';
import { type PictureFacts, pictureFacts } from '../../vision/facts.js';
import type { Message } from '../message.js';
import {
  type Decoder,
  type DecoderName,
  type DecoderOptions,
  decodeAuto,
  decodeJson,
  lengthWithoutNuls,
  plain,
  undecoded,
} from './values.js';

/**
 * The decoder of that name, with its library and schema loaded.
 * `auto`: JSON, else text without its trailing NULs, else bytes. `text`: whatever it is, as UTF-8. `bytes`: a Buffer.
 * `image`: its format and size (ImageInfo). What the others give is as JSON could say it: see plain.ts.
 * @throws AIOT_USAGE (a schema is missing, or not wanted), AIOT_FILE_NOT_FOUND, AIOT_FILE_MALFORMED (the schema)
 */
export async function decoderFor(name: DecoderName = 'auto', options: DecoderOptions = {}): Promise<Decoder> {
  if (options.schema !== undefined && name !== 'protobuf' && name !== 'avro') {
    throw new AiotError('AIOT_USAGE', `a schema belongs to --decode protobuf or avro, got --decode ${name}`);
  }
  if (options.type !== undefined && name !== 'protobuf') {
    throw new AiotError('AIOT_USAGE', `a message type belongs to --decode protobuf, got --decode ${name}`);
  }
  return memoised(await decodeOf(name, options));
}

async function decodeOf(name: DecoderName, options: DecoderOptions): Promise<(bytes: Buffer) => unknown> {
  switch (name) {
    case 'auto':
      return decodeAuto;
    case 'json':
      return decodeJson;
    case 'text':
      return (bytes) => bytes.toString('utf8', 0, lengthWithoutNuls(bytes));
    case 'bytes':
      return (bytes) => bytes;
    case 'cbor':
      return cborDecoder();
    case 'msgpack':
      return msgpackDecoder();
    case 'protobuf':
      return (await import('./protobuf.js')).protobufDecoder(options);
    case 'avro':
      return (await import('./avro.js')).avroDecoder(options);
    case 'image':
      return decodeImage;
  }
}

/** Decodes once for all that ask about one message in a row: `where`, `map`, `key` and `topic`. */
function memoised(decode: (payload: Buffer, message: Message) => unknown): Decoder {
  let last: Message | undefined;
  let payload: Uint8Array | undefined;
  let value: unknown;
  return (message) => {
    if (message === last && message.payload === payload) return value;
    const bytes = message.payload;
    value = decode(
      Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength),
      message,
    );
    last = message;
    payload = bytes;
    return value;
  };
}

/** Unsigned and negative numbers of any size, as bytes. RFC 8949, section 3.4.3. */
const bignums: Record<number, TagDecoder> = {
  2: (decode) => bytesToNumber(decode()),
  3: (decode) => -1n - bytesToNumber(decode()),
};

/** CBOR (RFC 8949): one item a payload. A tag that has no meaning here leaves the value that it is about. */
async function cborDecoder(): Promise<(bytes: Buffer) => unknown> {
  const { decode } = await import('cborg');
  // cborg refuses tags that it is not told of; there are some hundred registered ones.
  const tags = new Proxy(bignums, {
    get: (known, tag) => known[Number(String(tag))] ?? ((content: TagDecodeControl) => content()),
  });
  return (bytes) => {
    try {
      // Maps, for keys may be numbers (SenML, COSE).
      return plain(decode(bytes, { useMaps: true, tags }));
    } catch (error) {
      throw undecoded(
        'CBOR',
        error instanceof Error ? error.message.replace(/^CBOR \w+ error: /, '') : '',
        error,
      );
    }
  };
}

function bytesToNumber(bytes: unknown): bigint {
  return BigInt(`0x${Buffer.from(bytes as Uint8Array).toString('hex') || '0'}`);
}

/** MessagePack: one value a payload. Extension types without a meaning here become `{type, data}`. */
async function msgpackDecoder(): Promise<(bytes: Buffer) => unknown> {
  const { Decoder } = await import('@msgpack/msgpack');
  const decoder = new Decoder({ useBigInt64: true, mapKeyConverter: (key) => String(key) });
  return (bytes) => {
    try {
      return plain(decoder.decode(bytes));
    } catch (error) {
      throw undecoded('MessagePack', error instanceof Error ? error.message : String(error), error);
    }
  };
}

interface ImageInfo extends PictureFacts {
  bytes: number;
}

/** What a picture is, by its header alone: nothing is decompressed. @throws AIOT_STREAM_DECODE */
export function decodeImage(bytes: Buffer): ImageInfo {
  const found = pictureFacts(bytes);
  if (found) return { ...found, bytes: bytes.length };
  throw undecoded('a picture', 'expected JPEG, PNG, GIF, WebP or BMP');
}

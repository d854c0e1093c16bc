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
 * Returns the decoder of this name, with its library and schema loaded. `auto`: JSON, or else text without trailing NULs, or else
 * bytes. `text`: any payload as UTF-8. `bytes`: a Buffer. `image`: its format and size (ImageInfo). All other decoders return
 * values that JSON can represent (`plain` in values.ts).
 * @throws AIOT_USAGE (a schema is missing, or not applicable), AIOT_FILE_NOT_FOUND, AIOT_FILE_MALFORMED (the schema)
 */
export async function decoderFor(name: DecoderName = 'auto', options: DecoderOptions = {}): Promise<Decoder> {
  if (options.schema !== undefined && name !== 'protobuf' && name !== 'avro') {
    throw new AiotError(
      'AIOT_USAGE',
      `a schema can only be used with --decode protobuf or avro, got --decode ${name}`,
    );
  }
  if (options.type !== undefined && name !== 'protobuf') {
    throw new AiotError(
      'AIOT_USAGE',
      `a message type can only be used with --decode protobuf, got --decode ${name}`,
    );
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

/** Caches the value decoded from the last message, because `where`, `map`, `key` and `topic` each decode the same message. */
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

/** Decoders for unsigned and negative numbers of any size, stored as bytes. RFC 8949, section 3.4.3. */
const bignums: Record<number, TagDecoder> = {
  2: (decode) => bytesToNumber(decode()),
  3: (decode) => -1n - bytesToNumber(decode()),
};

/** CBOR (RFC 8949): one item per payload. An unknown tag is replaced with the tagged value. */
async function cborDecoder(): Promise<(bytes: Buffer) => unknown> {
  const { decode } = await import('cborg');
  // cborg rejects every tag without a decoder, and hundreds of tags are registered.
  const tags = new Proxy(bignums, {
    get: (known, tag) => known[Number(String(tag))] ?? ((content: TagDecodeControl) => content()),
  });
  return (bytes) => {
    try {
      // Decodes maps to `Map`, because their keys may be numbers (SenML, COSE).
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

/** MessagePack: one value per payload. Unknown extension types become `{type, data}`. */
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

/** Properties of a picture, from its header alone, without decompression. @throws AIOT_STREAM_DECODE */
export function decodeImage(bytes: Buffer): ImageInfo {
  const found = pictureFacts(bytes);
  if (found) return { ...found, bytes: bytes.length };
  throw undecoded('a picture', 'expected JPEG, PNG, GIF, WebP or BMP');
}

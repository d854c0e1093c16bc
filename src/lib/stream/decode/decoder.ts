import { AiotError } from '../../core/index.js';
import { decodeImage } from './image.js';
import { memoised } from './memo.js';
import { decodeAuto, decodeJson, lengthWithoutNuls } from './text.js';
import type { Decoder, DecoderName, DecoderOptions } from './types.js';

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
      return (await import('./cbor.js')).cborDecoder();
    case 'msgpack':
      return (await import('./msgpack.js')).msgpackDecoder();
    case 'protobuf':
      return (await import('./protobuf.js')).protobufDecoder(options);
    case 'avro':
      return (await import('./avro.js')).avroDecoder(options);
    case 'image':
      return decodeImage;
  }
}

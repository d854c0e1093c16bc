import { memoised } from './memo.js';
import { decodeAuto, decodeJson, lengthWithoutNuls } from './text.js';
import type { Decoder, DecoderName, DecoderOptions } from './types.js';

/**
 * The decoder of that name, with its library and schema loaded.
 * `auto`: JSON, else text without its trailing NULs, else bytes. `text`: whatever it is, as UTF-8. `bytes`: a Buffer.
 * @throws AIOT_USAGE (a schema is missing, or not wanted), AIOT_FILE_NOT_FOUND, AIOT_FILE_MALFORMED (the schema)
 */
export async function decoderFor(
  name: DecoderName = 'auto',
  _options: DecoderOptions = {},
): Promise<Decoder> {
  switch (name) {
    case 'json':
      return memoised(decodeJson);
    case 'text':
      return memoised((bytes) => bytes.toString('utf8', 0, lengthWithoutNuls(bytes)));
    case 'bytes':
      return memoised((bytes) => bytes);
    default:
      return memoised(decodeAuto);
  }
}

import type { Message } from '../message.js';
import type { Decoder } from './types.js';

/** Decodes once for all that ask about one message in a row: `where`, `map`, `key` and `topic`. */
export function memoised(decode: (payload: Buffer, message: Message) => unknown): Decoder {
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

import { plain } from './plain.js';
import { undecoded } from './text.js';

/** MessagePack: one value a payload. Extension types without a meaning here become `{type, data}`. */
export async function msgpackDecoder(): Promise<(bytes: Buffer) => unknown> {
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

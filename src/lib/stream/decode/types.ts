import type { Message } from '../message.js';

/**
 * The value in a message's payload: what expressions are about. Asked again about the message it was asked about last, a decoder
 * gives the same value without decoding again; nobody changes it.
 * @throws AIOT_STREAM_DECODE when the payload is not what the decoder reads
 */
export type Decoder = (message: Message) => unknown;

export const decoderNames = [
  'auto',
  'json',
  'text',
  'bytes',
  'cbor',
  'msgpack',
  'protobuf',
  'avro',
  'image',
] as const;
export type DecoderName = (typeof decoderNames)[number];

export interface DecoderOptions {
  /** File of the schema: a .proto for protobuf, an .avsc for avro. */
  schema?: string;
  /** Full name of the message in a .proto, such as `plant.Reading`; needed where there are several. */
  type?: string;
}

/** What is in a payload: JSON, text, CBOR, MessagePack, Protobuf, Avro, a picture. */
export { decoderFor } from './decoder.js';
export type { ImageInfo } from './image.js';
export { type Decoder, type DecoderName, type DecoderOptions, decoderNames } from './types.js';

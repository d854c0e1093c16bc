import type { ZodType, z } from 'zod';
import { AiotError, issueText } from '../../core/index.js';
import { CborError, decodeCbor } from '../../formats/index.js';

/** A payload of protocol v1 as the platform writes it: UTF-8 JSON. */
export function encodeMessage(value: object): Buffer {
  return Buffer.from(JSON.stringify(value));
}

/**
 * A payload checked against its schema, JSON or CBOR: the first byte tells, for no JSON begins like a map of CBOR. `topic` is named in the error.
 * @throws AIOT_MESSAGE_MALFORMED with topic, member, and what was expected
 */
export function decodeMessage<Schema extends ZodType>(
  schema: Schema,
  topic: string,
  payload: Uint8Array,
): z.output<Schema> {
  const value = isCborMap(payload) ? readCbor(topic, payload) : readJson(topic, payload);
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new AiotError('AIOT_MESSAGE_MALFORMED', `${topic}: ${issueText(result.error, 'payload', value)}`);
}

/** Major type 5 (RFC 8949, section 3.1). */
function isCborMap([first = 0]: Uint8Array): boolean {
  return first >> 5 === 5;
}

function readJson(topic: string, payload: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(payload).toString('utf8'));
  } catch (error) {
    throw new AiotError('AIOT_MESSAGE_MALFORMED', `${topic}: the payload is not JSON`, { cause: error });
  }
}

function readCbor(topic: string, payload: Uint8Array): unknown {
  try {
    return decodeCbor(payload);
  } catch (error) {
    if (!(error instanceof CborError)) throw error;
    const message = `${topic}: the payload is CBOR that cannot be read: ${error.message}`;
    throw new AiotError('AIOT_MESSAGE_MALFORMED', message, { cause: error });
  }
}

import type { ZodType, z } from 'zod';
import { AiotError, issueText } from '../../core/index.js';

/** A payload of protocol v1: UTF-8 JSON. */
export function encodeMessage(value: object): Buffer {
  return Buffer.from(JSON.stringify(value));
}

/**
 * A payload checked against its schema. `topic` is named in the error.
 * @throws AIOT_MESSAGE_MALFORMED with topic, member, and what was expected
 */
export function decodeMessage<Schema extends ZodType>(
  schema: Schema,
  topic: string,
  payload: Uint8Array,
): z.output<Schema> {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(payload).toString('utf8'));
  } catch (error) {
    throw new AiotError('AIOT_MESSAGE_MALFORMED', `${topic}: the payload is not JSON`, { cause: error });
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new AiotError('AIOT_MESSAGE_MALFORMED', `${topic}: ${issueText(result.error, 'payload')}`);
}

import type { ZodType, z } from 'zod';
import { AiotError } from '../../core/errors.js';
import { issueText } from '../../core/issues.js';
import { CborError, decodeCbor } from '../../formats/cbor.js';

/** Encodes a payload of protocol v1 like the platform, as UTF-8 JSON. */
export function encodeMessage(value: object): Buffer {
  return Buffer.from(JSON.stringify(value));
}

/**
 * Decodes a payload and checks it against its schema. The first byte distinguishes JSON from CBOR. `topic` is used in
 * the error.
 * @throws AIOT_MESSAGE_MALFORMED with the topic, the member, and the expected value
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

/** Whether the first byte starts a CBOR map: major type 5 (RFC 8949, section 3.1). */
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

const root = 'aiot/v1';

/** A device's channels, and their publishers. */
export const deviceChannels = {
  telemetry: 'device',
  inference: 'device',
  reported: 'device',
  presence: 'device',
  reply: 'device',
  log: 'device',
  crash: 'device',
  desired: 'platform',
  command: 'platform',
  settings: 'platform',
} as const;

export type DeviceChannel = keyof typeof deviceChannels;

/** The topic `aiot/v1/{device}/{channel}`. For telemetry, the stream's name follows. */
export function topicOf(device: string, channel: DeviceChannel, stream?: string): string {
  return stream === undefined ? `${root}/${device}/${channel}` : `${root}/${device}/${channel}/${stream}`;
}

export interface TopicParts {
  device: string;
  channel: DeviceChannel;
  /** Name of the stream, only for telemetry. */
  stream?: string;
}

/** Whether the topic belongs to the protocol: all of its topics have the same prefix. */
export function isProtocolTopic(topic: string): boolean {
  return topic.startsWith(`${root}/`);
}

/** Parses a protocol topic; null for any other topic. */
export function parseTopic(topic: string): TopicParts | null {
  const [a, b, device, channel, stream, ...rest] = topic.split('/');
  if (`${a}/${b}` !== root || !device || !channel || rest.length > 0) return null;
  if (!Object.hasOwn(deviceChannels, channel)) return null;
  if (stream === '' || (channel === 'telemetry') !== (stream !== undefined)) return null;
  return { device, channel: channel as DeviceChannel, ...(stream ? { stream } : {}) };
}

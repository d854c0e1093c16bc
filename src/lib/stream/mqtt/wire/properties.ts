import { isUtf8 } from 'node:buffer';
import { AiotError } from '../../../core/index.js';
import { type Header, mqttHeaders } from '../../message.js';

/** Identifiers of the properties of a PUBLISH (MQTT 5, table 2-4 and section 3.3.2.3). */
const id = {
  payloadFormatIndicator: 0x01,
  messageExpiryInterval: 0x02,
  contentType: 0x03,
  responseTopic: 0x08,
  correlationData: 0x09,
  subscriptionIdentifier: 0x0b,
  topicAlias: 0x23,
  userProperty: 0x26,
} as const;

const largestText = 65_535;

/** The properties in `buffer[from .. to)` as headers, in their order. @throws RangeError when they are malformed */
export function decodeProperties(buffer: Buffer, from: number, to: number): Header[] {
  const headers: Header[] = [];
  let at = from;
  const within = (bytes: number) => {
    if (at + bytes > to) throw new RangeError('a property ends after its packet');
    at += bytes;
    return at - bytes;
  };
  const bytes = () => {
    const length = buffer.readUInt16BE(within(2));
    const start = within(length);
    return buffer.subarray(start, start + length);
  };
  const text = () => bytes().toString();
  while (at < to) {
    switch (buffer[at++]) {
      case id.payloadFormatIndicator:
        headers.push([mqttHeaders.payloadFormatIndicator, String(buffer[within(1)])]);
        break;
      case id.messageExpiryInterval:
        headers.push([mqttHeaders.messageExpiryInterval, String(buffer.readUInt32BE(within(4)))]);
        break;
      case id.contentType:
        headers.push([mqttHeaders.contentType, text()]);
        break;
      case id.responseTopic:
        headers.push([mqttHeaders.responseTopic, text()]);
        break;
      case id.correlationData:
        headers.push([mqttHeaders.correlationData, Buffer.from(bytes())]);
        break;
      case id.userProperty:
        headers.push([text(), text()]);
        break;
      case id.topicAlias:
        within(2);
        break;
      case id.subscriptionIdentifier:
        while (buffer[within(1)]! >= 0x80);
        break;
      default:
        throw new RangeError('a property that a message cannot have');
    }
  }
  return headers;
}

/**
 * Headers as the properties of a PUBLISH, without their length. Those of `mqttHeaders` become MQTT's own when they are what these
 * can hold, the others user properties; bytes that are no text travel as base64, since a user property is text.
 * @throws AIOT_STREAM_MESSAGE_REFUSED when a name or value is longer than 65,535 bytes
 */
export function encodeProperties(headers: readonly Header[]): Buffer {
  const parts: Buffer[] = [];
  const once = new Set<number>();
  for (const [name, value] of headers) {
    const own = ownProperty(name, value);
    // Each of MQTT's own may be there once (section 3.3.2.3); a second one stays what it is, a header.
    if (own && !once.has(own[0]!)) {
      once.add(own[0]!);
      parts.push(own);
    } else
      parts.push(
        Buffer.from([id.userProperty]),
        lengthFirst(textOf(name), name),
        lengthFirst(textOf(value), name),
      );
  }
  return Buffer.concat(parts);
}

function ownProperty(name: string, value: string | Uint8Array): Buffer | undefined {
  const text = typeof value === 'string' ? value : Buffer.from(value).toString();
  switch (name) {
    case mqttHeaders.contentType:
      return Buffer.concat([Buffer.from([id.contentType]), lengthFirst(textOf(value), name)]);
    case mqttHeaders.responseTopic:
      if (text === '' || /[+#\0]/.test(text)) return undefined;
      return Buffer.concat([Buffer.from([id.responseTopic]), lengthFirst(textOf(value), name)]);
    case mqttHeaders.correlationData:
      return Buffer.concat([
        Buffer.from([id.correlationData]),
        lengthFirst(Buffer.from(value as string), name),
      ]);
    case mqttHeaders.payloadFormatIndicator:
      return /^[01]$/.test(text) ? Buffer.from([id.payloadFormatIndicator, Number(text)]) : undefined;
    case mqttHeaders.messageExpiryInterval: {
      if (!/^\d{1,10}$/.test(text) || Number(text) > 0xffff_ffff) return undefined;
      const bytes = Buffer.alloc(5);
      bytes[0] = id.messageExpiryInterval;
      bytes.writeUInt32BE(Number(text), 1);
      return bytes;
    }
    default:
      return undefined;
  }
}

/** A text may hold anything but NUL (section 1.5.4). */
function textOf(value: string | Uint8Array): Buffer {
  const bytes =
    typeof value === 'string'
      ? Buffer.from(value)
      : Buffer.from(value.buffer, value.byteOffset, value.length);
  return isUtf8(bytes) && !bytes.includes(0) ? bytes : Buffer.from(bytes.toString('base64'));
}

function lengthFirst(bytes: Buffer, name: string): Buffer {
  if (bytes.length > largestText) {
    throw new AiotError(
      'AIOT_STREAM_MESSAGE_REFUSED',
      `header ${name.slice(0, 40)}: expected at most ${largestText} bytes, which MQTT can carry, got ${bytes.length}`,
    );
  }
  const whole = Buffer.allocUnsafe(2 + bytes.length);
  whole.writeUInt16BE(bytes.length, 0);
  bytes.copy(whole, 2);
  return whole;
}

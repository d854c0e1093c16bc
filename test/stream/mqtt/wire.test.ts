import { createRequire } from 'node:module';
import { describe, expect, it } from 'vitest';
import { type Header, mqttHeaders } from '../../../src/lib/stream/message.js';
import {
  createPublishReader,
  decodeProperties,
  encodeProperties,
  encodePublish,
  Frames,
  type MqttVersion,
} from '../../../src/lib/stream/mqtt/packets.js';
import { fc } from '../../support/property.js';

// mqtt.js's codec, an independent implementation. Each must be able to read the other's packets.
const peer = createRequire(createRequire(import.meta.url).resolve('mqtt'))('mqtt-packet');

const version = fc.constantFrom<MqttVersion>(3, 4, 5);
const qos = fc.constantFrom<0 | 1 | 2>(0, 1, 2);
const text = fc.string({ unit: 'grapheme', maxLength: 40 }).filter((value) => !value.includes('\0'));
const topic = text.filter((value) => value !== '' && !/[+#]/.test(value));
const payload = fc.uint8Array({ maxLength: 300 });
const header: fc.Arbitrary<Header> = fc.tuple(
  text.filter((name) => !(Object.values(mqttHeaders) as string[]).includes(name)),
  text,
);
const message = fc.record({
  topic,
  payload,
  qos,
  version,
  retain: fc.boolean(),
  dup: fc.boolean(),
  id: fc.integer({ min: 1, max: 65_535 }),
  headers: fc.array(header, { maxLength: 4 }),
});

function parsedByPeer(bytes: Buffer, protocolVersion: MqttVersion) {
  const parser = peer.parser({ protocolVersion });
  const packets: Record<string, unknown>[] = [];
  parser.on('packet', (packet: Record<string, unknown>) => packets.push(packet));
  parser.parse(bytes);
  return packets[0];
}

describe('a PUBLISH packet', () => {
  it('is parsed correctly by mqtt-packet', () => {
    fc.assert(
      fc.property(message, ({ topic, payload, qos, version, retain, dup, id, headers }) => {
        const flags = { topic, qos, version, dup, id: qos === 0 ? 0 : id };
        const bytes = encodePublish({ topic, payload, retain, headers }, flags);
        const packet = parsedByPeer(bytes, version) as Record<string, unknown> & {
          properties?: { userProperties?: Record<string, string | string[]> };
        };
        expect(packet).toMatchObject({ cmd: 'publish', topic, qos, retain, dup });
        expect(Buffer.from(packet.payload as Buffer).equals(Buffer.from(payload))).toBe(true);
        if (qos > 0) expect(packet.messageId).toBe(id);
        const user = packet.properties?.userProperties ?? {};
        const names = version === 5 ? headers.map(([name]) => name) : [];
        expect(Object.keys(user).sort()).toEqual([...new Set(names)].sort());
      }),
    );
  });

  it('from mqtt-packet’s encoder is parsed correctly, however the network splits it', () => {
    fc.assert(
      fc.property(
        fc.array(message, { minLength: 1, maxLength: 5 }),
        version,
        fc.integer({ min: 1, max: 50 }),
        (messages, version, cut) => {
          const bytes = Buffer.concat(
            messages.map(({ topic, payload, qos, retain, dup, id }) =>
              peer.generate(
                {
                  cmd: 'publish',
                  topic,
                  payload: Buffer.from(payload),
                  qos,
                  retain,
                  dup: qos > 0 && dup,
                  messageId: id,
                },
                { protocolVersion: version },
              ),
            ),
          );
          const frames = new Frames();
          const read = createPublishReader();
          const got: unknown[] = [];
          for (let at = 0; at < bytes.length; at += cut) {
            frames.push(bytes.subarray(at, at + cut));
            while (frames.next()) {
              const { topic, payload, qos, retain } = read(frames, version);
              got.push({ topic, payload: Buffer.from(payload).toString('hex'), qos, retain });
            }
          }
          expect(got).toEqual(
            messages.map(({ topic, payload, qos, retain }) => ({
              topic,
              payload: Buffer.from(payload).toString('hex'),
              qos,
              retain,
            })),
          );
        },
      ),
    );
  });

  it('keeps MQTT 5 properties as headers and turns them back into properties', () => {
    const properties = {
      payloadFormatIndicator: true,
      messageExpiryInterval: 3600,
      contentType: 'application/json',
      responseTopic: 'answers/here',
      correlationData: Buffer.from([0, 255, 7]),
      userProperties: { unit: 'C', many: ['one', 'two'] },
    };
    const sent = peer.generate(
      { cmd: 'publish', topic: 't', payload: 'x', qos: 1, messageId: 5, properties },
      { protocolVersion: 5 },
    );
    const frames = new Frames();
    frames.push(sent);
    expect(frames.next()).toBe(true);
    const { headers = [] } = createPublishReader()(frames, 5);
    expect(Object.fromEntries(headers)).toMatchObject({
      'content-type': 'application/json',
      'mqtt-response-topic': 'answers/here',
      'mqtt-correlation-data': Buffer.from([0, 255, 7]),
      'mqtt-message-expiry-interval': '3600',
      'mqtt-payload-format-indicator': '1',
      unit: 'C',
    });
    const again = encodePublish(
      { topic: 't', payload: Buffer.from('x'), headers },
      { topic: 't', qos: 1, id: 5, dup: false, version: 5 },
    );
    expect(parsedByPeer(again, 5)).toMatchObject({ properties });
  });

  it.each([
    [
      'restores bytes that are not text',
      [['raw', new Uint8Array([255, 0])]],
      [['raw', Buffer.from([255, 0])]],
    ],
    ['restores text with control characters', [['raw', 'a\0b\n']], [['raw', 'a\0b\n']]],
    [
      'keeps a second content type as a header',
      [
        ['content-type', 'a'],
        ['content-type', 'b'],
      ],
      [
        ['content-type', 'a'],
        ['content-type', 'b'],
      ],
    ],
    [
      'keeps a non-numeric expiry as a header',
      [['mqtt-message-expiry-interval', 'soon']],
      [['mqtt-message-expiry-interval', 'soon']],
    ],
    [
      'keeps a response topic with a wildcard as a header',
      [['mqtt-response-topic', 'a/#']],
      [['mqtt-response-topic', 'a/#']],
    ],
  ] as [string, Header[], Header[]][])('%s', (_, headers, expected) => {
    const bytes = encodeProperties(headers);
    expect(decodeProperties(bytes, 0, bytes.length)).toEqual(expected);
  });

  it('marks bytes for clients that read user properties as text', () => {
    const headers: Header[] = [['raw', new Uint8Array([255, 0])]];
    const flags = { topic: 't', qos: 0, id: 0, dup: false, version: 5 } as const;
    const bytes = encodePublish({ topic: 't', payload: new Uint8Array(1), headers }, flags);
    expect(parsedByPeer(bytes, 5)).toMatchObject({
      properties: { userProperties: { 'raw;base64': '/wA=' } },
    });
  });

  it('is rejected if MQTT cannot represent it', () => {
    const long = 'x'.repeat(65_536);
    const flags = { topic: 't', qos: 1, id: 1, dup: false, version: 5 } as const;
    const refused = expect.objectContaining({ code: 'AIOT_STREAM_MESSAGE_REFUSED' });
    const encode = (headers: Header[], topic = 't') =>
      encodePublish({ topic, payload: new Uint8Array(1), headers }, { ...flags, topic });
    expect(() => encode([['a', long]])).toThrow(refused);
    expect(() => encode([], long)).toThrow(refused);
  });

  it.each([
    ['an invalid QoS', '36 03 0001 61'],
    ['a topic longer than its packet', '30 03 0009 61'],
    ['properties longer than their packet', '30 05 0001 61 09 78'],
    ['an unknown property', '30 06 0001 61 02 7e 00'],
    ['a packet too short for a topic', '30 01 00'],
  ])('is invalid with %s', (_, hex) => {
    const frames = new Frames();
    frames.push(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
    expect(frames.next()).toBe(true);
    expect(() => createPublishReader()(frames, 5)).toThrow(RangeError);
  });

  it('is invalid with a five-byte length', () => {
    const frames = new Frames();
    frames.push(Buffer.from('30ffffffff01', 'hex'));
    expect(() => frames.next()).toThrow(RangeError);
  });
});

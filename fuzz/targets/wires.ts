import { crc32 } from 'node:zlib';
import { sentEvents } from '../../src/lib/api/streams.js';
import { readControl, readSensorMessage } from '../../src/lib/device/guide/messages.js';
import { decodeMessage, parseTopic } from '../../src/lib/device/protocol/codec.js';
import { protocolSchemas } from '../../src/lib/device/protocol/schemas.js';
import { readBootText } from '../../src/lib/flash/diagnosis.js';
import { SlipReader, slipFrame } from '../../src/lib/flash/loader/wire.js';
import { subnegotiation, TelnetReader } from '../../src/lib/flash/port/telnet.js';
import { readConnect, readSubscribe, readUnsubscribe } from '../../src/lib/platform/broker/requests.js';
import { parseAttributes, parseFeedback, parseInstalled } from '../../src/lib/platform/ddi/bodies.js';
import { parseLine } from '../../src/lib/platform/journal/segments.js';
import { jpegFrames } from '../../src/lib/stream/camera/frames.js';
import { decodeImage, decoderFor } from '../../src/lib/stream/decode/decoder.js';
import { decodeAuto } from '../../src/lib/stream/decode/values.js';
import { fromLine } from '../../src/lib/stream/file/line.js';
import {
  batchHeader,
  batchHeaderBytes,
  crc32c,
  payloadsOf,
  RecordReader,
  recordsOf,
  writeBatch,
} from '../../src/lib/stream/kafka/wire/record-batch.js';
import type { Message } from '../../src/lib/stream/message.js';
import { createPublishReader, encodePublish, Frames } from '../../src/lib/stream/mqtt/packets.js';
import { decodeRecord, encodeRecord } from '../../src/lib/stream/spool/segments.js';
import { specified, texts } from '../seeds.js';
import type { Target } from '../types.js';

const out = {
  topic: 'a/b',
  payload: Buffer.from('{"x":1}'),
  key: Buffer.from('k'),
  headers: [['h', 'v']] as [string, string][],
  time: 1_700_000_000_000,
};
const producer = { id: 7n, epoch: 1, sequence: 0 };
const batch = (packing: 'none' | 'gzip' | 'snappy' | 'lz4' | 'zstd') =>
  writeBatch([out, { ...out, payload: Buffer.alloc(90, 'ab') }], producer, packing, 1_800_000_000_000);
const feedback = texts(
  { id: '1', status: { execution: 'closed', result: { finished: 'success' }, details: ['done'] } },
  { mode: 'merge', data: { a: 'b' } },
  { name: 'os', version: '1' },
);

/** Wraps a payload in the message that a target receives. */
export const messageOf = (payload: Buffer): Message => ({ ...out, payload, source: 'here', time: 1 });

async function decoded(name: 'cbor' | 'msgpack', input: Buffer): Promise<unknown> {
  return (await decoderFor(name))(messageOf(input));
}

/** Targets that read data received from brokers, clients and devices. */
export const wires: readonly Target[] = [
  {
    name: 'stream/kafka-batch',
    seeds: () => Promise.all((['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const).map(batch)),
    run: async (input) => {
      const header = batchHeader(input, 0);
      if (header === undefined || header.bytes < batchHeaderBytes) return undefined;
      const records = await recordsOf(input, 0, header);
      const reader = new RecordReader(records, header);
      for (let n = 0; n < Math.min(header.records, 1000); n++) reader.next();
      return payloadsOf(records, header, 0).count;
    },
    mend: (input) => {
      if (input.length < 25) return input;
      input.writeInt32BE(input.length - 12, 8);
      input.writeUInt32BE(crc32c(input.subarray(21)), 17);
      return input;
    },
    // Thrown for a damaged batch; the caller handles it.
    throws: ['RangeError'],
  },
  {
    name: 'stream/mqtt-packets',
    seeds: () => [
      encodePublish(out, { topic: 'a/b', version: 5, id: 1, qos: 1, dup: false }),
      encodePublish(
        { topic: 'a', payload: Buffer.from('b') },
        { topic: 'a', version: 4, id: 0, qos: 0, dup: false },
      ),
    ],
    run: (input) => {
      const frames = new Frames();
      const read = createPublishReader();
      const found: unknown[] = [];
      for (const half of [input.subarray(0, 7), input.subarray(7)]) {
        frames.push(half);
        while (frames.next()) if (frames.head >> 4 === 3) found.push(read(frames, 5));
      }
      return found;
    },
    throws: ['ProtocolError'],
  },
  {
    name: 'platform/mqtt-packets',
    seeds: () =>
      [
        '101000044d51545404c2003c0001610001620001',
        '820800010003612f6200',
        'a2070001000361232f',
        '300700036162637879',
        '3209000361626300017879',
      ].map((hex) => Buffer.from(hex, 'hex')),
    run: (input) => {
      const found: unknown[] = [];
      const frames = new Frames();
      const read = createPublishReader();
      frames.push(input);
      while (found.length < 100 && frames.next(1 << 20)) {
        const type = frames.head >> 4;
        if (type === 1) found.push(readConnect(frames));
        if (type === 3) found.push(read(frames, 4));
        if (type === 8) found.push(readSubscribe(frames, 4));
        if (type === 10) found.push(readUnsubscribe(frames, 4));
      }
      return found;
    },
    throws: ['ProtocolError'],
  },
  ...(
    [
      'command',
      'desired',
      'reported',
      'telemetry',
      'inference',
      'presence',
      'log',
      'reply',
      'envelope',
      'trust',
    ] as const
  ).map(
    (name): Target => ({
      name: `device/${name}`,
      seeds: () => [
        ...texts(
          {
            id: 'a',
            kind: 'x',
            time: 1,
            seq: 1,
            values: [[1, 2]],
            model: 'm@1',
            state: 'online',
            version: 1,
            message: 'm',
          },
          {},
        ),
        Buffer.from('a26161018261626163', 'hex'),
        ...specified(name),
      ],
      run: (input) => decodeMessage(protocolSchemas[name], 'aiot/v1/d/x', input),
    }),
  ),
  {
    name: 'device/topics',
    seeds: () => ['aiot/v1/dev-1/telemetry/imu', 'aiot/v1/d/desired'],
    run: (input) => parseTopic(input.toString()),
  },
  {
    name: 'device/guide',
    seeds: () =>
      texts(
        { mac_address: 'a', current: 1, temperature: 2, vibration: 3, sound: 4 },
        { command: 'download', payload: 'x' },
      ),
    run: (input) => [readSensorMessage(input), readControl(input)],
  },
  {
    name: 'platform/ddi',
    seeds: () => feedback,
    run: (input) =>
      input.toString().startsWith('{"mode')
        ? parseAttributes(input.toString())
        : [parseFeedback(input.toString()), parseInstalled(input.toString())],
  },
  {
    name: 'platform/journal',
    seeds: () => [...texts({ t: 1, device: 'd', stream: 's' }), '00000000 {"a":1}'],
    run: (input) => [parseLine(input, true), parseLine(input, false)],
  },
  {
    name: 'api/events',
    seeds: () => ['id: 1\ndata: {"a":1}\n\n: beat\n\ndata: a\r\ndata: b\r\n\r\n'],
    run: async (input) => {
      const found: unknown[] = [];
      async function* body() {
        yield input.subarray(0, 5);
        yield input.subarray(5);
      }
      for await (const event of sentEvents(body())) found.push(event);
      return found;
    },
  },
  {
    name: 'flash/slip',
    seeds: () => [slipFrame(Buffer.from('c0dbdcdd00ff', 'hex')), 'boot text\n'],
    run: (input) => {
      let bytes = 0;
      const count = (part: Uint8Array) => {
        bytes += part.length;
      };
      const reader = new SlipReader({ frame: count, stray: count });
      reader.push(input.subarray(0, 3));
      reader.push(input.subarray(3));
      return bytes;
    },
  },
  {
    name: 'flash/telnet',
    seeds: () => [
      subnegotiation(44, Buffer.from([1, 0, 1, 0xc2, 0])),
      Buffer.from('fffb2cff fa2c0500fff0'.replaceAll(' ', ''), 'hex'),
    ],
    run: (input) => new TelnetReader().read(input),
  },
  {
    name: 'flash/boot-text',
    seeds: () => [
      'rst:0x1 (POWERON_RESET),boot:0x13\nload:0x3fff0030,len:1184\nentry 0x400805e4\n',
      "Guru Meditation Error: Core 0 panic'ed (LoadProhibited)\nBacktrace: 0x400d1234:0x3ffb1234\n",
    ],
    run: (input) => readBootText(input),
  },
  {
    name: 'stream/payload',
    seeds: () => [...texts({ a: [1, 'x', null] }), 'text\0\0'],
    run: (input) => decodeAuto(input),
  },
  {
    name: 'stream/cbor',
    seeds: () => [
      Buffer.from('a26161018261626163', 'hex'),
      Buffer.from('c074323031332d30332d32315432303a30343a30305a', 'hex'),
      Buffer.from('a1695f5f70726f746f5f5fa1617801', 'hex'),
    ],
    run: (input) => decoded('cbor', input),
  },
  {
    name: 'stream/msgpack',
    seeds: () => [
      Buffer.from('82a16101a16292c3cb3ff199999999999a', 'hex'),
      Buffer.from('d6ff5f5e1000', 'hex'),
      Buffer.from('81a95f5f70726f746f5f5f81a17801', 'hex'),
    ],
    run: (input) => decoded('msgpack', input),
  },
  {
    name: 'stream/image',
    seeds: () => [
      Buffer.from('89504e470d0a1a0a0000000d494844520000000100000001080600000000', 'hex'),
      Buffer.from('ffd8ffe000104a46494600010100ffc0001108001000100301220002', 'hex'),
      'GIF89a\x01\x00\x01\x00',
      'RIFF\x00\x00\x00\x00WEBPVP8X',
    ],
    run: (input) => decodeImage(input),
  },
  {
    name: 'stream/jpeg-frames',
    seeds: () => [Buffer.from('ffd8ffe0000400 00ffda000200112233ff00ffd9ffd8'.replaceAll(' ', ''), 'hex')],
    run: (input) => {
      let frames = 0;
      const cutter = jpegFrames(() => frames++);
      cutter.push(input.subarray(0, 9));
      cutter.push(input.subarray(9));
      return frames;
    },
  },
  {
    name: 'stream/ndjson',
    seeds: () =>
      texts(
        { topic: 'a', payload: { x: 1 }, time: '2024-01-01T00:00:00Z', key: 'k', headers: [['a', 'b']] },
        { topic: 'a', bytes: 'AAEC' },
      ),
    run: (input) => fromLine(input.toString(), 'it', 1),
  },
  {
    name: 'stream/spool',
    seeds: () => [encodeRecord(out), encodeRecord({ topic: '', payload: Buffer.alloc(0) })],
    run: (input) => decodeRecord(input, 0),
    mend: (input) => {
      if (input.length < 12) return input;
      input.writeUInt32LE(input.length - 8, 0);
      input.writeUInt32LE(crc32(input.subarray(8)), 4);
      return input;
    },
  },
];

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { decoderFor } from '../../../src/lib/stream/decode/decoder.js';
import type { DecoderName } from '../../../src/lib/stream/decode/values.js';
import type { Message } from '../../../src/lib/stream/message.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-decode-'));
  await writeFile(
    join(folder, 'two.proto'),
    'syntax = "proto3"; package p; message A { int32 x = 1; } message B { string y = 1; }',
  );
  await writeFile(join(folder, 'bad.proto'), 'syntax = "proto3"; message {');
  await writeFile(join(folder, 'none.proto'), 'syntax = "proto3";');
  await writeFile(join(folder, 'bad.avsc'), '{"type": "recrod"}');
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const message = (payload: string | Uint8Array): Message => ({
  topic: 't',
  time: 0,
  source: 'x',
  payload: Buffer.from(payload as string),
});
const decoded = async (name: DecoderName, payload: string | Uint8Array) =>
  (await decoderFor(name))(message(payload));

describe('the decoder', () => {
  it.each<[DecoderName, string | Uint8Array, unknown]>([
    ['auto', '{"x":1}', { x: 1 }],
    ['auto', ' [1, 2]\n', [1, 2]],
    ['auto', '21.5', 21.5],
    ['auto', 'null', null],
    ['auto', '0xBC,26.31,41.2,low\0', '0xBC,26.31,41.2,low'],
    ['auto', 'ON\0', 'ON'],
    ['auto', '{"a": 1}\0', { a: 1 }],
    ['auto', '', undefined],
    ['auto', Buffer.from([255, 0]), Buffer.from([255, 0])],
    ['auto', Buffer.from([0x22, 0xff, 0x22]), Buffer.from([0x22, 0xff, 0x22])],
    ['json', '{"x":1}\0', { x: 1 }],
    ['text', '{"x":1}', '{"x":1}'],
    ['bytes', '{}', Buffer.from('{}')],
  ])('decodes with %s: %j becomes %j', async (name, payload, value) => {
    expect(await decoded(name, payload)).toEqual(value);
  });

  it('decodes a message once for consecutive requests', async () => {
    const decode = await decoderFor('json');
    const first = message('{"x":1}');
    expect(decode(first)).toBe(decode(first));
    expect(decode({ ...first, payload: Buffer.from('2') })).toBe(2);
  });

  it.each(['png', 'jpeg', 'gif', 'webp'] as const)('reads the size of a %s image', async (format) => {
    const picture = sharp({ create: { width: 37, height: 21, channels: 3, background: '#804020' } });
    const bytes = await picture.toFormat(format).toBuffer();
    expect(await decoded('image', bytes)).toEqual({ format, width: 37, height: 21, bytes: bytes.length });
  });

  it.each<[DecoderName, string | Uint8Array]>([
    ['json', '{'],
    ['cbor', Buffer.from('a1', 'hex')],
    ['cbor', Buffer.from('0101', 'hex')],
    ['msgpack', Buffer.from('c1', 'hex')],
    ['msgpack', ''],
    ['image', 'text'],
    ['image', Buffer.from('ffd8ffe0', 'hex')],
  ])('rejects invalid %s: %j', async (name, payload) => {
    await expect(decoded(name, payload)).rejects.toMatchObject({ code: 'AIOT_STREAM_DECODE' });
  });

  it('accepts a .proto message type by name, with or without the package', async () => {
    for (const type of ['B', 'p.B']) {
      const decode = await decoderFor('protobuf', { schema: join(folder, 'two.proto'), type });
      expect(decode(message('\x0a\x02hi'))).toEqual({ y: 'hi' });
    }
  });

  it.each<[DecoderName, string | undefined, string | undefined, string]>([
    ['protobuf', undefined, undefined, 'AIOT_USAGE'],
    ['avro', undefined, undefined, 'AIOT_USAGE'],
    ['json', 'two.proto', undefined, 'AIOT_USAGE'],
    ['protobuf', 'two.proto', undefined, 'AIOT_USAGE'],
    ['protobuf', 'two.proto', 'C', 'AIOT_USAGE'],
    ['protobuf', 'none.proto', undefined, 'AIOT_USAGE'],
    ['protobuf', 'bad.proto', undefined, 'AIOT_FILE_MALFORMED'],
    ['protobuf', 'no-such.proto', undefined, 'AIOT_FILE_NOT_FOUND'],
    ['avro', 'bad.avsc', undefined, 'AIOT_FILE_MALFORMED'],
    ['avro', 'no-such.avsc', undefined, 'AIOT_FILE_NOT_FOUND'],
  ])('rejects %s with the schema %s and the type %s: %s', async (name, schema, type, code) => {
    const options = { schema: schema && join(folder, schema), type };
    await expect(decoderFor(name, options)).rejects.toMatchObject({ code });
  });
});

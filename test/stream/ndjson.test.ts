import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fromLine, toLine } from '../../src/lib/stream/file/line.js';
import { deliveriesOf, type Source } from '../../src/lib/stream/message.js';
import { openSink, openSource } from '../../src/lib/stream/open.js';
import { fc } from '../support/property.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-ndjson-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function all(source: Source) {
  const messages = [];
  for await (const { message, ack } of deliveriesOf(source)) {
    messages.push(message);
    ack();
  }
  await source.close();
  return messages;
}

describe('message lines', () => {
  it('preserve any payload in a round trip', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), fc.string({ minLength: 1 }), (payload, topic) => {
        const line = JSON.stringify(toLine({ topic, payload, time: 5, source: 'x' }));
        const back = fromLine(line, 'x', 1);
        expect(back.topic).toBe(topic);
        const asJson = toLine({ topic, payload, time: 5, source: 'x' });
        // JSON comes back as the same value, possibly with different white space, and everything else comes
        // back byte for byte.
        if (asJson.encoding === 'json')
          expect(JSON.parse(Buffer.from(back.payload).toString())).toEqual(asJson.payload);
        else expect(Buffer.from(back.payload)).toEqual(Buffer.from(payload));
      }),
    );
  });

  it.each([
    ['{"x":1}', { payload: { x: 1 }, encoding: 'json' }],
    ['12.5', { payload: 12.5, encoding: 'json' }],
    ['hello', { payload: 'hello', encoding: 'utf8' }],
    ['', { payload: '', encoding: 'utf8' }],
  ])('show %s as its value', (text, expected) => {
    expect(toLine({ topic: 't', payload: Buffer.from(text), time: 1, source: 'x' })).toEqual({
      topic: 't',
      time: 1,
      ...expected,
    });
  });

  it('show other bytes as base64, with the encoding', () => {
    expect(toLine({ topic: 't', payload: Uint8Array.of(255, 0), time: 1, source: 'x' })).toMatchObject({
      payload: '/wA=',
      encoding: 'base64',
    });
  });
});

describe('a file of message lines', () => {
  it('returns the messages written to it', async () => {
    const url = `file:${join(folder, 'log.ndjson')}`;
    const sink = await openSink(url);
    await Promise.all([1, 2, 3].map((x) => sink.write([{ topic: `t/${x}`, payload: Buffer.from(`${x}`) }])));
    await sink.close();
    const messages = await all(await openSource(url));
    expect(messages.map(({ topic, payload }) => `${topic} ${payload}`)).toEqual(['t/1 1', 't/2 2', 't/3 3']);
  });

  it('contains a line once its write resolves', async () => {
    const path = join(folder, 'durable.ndjson');
    const sink = await openSink(`file:${path}`);
    await sink.write([{ topic: 't', payload: Buffer.from('"a"') }]);
    expect(JSON.parse(await readFile(path, 'utf8'))).toMatchObject({ topic: 't', payload: 'a' });
    await sink.close();
  });

  it('is rejected with file, line and reason if a line is invalid', async () => {
    const path = join(folder, 'bad.ndjson');
    await writeFile(path, '{"topic":"a","payload":1}\n\n{"payload":2}\n');
    await expect(all(await openSource(`file:${path}`))).rejects.toMatchObject({
      code: 'AIOT_FILE_MALFORMED',
      message: expect.stringContaining(`${path}:3: topic`),
    });
  });

  it.each([
    ['missing', 'missing.ndjson', 'AIOT_FILE_NOT_FOUND'],
    ['a folder', '.', 'AIOT_FILE_NOT_READABLE'],
  ])('is rejected if it is %s', async (_, name, code) => {
    await expect(openSource(`file:${join(folder, name)}`)).rejects.toMatchObject({ code });
  });

  it('is rejected as a sink if it cannot be written', async () => {
    await writeFile(join(folder, 'no'), '');
    await expect(openSink(`file:${join(folder, 'no', 'such.ndjson')}`)).rejects.toMatchObject({
      code: 'AIOT_FILE_NOT_WRITABLE',
    });
  });
});

it('a stdin source reads message lines', async () => {
  const input = Readable.from(['{"topic":"a","payload":"x"}\n{"topic":"b",', '"payload":{"y":2}}\n']);
  const messages = await all(await openSource('stdin:', { input }));
  expect(messages.map(({ topic, payload }) => `${topic} ${payload}`)).toEqual(['a x', 'b {"y":2}']);
});

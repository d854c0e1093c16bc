import { appendFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { deliveriesOf, type StreamOptions } from '../../../src/lib/stream/message.js';
import { openSink, openSource } from '../../../src/lib/stream/open.js';
import { fc, runs } from '../../support/property.js';

let folder: string;
let number = 0;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-csv-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const fresh = () => join(folder, `${number++}.csv`);
const message = (payload: string, topic = 't') => ({ topic, payload: Buffer.from(payload), time: 1_000 });

async function written(query: string, ...payloads: string[]): Promise<string> {
  const path = fresh();
  const sink = await openSink(`file:${path}${query}`);
  for (const payload of payloads) await sink.write([message(payload)]);
  await sink.close();
  return readFile(path, 'utf8');
}

async function read(url: string, options?: StreamOptions): Promise<string[]> {
  const source = await openSource(url, options);
  const payloads: string[] = [];
  for await (const { message, ack } of deliveriesOf(source)) {
    payloads.push(Buffer.from(message.payload).toString());
    ack();
  }
  return payloads;
}

describe('a CSV file as a sink', () => {
  it.each<[string, string, string[], string]>([
    [
      'takes its columns from the first object',
      '',
      ['{"a":1,"b":"x"}', '{"b":"y","a":2.50}'],
      'a,b\n1,x\n2.5,y\n',
    ],
    ['leaves a cell empty if a field is missing', '', ['{"a":1,"b":2}', '{"b":3}'], 'a,b\n1,2\n,3\n'],
    [
      'flattens objects and writes arrays as JSON',
      '',
      ['{"a":{"x":1,"y":{"z":2}},"b":[1,2]}'],
      'a.x,a.y.z,b\n1,2,"[1,2]"\n',
    ],
    [
      'quotes commas, quotation marks and newlines',
      '',
      ['{"a":"x,y","b":"say \\"hi\\"","c":"l1\\nl2"}'],
      'a,b,c\n"x,y","say ""hi""","l1\nl2"\n',
    ],
    ['leaves out fields that are not selected', '?fields=b,a', ['{"a":1,"b":2,"c":3}'], 'b,a\n2,1\n'],
    [
      'adds topic and time columns on request',
      '?fields=$topic,$time,a',
      ['{"a":1}'],
      '$topic,$time,a\nt,1000,1\n',
    ],
    ['omits the header on request', '?fields=a,b&header=false', ['{"a":1,"b":2}'], '1,2\n'],
    [
      "keeps the IoT kit's rows unchanged, without their NUL",
      '?fields=sensor,temp,hum,class',
      ['0xBC,26.30,41.2,low\0', '0xBC,26.31,41.0,high\n'],
      'sensor,temp,hum,class\n0xBC,26.30,41.2,low\n0xBC,26.31,41.0,high\n',
    ],
    ['accepts JSON arrays as rows', '?fields=a,b', ['[1,"x"]'], 'a,b\n1,x\n'],
  ])('%s', async (_, query, payloads, expected) => {
    expect(await written(query, ...payloads)).toBe(expected);
  });

  it.each<[string, string, string, RegExp]>([
    ['a payload of one NUL byte', '?fields=a', '\u0000', /no cells|not a single row/],
    ['too many cells', '?fields=a,b', '1,2,3', /3 cells, expected 2/],
    ['text without column names', '', '1,2', /without names/],
  ])('rejects %s with the reason', async (_, query, payload, why) => {
    const sink = await openSink(`file:${fresh()}${query}`);
    await expect(sink.write([message(payload)])).rejects.toMatchObject({
      code: 'AIOT_STREAM_UNFIT',
      retryable: false,
      message: expect.stringMatching(why),
    });
    await sink.close();
  });

  it('writes nothing of a batch with an invalid message, then continues', async () => {
    const path = fresh();
    const sink = await openSink(`file:${path}`);
    await sink.write([message('{"a":1}')]);
    const refused = sink.write([message('{"a":2}'), message('{"a":3,"new":1}')]);
    const taken = sink.write([message('{"a":4}')]);
    await expect(refused).rejects.toMatchObject({
      code: 'AIOT_STREAM_UNFIT',
      message: expect.stringContaining('new'),
    });
    await taken;
    await sink.close();
    expect(await readFile(path, 'utf8')).toBe('a\n1\n4\n');
  });

  it('appends to a file in the order of its columns, whatever the order of the fields', async () => {
    const path = fresh();
    await writeFile(path, 'b,a\n1,2\n');
    const sink = await openSink(`file:${path}`);
    await sink.write([message('{"a":3,"b":4}')]);
    await sink.close();
    expect(await readFile(path, 'utf8')).toBe('b,a\n1,2\n4,3\n');
  });

  it('rejects a file with different columns before writing anything', async () => {
    const path = fresh();
    await writeFile(path, 'x\n1\n');
    await expect(openSink(`file:${path}?fields=a,b`)).rejects.toMatchObject({ code: 'AIOT_CSV_COLUMNS' });
    expect(await readFile(path, 'utf8')).toBe('x\n1\n');
  });

  it('sets aside the partial line left by a crash', async () => {
    const path = fresh();
    await writeFile(path, 'a,b\n1,2\n3');
    const sink = await openSink(`file:${path}`);
    await sink.write([message('{"a":5,"b":6}')]);
    await sink.close();
    expect(await readFile(path, 'utf8')).toBe('a,b\n1,2\n5,6\n');
    expect(await readFile(`${path}.torn`, 'utf8')).toBe('3\n');
  });
});

describe('a CSV file as a source', () => {
  it('yields one JSON object per row, with numbers as numbers and ids as text', async () => {
    const path = fresh();
    await writeFile(
      path,
      '\uFEFFid,temp,ok,note\r\n007,26.5,true,"a, ""b""\nc"\r\n12345678901234567890,-1e3,,0x1\r\n',
    );
    expect((await read(`file:${path}`)).map((text) => JSON.parse(text))).toEqual([
      { id: '007', temp: 26.5, ok: true, note: 'a, "b"\nc' },
      { id: '12345678901234567890', temp: -1000, note: '0x1' },
    ]);
  });

  it('uses the given names for a file without a header, or yields raw rows', async () => {
    const path = fresh();
    await writeFile(path, '0xBC,26.3\n0xBD,27\n');
    expect(await read(`file:${path}?fields=sensor,temp`)).toEqual([
      '{"sensor":"0xBC","temp":26.3}',
      '{"sensor":"0xBD","temp":27}',
    ]);
    expect(await read(`file:${path}?header=false`)).toEqual(['0xBC,26.3', '0xBD,27']);
  });

  it('reports the file and line of a row with the wrong number of cells', async () => {
    const path = fresh();
    await writeFile(path, 'a,b\n1,2\n3\n');
    await expect(read(`file:${path}`)).rejects.toMatchObject({
      code: 'AIOT_FILE_MALFORMED',
      subject: 'csv',
      message: `${path}:3: expected 2 cells (a,b), got 1`,
    });
  });

  it.each(['a,,c', 'a,a', '0xBC,26.31,low'])('does not accept %s as a header', async (line) => {
    const path = fresh();
    await writeFile(path, `${line}\n1,2,3\n`);
    await expect(read(`file:${path}`)).rejects.toMatchObject({
      code: 'AIOT_CSV_COLUMNS',
      message: expect.stringContaining(`${path}:1: expected a name for each column`),
    });
  });

  it.each(['', '?fields=a,__proto__'])('rejects the column name __proto__ (query "%s")', async (query) => {
    const path = fresh();
    await writeFile(path, 'a,__proto__\n1,2\n');
    await expect(read(`file:${path}${query}`)).rejects.toMatchObject({
      message: expect.stringContaining('__proto__ cannot be used as a name'),
    });
  });

  it('can be read from standard input', async () => {
    const input = Readable.from(['a,b\n1', ',2\n']);
    expect(await read('stdin:?format=csv', { input })).toEqual(['{"a":1,"b":2}']);
  });

  it.each([
    ['an unknown setting', '?colour=red'],
    ['a duplicate column', '?fields=a,a'],
    ['a rotation count of zero', '?rotateCount=0'],
    ['an invalid size', '?rotateSize=big'],
  ])('is rejected with %s', async (_, query) => {
    await expect(openSink(`file:${fresh()}${query}`)).rejects.toMatchObject({ code: 'AIOT_STREAM_URL' });
  });
});

it('a CSV file returns any text that was written to it', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ a: fc.string().map((text) => `x${text}`), b: fc.double({ noNaN: true }) }), {
        minLength: 1,
      }),
      async (rows) => {
        const path = fresh();
        const sink = await openSink(`file:${path}`);
        await sink.write(rows.map((row) => message(JSON.stringify(row))));
        await sink.close();
        const back = (await read(`file:${path}`)).map((text) => JSON.parse(text));
        const plain = (text: string) => (text === '' ? undefined : text.replace(/\r\n?/g, '\n'));
        back.forEach((row, i) => {
          expect(String(row.a ?? '')).toBe(String(plain(rows[i]!.a) ?? ''));
        });
        expect(back.length).toBe(rows.length);
      },
    ),
    { numRuns: runs(40) },
  );
});

it('a CSV source does not split a character that spans two chunks', async () => {
  const path = fresh();
  await writeFile(path, 'a\n');
  for (let i = 0; i < 3; i++) await appendFile(path, `${'ü'.repeat(200_001)}\n`);
  expect(await read(`file:${path}`)).toEqual(Array(3).fill(JSON.stringify({ a: 'ü'.repeat(200_001) })));
});

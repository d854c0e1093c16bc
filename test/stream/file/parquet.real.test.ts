import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openSink } from '../../../src/lib/stream/open.js';
import { runProgram } from '../../support/programs.js';
import { describeReal, python } from '../../support/real.js';

/** Returns the schema and rows that pyarrow reads. */
async function pyarrow(
  ...files: string[]
): Promise<{ schema: Record<string, string>; rows: Record<string, unknown>[] }[]> {
  const script = `
import sys, json
import pyarrow.parquet as pq
out = []
for name in sys.argv[1:]:
    table = pq.read_table(name)
    pq.ParquetFile(name).metadata
    out.append({"schema": {f.name: str(f.type) for f in table.schema}, "rows": table.to_pylist()})
print(json.dumps(out, default=str))
`;
  const { stdout, stderr, code } = await runProgram(python('streams'), ['-c', script, ...files]);
  if (code !== 0) throw new Error(stderr);
  return JSON.parse(stdout);
}

const message = (payload: string | Buffer, topic = 'motor', time = 1_763_663_405_123) => ({
  topic,
  payload: Buffer.from(payload),
  time,
});

describeReal('streams', 'a Parquet file read by pyarrow', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'aiot-parquet-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('has times, topics and every payload field, even fields that appear late', async () => {
    const path = join(folder, 'a.parquet');
    const sink = await openSink(`file:${path}`);
    await sink.write([
      message('{"temp":26,"ok":true,"place":{"x":1.5},"note":"ü"}'),
      message('{"temp":26.5,"late":"x"}', 'b'),
    ]);
    await sink.write([message('{"temp":null,"note":5}'), message(Buffer.from([0xff, 0]))]);
    await sink.close();
    const [read] = await pyarrow(path);
    expect(read!.schema).toEqual({
      $time: expect.stringMatching(/^timestamp\[ms/),
      $topic: 'string',
      temp: 'double',
      ok: 'bool',
      'place.x': 'double',
      note: 'string',
      late: 'string',
      $payload: 'string',
    });
    const none = { temp: null, ok: null, 'place.x': null, note: null, late: null, $payload: null };
    expect(read!.rows).toMatchObject([
      { ...none, $topic: 'motor', temp: 26, ok: true, 'place.x': 1.5, note: 'ü' },
      { ...none, $topic: 'b', temp: 26.5, late: 'x' },
      { ...none, note: '5' },
      { ...none, $payload: '/wA=' },
    ]);
    expect(read!.rows[0]!.$time).toMatch(/^2025-11-20 18:30:05.123/);
  });

  it('has the selected columns and types, even for text rows', async () => {
    const path = join(folder, 'b.parquet');
    const types = '$time,sensor,temp:float,count:int64,small:int32,when:timestamp,ok:boolean';
    const sink = await openSink(`file:${path}?fields=${types}`);
    await sink.write([
      message(
        '{"sensor":"0xBC","temp":26.5,"count":9007199254740991,"small":-5,"when":"2026-01-02T03:04:05Z","ok":false,"more":1}',
      ),
      message('0xBD,27,1,2,1000,true'),
      message('{"sensor":7,"temp":"x","count":1.5,"small":1e12}'),
    ]);
    await sink.close();
    const [read] = await pyarrow(path);
    expect(Object.values(read!.schema).map((type) => type.replace(/\[.*/, ''))).toEqual([
      'timestamp',
      'string',
      'float',
      'int64',
      'int32',
      'timestamp',
      'bool',
    ]);
    expect(read!.rows).toMatchObject([
      {
        sensor: '0xBC',
        temp: 26.5,
        count: 9007199254740991,
        small: -5,
        when: expect.stringContaining('2026-01-02 03:04:05'),
        ok: false,
      },
      {
        sensor: '0xBD',
        temp: 27,
        count: 1,
        small: 2,
        when: expect.stringContaining('1970-01-01 00:00:01'),
        ok: true,
      },
      { sensor: '7', temp: null, count: null, small: null, when: null, ok: null },
    ]);
  });

  it('rejects a message without the selected cells, and accepts the others', async () => {
    const path = join(folder, 'f.parquet');
    const sink = await openSink(`file:${path}?fields=a:int64,b`);
    await sink.write([message('1,2')]);
    await expect(sink.write([message('not a row')])).rejects.toMatchObject({ code: 'AIOT_STREAM_UNFIT' });
    await sink.write([message('{"a":3}')]);
    await sink.close();
    expect((await pyarrow(path))[0]!.rows).toEqual([
      { a: 1, b: 2 },
      { a: 3, b: null },
    ]);
  });

  it('rotates into complete files that together contain every row once', async () => {
    const sink = await openSink(`file:${join(folder, 'many', 'log.parquet')}?rotateCount=3000`);
    for (let i = 0; i < 70; i++) {
      await sink.write(Array.from({ length: 100 }, (_, j) => message(JSON.stringify({ n: i * 100 + j }))));
    }
    await sink.close();
    const names = (await readdir(join(folder, 'many'))).filter((name) => !name.startsWith('.')).sort();
    expect(names.length).toBe(3);
    const read = await pyarrow(...names.map((name) => join(folder, 'many', name)));
    expect(read.map(({ rows }) => rows.length)).toEqual([3000, 3000, 1000]);
    expect(read.flatMap(({ rows }) => rows.map(({ n }) => n))).toEqual(
      Array.from({ length: 7000 }, (_, n) => n),
    );
    for (const { schema } of read) expect(schema).toEqual(read[0]!.schema);
  });

  it('includes the rows that a killed process had collected', async () => {
    const path = join(folder, 'c.parquet');
    // Data left behind by a kill: two acknowledged messages, and half of an unacknowledged one.
    await writeFile(
      join(folder, '.c.parquet.part'),
      '{"topic":"t","time":1,"payload":{"n":1},"encoding":"json"}\n{"topic":"t","time":2,"payload":{"n":2},"encoding":"json"}\n{"topic":"t","ti',
    );
    const sink = await openSink(`file:${path}`);
    await sink.write([message('{"n":3}')]);
    await sink.close();
    const [read] = await pyarrow(path);
    expect(read!.rows.map(({ n }) => n)).toEqual([1, 2, 3]);
  });

  it('is not appended to, and rejects an unknown column type', async () => {
    const path = join(folder, 'd.parquet');
    await writeFile(path, 'PAR1');
    await expect(openSink(`file:${path}`)).rejects.toMatchObject({ code: 'AIOT_FILE_NOT_WRITABLE' });
    await expect(openSink(`file:${join(folder, 'e.parquet')}?fields=a:int7`)).rejects.toMatchObject({
      code: 'AIOT_STREAM_URL',
    });
  });
});

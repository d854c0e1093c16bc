import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { linesEncoder } from '../../../src/lib/stream/file/encode.js';
import { createLinesSink, pieceNames } from '../../../src/lib/stream/file/sink.js';
import { deliveriesOf } from '../../../src/lib/stream/message.js';
import { openSink, openSource } from '../../../src/lib/stream/open.js';
import { root } from '../../support/cli.js';

let all: string;
let folder: string;
beforeEach(async () => {
  all ??= await mkdtemp(join(tmpdir(), 'aiot-rotation-'));
  folder = await mkdtemp(join(all, 'x-'));
});
afterAll(() => rm(all, { recursive: true, force: true }));

const message = (payload: string, topic = 't') => ({ topic, payload: Buffer.from(payload), time: 1_000 });
const numbered = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, i) => message(JSON.stringify({ n: from + i })));
const finished = async () => (await readdir(folder)).filter((name) => !name.startsWith('.')).sort();
const texts = async () => Promise.all((await finished()).map((name) => readFile(join(folder, name), 'utf8')));

async function readAll(url: string): Promise<string[]> {
  const source = await openSource(url);
  const out: string[] = [];
  for await (const { message: each } of deliveriesOf(source)) out.push(Buffer.from(each.payload).toString());
  return out;
}

describe('rotated files', () => {
  it('contain the requested number of rows and a header each, however messages are batched', async () => {
    const sink = await openSink(`file:${join(folder, 'log.csv')}?rotateCount=3`);
    await sink.write(numbered(0, 2));
    await sink.write(numbered(2, 7));
    expect((await texts()).join('|')).toBe('n\n0\n1\n2\n|n\n3\n4\n5\n');
    await sink.close();
    expect((await texts()).join('|')).toBe('n\n0\n1\n2\n|n\n3\n4\n5\n|n\n6\n');
    for (const name of await finished()) expect(name).toMatch(/^log-\d{8}T\d{9}Z(_\d+)?\.csv$/);
  });

  it('sort in order by name even if they end within one millisecond', () => {
    const names = pieceNames(join(folder, 'log.csv'));
    const made = [1, 2, 3].map((copy) => names.finished(0, copy));
    expect([...made].sort()).toEqual(made);
  });

  it('exceed the size limit by at most one write', async () => {
    const sink = await openSink(`file:${join(folder, 'log.txt')}?format=lines&rotateSize=100B`);
    for (let i = 0; i < 30; i++) await sink.write([message('123456789')]);
    await sink.close();
    expect((await texts()).map(({ length }) => length)).toEqual([100, 100, 100]);
  });

  it('end on time without another message', async () => {
    const sink = await openSink(`file:${join(folder, 'log.ndjson')}?rotateTime=1s`);
    await sink.write(numbered(0, 1));
    expect(await finished()).toEqual([]);
    await expect.poll(async () => (await finished()).length).toBe(1);
    await sink.close();
  });

  it('report a failed timed rotation at the next write, then continue', async () => {
    const lines: string[] = [];
    let broken = true;
    const closed: boolean[] = [];
    const file = {
      get bytes() {
        return lines.join('').length;
      },
      since: Date.now(),
      append: async (text: string) => void lines.push(text),
      lines: async () => lines.length,
      close: async () => {
        closed.push(broken);
        if (broken) throw new Error('EIO');
      },
    };
    const sink = createLinesSink({
      endpoint: 'x',
      encoder: linesEncoder('x'),
      open: async () => file,
      pieces: {
        rotation: { ms: 30, bytes: undefined, messages: undefined },
        seal: async () => {},
      },
    });
    await sink.write([message('a')]);
    await expect.poll(() => closed.length).toBeGreaterThan(0);
    broken = false;
    await expect(sink.write([message('b')])).rejects.toThrow('EIO');
    await sink.write([message('c')]);
    await sink.close();
    expect(lines).toEqual(['a\n', 'c\n']);
  });

  it('are rotated when a new column appears', async () => {
    const sink = await openSink(`file:${join(folder, 'log.csv')}?rotateCount=100`);
    await sink.write([message('{"a":1}'), message('{"a":2}')]);
    await sink.write([message('{"a":3,"b":4}'), message('{"b":5}')]);
    await sink.close();
    expect((await texts()).join('|')).toBe('a\n1\n2\n|a,b\n3,4\n,5\n');
  });

  it('continue with the rows that a killed process had collected, and lose none', async () => {
    const url = `file:${join(folder, 'log.csv')}?rotateCount=1000`;
    const program = `
      import { openSink } from ${JSON.stringify(join(root, 'src/lib/stream/index.ts'))};
      const sink = await openSink(${JSON.stringify(url)});
      for (let n = 0; ; n++) {
        await sink.write([{ topic: 't', payload: Buffer.from(JSON.stringify({ n })) }]);
        process.stdout.write(n + '\\n');
      }`;
    const file = join(folder, '.writer.mts');
    await writeFile(file, `export {};\n${program}`);
    const child = spawn(process.execPath, ['--import', 'tsx', file], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let acknowledged = '';
    child.stdout.on('data', (chunk) => {
      acknowledged += chunk;
      if (acknowledged.split('\n').length > 40) child.kill('SIGKILL');
    });
    await once(child, 'close');
    const last = Number(acknowledged.trim().split('\n').at(-1));
    expect(last).toBeGreaterThan(30);
    const sink = await openSink(url);
    await sink.write([message('{"n":-1}')]);
    await sink.close();
    const [text = ''] = await texts();
    const rows = text.trim().split('\n').slice(1).map(Number);
    expect(rows.at(-1)).toBe(-1);
    expect(rows.slice(0, last + 1)).toEqual(Array.from({ length: last + 1 }, (_, n) => n));
  });

  it('are written by one process at a time', async () => {
    const url = `file:${join(folder, 'log.csv')}?rotateCount=3`;
    const sink = await openSink(url);
    await expect(openSink(url)).rejects.toMatchObject({
      code: 'AIOT_FILE_NOT_WRITABLE',
      message: expect.stringContaining('another'),
    });
    await sink.close();
    await (await openSink(url)).close();
    expect(await finished()).toEqual([]);
  });
});

describe('a compressed file', () => {
  it('appears only when complete, and returns each message byte for byte', async () => {
    const path = join(folder, 'x.ndjson.gz');
    const sink = await openSink(`file:${path}`);
    await sink.write([message('{"a": 1.0}'), message('\u0000\u00ff'), message('')]);
    expect(await finished()).toEqual([]);
    await sink.close();
    expect(await finished()).toEqual(['x.ndjson.gz']);
    expect(
      gunzipSync(await readFile(path))
        .toString()
        .split('\n').length,
    ).toBe(4);
    expect(await readAll(`file:${path}`)).toEqual(['{"a": 1.0}', '\u0000\u00ff', '']);
  });

  it('is never appended to, and is rejected if damaged', async () => {
    const path = join(folder, 'x.ndjson.gz');
    await writeFile(path, 'x');
    await expect(openSink(`file:${path}`)).rejects.toMatchObject({ code: 'AIOT_FILE_NOT_WRITABLE' });
    await expect(readAll(`file:${path}`)).rejects.toMatchObject({ code: 'AIOT_FILE_NOT_READABLE' });
  });
});

describe('one file per message', () => {
  it('continues the numbering of existing files', async () => {
    await mkdir(join(folder, 'faces'));
    for (const name of ['face0.png', 'face7.png', 'face9.jpg', 'face12.png.bak']) {
      await writeFile(join(folder, 'faces', name), '');
    }
    const sink = await openSink(`file:${join(folder, 'faces', 'face{n}.png')}`);
    await sink.write([message('eight'), message('nine')]);
    await sink.close();
    expect(await readFile(join(folder, 'faces', 'face8.png'), 'utf8')).toBe('eight');
    expect(await readFile(join(folder, 'faces', 'face9.png'), 'utf8')).toBe('nine');
  });

  it('creates the folders in its name', async () => {
    const sink = await openSink(`file:${join(folder, '{topic}', '{n:3}.txt')}`);
    await sink.write([message('x', 'a/../b')]);
    await sink.close();
    expect(await readFile(join(folder, 'a/_/b/000.txt'), 'utf8')).toBe('x');
  });
});

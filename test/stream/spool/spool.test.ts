import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, rmdir, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { OutgoingMessage } from '../../../src/lib/stream/message.js';
import { decodeRecord, encodeRecord } from '../../../src/lib/stream/spool/segments.js';
import { openSpool, type Spool, spoolState } from '../../../src/lib/stream/spool/spool.js';
import { root } from '../../support/cli.js';
import { text } from '../../support/fake-streams.js';
import { fc } from '../../support/property.js';

let folder: string;
let open: Spool[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-spool-'));
});
afterEach(async () => {
  for (const spool of open) await spool.close().catch(() => {});
  open = [];
  await rm(folder, { recursive: true });
});

const start = async (limit = 1e9, full: 'wait' | 'drop-oldest' = 'wait', path = join(folder, 's')) => {
  const spool = await openSpool({ path, limit, full });
  open.push(spool);
  return spool;
};
const end = async (spool: Spool) => {
  open = open.filter((one) => one !== spool);
  await spool.close();
};
const numbered = (from: number, to: number, payload = ''): OutgoingMessage[] =>
  Array.from({ length: to - from }, (_, n) => ({
    topic: `t/${from + n}`,
    payload: Buffer.from(`${from + n}${payload}`),
  }));
const topics = (messages: readonly OutgoingMessage[]) => messages.map(({ topic }) => Number(topic.slice(2)));
const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, n) => from + n);

async function takeAll(spool: Spool, most = 100): Promise<number[]> {
  const all: number[] = [];
  for (;;) {
    const chunk = await spool.read(most, 1e6);
    if (chunk.messages.length === 0) return all;
    all.push(...topics(chunk.messages));
    await spool.commit(chunk);
  }
}

test('a spool record is read back unchanged, whatever it contains', () => {
  const bytes = fc.uint8Array({ maxLength: 200 }).map((array) => Buffer.from(array));
  const message = fc.record(
    {
      topic: fc.string({ unit: 'grapheme' }),
      payload: bytes,
      time: fc.integer({ min: 0 }),
      key: bytes,
      headers: fc.array(fc.tuple(fc.string(), fc.oneof(fc.string(), bytes))),
      qos: fc.constantFrom(0, 1, 2),
      retain: fc.boolean(),
      tombstone: fc.constant(true),
      expires: fc.integer({ min: 0 }),
    },
    { requiredKeys: ['topic', 'payload'] },
  );
  fc.assert(
    fc.property(message, fc.nat(40), (given, before) => {
      const record = encodeRecord(given as OutgoingMessage);
      const read = decodeRecord(Buffer.concat([Buffer.alloc(before), record]), before);
      expect(read).toEqual({ kind: 'record', message: given, bytes: record.length });
    }),
  );
});

test.each(['{"t":1}', 'null', '{"t":"a","h":1}', '{"t":', '{"t":"a","q":7}'])(
  'a spool treats an invalid record with a valid checksum as damaged: %s',
  (meta) => {
    const body = Buffer.concat([Buffer.alloc(4), Buffer.from(meta)]);
    body.writeUInt32LE(meta.length, 0);
    const head = Buffer.alloc(8);
    head.writeUInt32LE(body.length, 0);
    head.writeUInt32LE(crc32(body), 4);
    const record = Buffer.concat([head, body]);
    expect(decodeRecord(record, 0)).toEqual({ kind: 'damaged', bytes: record.length });
  },
);

test('a spool returns messages in order, across many files and after reopening', async () => {
  const first = await start(600_000);
  for (let n = 0; n < 500; n += 10) await first.append(numbered(n, n + 10, 'x'.repeat(500)));
  expect(first.messages).toBe(500);
  const chunk = await first.read(120, 1e6);
  expect(topics(chunk.messages)).toEqual(numbers(0, 120));
  await first.commit(chunk);
  expect((await readdir(join(folder, 's'))).filter((name) => name.endsWith('.spool')).length).toBeGreaterThan(
    2,
  );
  await end(first);
  const second = await start(600_000);
  expect(second.messages).toBe(380);
  await second.append(numbered(500, 510));
  expect(await takeAll(second)).toEqual(numbers(120, 510));
  expect(second).toMatchObject({ messages: 0, bytes: 0, dropped: 0, damaged: 0 });
});

test('a spool returns messages again if they were read but not committed', async () => {
  const spool = await start();
  await spool.append(numbered(0, 5));
  expect(topics((await spool.read(3, 1e6)).messages)).toEqual([0, 1, 2]);
  expect(topics((await spool.read(3, 1e6)).messages)).toEqual([0, 1, 2]);
});

test('a spool accepts messages of any size, including one larger than the read buffer', async () => {
  const spool = await start();
  const large = Buffer.alloc(3_000_000, 7);
  await spool.append([...numbered(0, 1), { topic: 't/1', payload: large }, ...numbered(2, 3)]);
  const chunk = await spool.read(10, 1e9);
  expect(topics(chunk.messages)).toEqual([0, 1, 2]);
  expect(Buffer.from(chunk.messages[1]?.payload ?? []).equals(large)).toBe(true);
});

test('a spool waits at its limit until messages are committed', async () => {
  const spool = await start(200_000);
  for (let n = 0; n < 190; n++) await spool.append(numbered(n, n + 1, 'x'.repeat(1000)));
  let appended = false;
  const waiting = spool.append(numbered(190, 200, 'x'.repeat(1000))).then(() => {
    appended = true;
  });
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(appended).toBe(false);
  const taken = await takeAll(spool);
  await waiting;
  taken.push(...(await takeAll(spool)));
  expect(taken).toEqual(numbers(0, 200));
});

test('a spool with drop-oldest drops and counts the oldest messages at its limit', async () => {
  const spool = await start(200_000, 'drop-oldest');
  for (let n = 0; n < 400; n++) await spool.append(numbered(n, n + 1, 'x'.repeat(1000)));
  expect(spool.bytes).toBeLessThanOrEqual(200_000);
  const { dropped } = spool;
  expect(dropped).toBeGreaterThan(150);
  expect(spool.messages).toBe(400 - dropped);
  expect(await takeAll(spool)).toEqual(numbers(dropped, 400));
});

test('a waiting spool append is aborted by its signal', async () => {
  const spool = await start(100_000);
  for (let n = 0; n < 95; n++) await spool.append(numbered(n, n + 1, 'x'.repeat(1000)));
  const stop = new AbortController();
  const waiting = spool.append(numbered(95, 105, 'x'.repeat(1000)), stop.signal);
  stop.abort(new Error('enough'));
  await expect(waiting).rejects.toThrow('enough');
});

test('a spool returns every complete record after a crash at any point', async () => {
  const spool = await start();
  const ends = [8];
  for (let n = 0; n < 6; n++) {
    await spool.append(numbered(n, n + 1, 'payload'));
    ends.push(spool.bytes);
  }
  // A copy in the state left by a crash. The file is not closed, so its name lacks the message count.
  const [name = ''] = (await readdir(join(folder, 's'))).filter((file) => file.endsWith('.spool'));
  for (let length = 0; length <= (ends.at(-1) ?? 0); length += process.env.AIOT_LONG === '1' ? 1 : 5) {
    const path = join(folder, `cut${length}`);
    await cp(join(folder, 's', name), join(path, name), { recursive: true });
    await truncate(join(path, name), length);
    const cut = await start(1e9, 'wait', path);
    const whole = ends.filter((at) => at <= length).length - 1;
    expect(await takeAll(cut)).toEqual(numbers(0, Math.max(0, whole)));
    await cut.append(numbered(50, 51));
    expect(await takeAll(cut)).toEqual([50]);
    await end(cut);
  }
});

test.each([true, false])(
  'a spool sets aside damaged records and continues (file closed: %s)',
  async (closed) => {
    const spool = await start();
    await spool.append(numbered(0, 3, 'first'));
    if (closed) await end(spool);
    const path = join(folder, 's');
    const [name = ''] = (await readdir(path)).filter((file) => file.endsWith('.spool'));
    const other = join(folder, 'damaged');
    const bytes = await readFile(join(path, name));
    const at = bytes.indexOf('1first');
    bytes[at] = 0x58;
    await cp(path, other, { recursive: true });
    await rm(join(other, '.lock'), { force: true });
    await writeFile(join(other, name), bytes);
    const damaged = await start(1e9, 'wait', other);
    await damaged.append(numbered(10, 12));
    expect(await takeAll(damaged)).toEqual([0, 10, 11]);
    expect(damaged.damaged).toBe(1);
    expect(damaged.messages).toBe(0);
    expect((await readdir(other)).filter((file) => file.endsWith('.damaged'))).toHaveLength(1);
    expect(await spoolState(other)).toMatchObject({ messages: 0, damaged: 1 });
  },
);

test('a spool cannot be opened twice at the same time', async () => {
  await start();
  await expect(start()).rejects.toMatchObject({ code: 'AIOT_SPOOL_BUSY' });
});

test('a spool’s state can be read without disturbing a process that uses it', async () => {
  const spool = await start();
  await spool.append(numbered(0, 7));
  const chunk = await spool.read(3, 1e6);
  await spool.commit(chunk);
  expect(await spoolState(join(folder, 's'))).toMatchObject({ messages: 4, damaged: 0 });
  expect(await spoolState(join(folder, 'none'))).toBeUndefined();
});

const child = `
  const { openSpool } = await import('./src/lib/stream/spool/spool.ts');
  const spool = await openSpool({ path: process.argv[1], limit: 1e9, full: 'wait' });
  process.stdout.write('ready ' + spool.messages + '\\n');
  for (let n = Number(process.argv[2]); ; n++) {
    await spool.append([{ topic: 't/' + n, payload: Buffer.from('x'.repeat(100)) }]);
    process.stdout.write(n + '\\n');
  }`;

test('a spool loses nothing on disk when killed with kill -9 during writes', async () => {
  const path = join(folder, 'killed');
  let next = 0;
  for (let round = 0; round < 3; round++) {
    const writer = spawn(
      process.execPath,
      ['--import', 'tsx', '--input-type=module', '-e', child, path, String(next)],
      {
        cwd: root,
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    );
    let output = '';
    writer.stdout.on('data', (chunk: Buffer) => {
      output += chunk;
    });
    while (output.split('\n').length < 60) await new Promise((resolve) => setTimeout(resolve, 5));
    // All of its output has been read only once its pipe is closed.
    const closed = once(writer, 'close');
    writer.kill('SIGKILL');
    await closed;
    const last = output
      .split('\n')
      .filter((line) => /^\d+$/.test(line))
      .at(-1);
    next = Number(last) + 1;
    // One record that was not reported before the kill may be on disk.
    const spool = await start(1e9, 'wait', path);
    const found = spool.messages;
    expect(found - next).toBeGreaterThanOrEqual(0);
    expect(found - next).toBeLessThanOrEqual(1);
    next = found;
    await end(spool);
  }
  expect(await takeAll(await start(1e9, 'wait', path), 7)).toEqual(numbers(0, next));
});

test('a spool preserves payloads and headers that are not valid text', async () => {
  const spool = await start();
  await spool.append([
    {
      topic: 't/1',
      payload: Buffer.from([255, 0, 254]),
      headers: [
        ['a', Buffer.from([1, 2])],
        ['b', 'x'],
      ],
    },
  ]);
  const { messages } = await spool.read(1, 1e6);
  expect(text(messages[0]?.payload ?? Buffer.alloc(0))).toBe(Buffer.from([255, 0, 254]).toString());
  expect(messages[0]?.headers).toEqual([
    ['a', Buffer.from([1, 2])],
    ['b', 'x'],
  ]);
});

const filling = `
  const { openSpool } = await import('./src/lib/stream/spool/spool.ts');
  const spool = await openSpool({ path: process.argv[1], limit: 1e9, full: 'wait' });
  const message = (n, bytes) => ({ topic: 't/' + n, payload: Buffer.alloc(bytes, 120) });
  let acked = 0;
  let code;
  while (acked < 100 && !code) {
    await spool.append([message(acked, 100_000)]).then(() => acked++, (error) => (code = error.code));
  }
  await spool.append([message(acked++, 10)]);
  const topics = [];
  for (let chunk; (chunk = await spool.read(3, 1e9)).messages.length > 0; ) {
    topics.push(...chunk.messages.map(({ topic }) => topic));
    await spool.commit(chunk);
  }
  await spool.close();
  console.log(JSON.stringify({ acked, code, topics, damaged: spool.damaged }));`;

test.skipIf(process.platform === 'win32')(
  'a spool append fails if the disk cuts it short, and earlier and later messages stay intact',
  async () => {
    const path = join(folder, 'full');
    // With a file size limit, the kernel writes what still fits, and reports no error.
    const writer = spawn(
      'bash',
      [
        '-c',
        'ulimit -f 1024; exec "$@"',
        'sh',
        process.execPath,
        '--import',
        'tsx',
        '--input-type=module',
        '-e',
        filling,
        path,
      ],
      { cwd: root, stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, TSX_DISABLE_CACHE: '1' } },
    );
    let output = '';
    writer.stdout.on('data', (chunk: Buffer) => {
      output += chunk;
    });
    const timer = setTimeout(() => writer.kill('SIGKILL'), 80_000);
    await once(writer, 'close');
    clearTimeout(timer);
    const { acked, ...told } = JSON.parse(output) as { acked: number };
    expect(acked).toBe(11);
    expect(told).toEqual({
      code: 'AIOT_FILE_NOT_WRITABLE',
      topics: numbers(0, 11).map((n) => `t/${n}`),
      damaged: 0,
    });
  },
);

test('a spool reads a truncated file up to the cut, and sets the rest aside', async () => {
  const spool = await start();
  await spool.append(numbered(0, 3, 'x'.repeat(1000)));
  const path = join(folder, 's');
  const [name = ''] = (await readdir(path)).filter((file) => file.endsWith('.spool'));
  await truncate(join(path, name), spool.bytes - 500);
  expect(await takeAll(spool)).toEqual([0, 1]);
  expect(spool).toMatchObject({ damaged: 1, dropped: 1, messages: 0 });
  expect((await readdir(path)).filter((file) => file.endsWith('.damaged'))).toHaveLength(1);
});

test('a spool can be read even if its cursor cannot be written, and reports the problem', async () => {
  const spool = await start(600_000);
  for (let n = 0; n < 300; n += 10) await spool.append(numbered(n, n + 10, 'x'.repeat(500)));
  const cursor = join(folder, 's', 'cursor.json');
  await mkdir(cursor);
  const before = spool.bytes;
  const first: number[] = [];
  while (first.length < 200) {
    const chunk = await spool.read(50, 1e6);
    first.push(...topics(chunk.messages));
    await spool.commit(chunk);
  }
  expect(first).toEqual(numbers(0, first.length));
  expect(spool.trouble).toContain('cursor.json');
  expect(spool.bytes).toBeLessThan(before - 64 * 1024);
  await rmdir(cursor);
  expect(await takeAll(spool)).toEqual(numbers(first.length, 300));
  expect(spool.trouble).toBeUndefined();
});
